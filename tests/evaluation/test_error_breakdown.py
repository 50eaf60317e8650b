"""Errors by gradient, edge and distance, against loops over the pixels of a small map."""

import math

import numpy as np
import pytest
import torch

from depth.evaluation import error_breakdown as breakdown

HEIGHT, WIDTH = 9, 12


@pytest.fixture
def maps():
    rng = np.random.default_rng(0)
    gt_depth = rng.uniform(1, 9, (HEIGHT, WIDTH)).astype(np.float32)
    gt_depth[:, 5:] = 4.0  # a plane, so that pixels far from every edge exist
    pred = (gt_depth * rng.uniform(0.7, 1.4, gt_depth.shape)).astype(np.float32)
    mask = rng.uniform(size=gt_depth.shape) > 0.2
    return torch.from_numpy(pred), torch.from_numpy(gt_depth), torch.from_numpy(mask)


def test_gradient_quarters_are_those_of_a_loop(maps):
    mask = maps[2]
    image = torch.from_numpy(np.random.default_rng(1).uniform(0, 255, (3, HEIGHT, WIDTH)))
    grey = np.pad(image.numpy().mean(axis=0), 1, mode='edge')
    magnitude = np.zeros((HEIGHT, WIDTH))
    for y in range(HEIGHT):
        for x in range(WIDTH):
            a = grey[y : y + 3, x : x + 3]
            across = a[0, 2] + 2 * a[1, 2] + a[2, 2] - a[0, 0] - 2 * a[1, 0] - a[2, 0]
            down = a[2, 0] + 2 * a[2, 1] + a[2, 2] - a[0, 0] - 2 * a[0, 1] - a[0, 2]
            magnitude[y, x] = math.hypot(across, down)
    bands = breakdown.gradient_bands(image, mask).numpy()
    inside = mask.numpy()
    order = magnitude[inside].argsort()
    expected = np.empty(len(order), int)
    expected[order] = np.arange(len(order)) * 4 // len(order)
    # Quarters of a number that 4 does not divide may differ by the pixel at their end.
    assert (np.bincount(bands[inside], minlength=4) >= len(order) // 4).all()
    assert (bands[inside] != expected).sum() <= 3


def test_edge_bands_are_those_of_a_loop(maps):
    _, gt_depth, mask = maps
    depth, valid = gt_depth.numpy(), mask.numpy()
    edge_pixels = []
    for y in range(HEIGHT):
        for x in range(WIDTH):
            for y2, x2 in ((y + 1, x), (y, x + 1)):
                if y2 < HEIGHT and x2 < WIDTH and valid[y, x] and valid[y2, x2]:
                    near, far = sorted((depth[y, x], depth[y2, x2]))
                    if far > 1.1 * near:
                        edge_pixels += [(y, x), (y2, x2)]
    bands = breakdown.edge_bands(gt_depth, mask).numpy()
    for y in range(HEIGHT):
        for x in range(WIDTH):
            distance = min(max(abs(y - y2), abs(x - x2)) for y2, x2 in edge_pixels)
            expected = 0 if distance <= 1 else 1 if distance <= 4 else 2
            assert bands[y, x] == expected
    assert set(bands.ravel().tolist()) == {0, 1, 2}


def test_means_of_bands_and_quantiles_by_distance(maps):
    pred, gt_depth, mask = maps
    bands = (gt_depth > 3).long()
    error = (pred - gt_depth).abs() / gt_depth
    means = breakdown.band_means(error, bands, mask, 3)
    for band in (0, 1):
        expected = np.mean(error.numpy()[mask.numpy() & (bands.numpy() == band)])
        assert float(means[band]) == pytest.approx(expected, rel=1e-6)
    assert means[2].isnan()
    edges = [0.0, 3.0, 6.0, 20.0, 30.0]
    counts = breakdown.error_counts(pred, gt_depth, mask, edges)
    assert counts.sum() == mask.sum()
    # Counts of two halves add up to those of the whole map.
    halves = [
        breakdown.error_counts(pred[rows], gt_depth[rows], mask[rows], edges)
        for rows in (slice(0, 4), slice(4, None))
    ]
    assert (halves[0] + halves[1] == counts).all()
    medians = breakdown.error_quantile(counts, 0.5)
    for index in range(3):
        inside = mask & (gt_depth >= edges[index]) & (gt_depth < edges[index + 1])
        signed = ((pred - gt_depth) / gt_depth)[inside].sort().values
        expected = float(signed[(len(signed) + 1) // 2 - 1])
        assert float(medians[index]) == pytest.approx(expected, abs=0.0026)
    assert medians[3].isnan()


def test_empty_masks_and_scales():
    gt_depth = torch.full((4, 5), 2.0)
    empty = torch.zeros(4, 5, dtype=torch.bool)
    assert math.isnan(breakdown.scale_ratio(gt_depth, gt_depth, empty))
    assert breakdown.scale_ratio(1.7 * gt_depth, gt_depth, ~empty) == pytest.approx(1.7)
    assert not breakdown.gradient_bands(torch.ones(3, 4, 5), empty).any()
    assert (breakdown.edge_bands(gt_depth, ~empty) == 2).all()
