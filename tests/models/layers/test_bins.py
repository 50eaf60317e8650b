"""Bins against values worked out by hand."""

import torch

from depth.models.layers import bin_centers_from_edges, bin_edges_from_widths, depth_from_bins


def test_bins_share_out_the_range():
    edges = bin_edges_from_widths(torch.tensor([[0.25, 0.25, 0.5], [1.0, 0.0, 0.0]]), 2.0, 10.0)
    assert torch.equal(edges, torch.tensor([[2.0, 4.0, 6.0, 10.0], [2.0, 10.0, 10.0, 10.0]]))
    assert torch.equal(bin_centers_from_edges(edges)[0], torch.tensor([3.0, 5.0, 8.0]))


def test_depth_is_the_expectation_of_each_pixel():
    centers = torch.tensor([[3.0, 5.0], [1.0, 9.0]])
    probs = torch.tensor([[[[1.0, 0.5]], [[0.0, 0.5]]], [[[0.25, 0.0]], [[0.75, 1.0]]]])
    assert torch.equal(
        depth_from_bins(probs, centers), torch.tensor([[[[3.0, 4.0]]], [[[7.0, 9.0]]]])
    )


def test_metres_are_summed_in_float32_under_autocast():
    with torch.autocast('cpu', dtype=torch.bfloat16):
        edges = bin_edges_from_widths(torch.full((1, 100), 0.01, dtype=torch.bfloat16), 1e-3, 80.0)
        depth = depth_from_bins(torch.full((1, 100, 1, 1), 0.01), bin_centers_from_edges(edges))
    assert edges.dtype == depth.dtype == torch.float32


def test_operations_can_be_counted_on_the_meta_device():
    depth = depth_from_bins(
        torch.empty(2, 3, 4, 5, device='meta'), torch.empty(2, 3, device='meta')
    )
    assert depth.shape == (2, 1, 4, 5)
