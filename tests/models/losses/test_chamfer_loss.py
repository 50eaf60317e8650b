import numpy as np
import pytest
import torch

from depth.models.losses import BinsChamferLoss, chamfer_loss
from depth.registry import MODELS
from tests.parity.recorded import load_arrays


def all_pairs(centers, targets, mask):
    """Repeat the definition with a matrix of all pairs."""
    values = []
    for points, measured, valid in zip(centers, targets, mask, strict=True):
        if not valid.any():
            values.append(0 * points.sum())
            continue
        squares = (points[:, None] - measured[valid][None]).square()
        values.append(squares.min(dim=1).values.mean() + squares.min(dim=0).values.mean())
    return torch.stack(values).mean()


@pytest.mark.parametrize(('case', 'weight'), [('chamfer_default', 1.0), ('chamfer_w01', 0.1)])
def test_values_and_gradients_are_the_published_ones(case, weight):
    arrays = load_arrays('losses')
    edges, gt = (
        torch.from_numpy(arrays['bin_edges']).requires_grad_(),
        torch.from_numpy(arrays['gt']),
    )
    loss = BinsChamferLoss(loss_weight=weight)(edges, gt, gt > 0)
    loss.backward()
    assert loss.item() == pytest.approx(float(arrays[f'out/{case}']), rel=1e-6)
    expected = arrays[f'out/{case}/grad']
    assert np.linalg.norm(edges.grad.numpy() - expected) < 1e-5 * np.linalg.norm(expected)


def test_each_image_alone_has_the_published_value():
    arrays = load_arrays('losses')
    edges, gt = torch.from_numpy(arrays['bin_edges']), torch.from_numpy(arrays['gt'])
    for index, expected in enumerate(arrays['out/chamfer_per_image']):
        image = slice(index, index + 1)
        loss = BinsChamferLoss(loss_weight=1.0)(edges[image], gt[image], gt[image] > 0)
        assert loss.item() == pytest.approx(float(expected), rel=1e-6)


def test_binsformer_adds_it_after_every_trained_layer():
    arrays = load_arrays('losses')
    head = MODELS.build(
        dict(
            type='BinsFormerHead',
            in_channels=[4, 4, 4, 4],
            channels=16,
            num_bins=16,
            num_classes=0,
            loss_decode=dict(type='SILogLoss', loss_weight=10),
            loss_chamfer=dict(type='BinsChamferLoss', loss_weight=0.1),
        )
    )
    layers = [2, 5, 8]
    outputs = dict(
        layers=layers,
        layer_depths=torch.from_numpy(arrays['binsformer/aux_depth'])[layers, :, 0].transpose(0, 1),
        bin_edges=torch.from_numpy(arrays['bin_edges'])[:, None].expand(-1, 3, -1),
    )
    losses = head.loss(outputs, torch.from_numpy(arrays['gt']))
    for name in ('loss_chamfer', 'aux_loss_chamfer_2', 'aux_loss_chamfer_5'):
        expected = float(arrays[f'out/binsformer_train_chamfer/{name}'])
        assert losses[name].item() == pytest.approx(expected, rel=1e-5), name


@pytest.mark.parametrize('seed', range(8))
def test_it_equals_the_matrix_of_all_pairs(seed):
    generator = torch.Generator().manual_seed(seed)
    centers = 10 * torch.rand(3, 1 + 3 * seed, generator=generator, dtype=torch.float32)
    targets = 12 * torch.rand(3, 40, generator=generator)
    mask = torch.rand(3, 40, generator=generator) > (0.2, 0.95)[seed % 2]
    mask[0, 0] = True
    actual, expected = centers.clone().requires_grad_(), centers.clone().requires_grad_()
    value, reference = chamfer_loss(actual, targets, mask), all_pairs(expected, targets, mask)
    torch.testing.assert_close(value, reference)
    torch.testing.assert_close(
        torch.autograd.grad(value, actual)[0],
        torch.autograd.grad(reference, expected)[0],
        rtol=1e-4,
        atol=1e-6,
    )


def test_distances_worked_out_by_hand():
    targets = torch.tensor([[[[1.0, 2.0, 0.0, 7.0]]]])
    edges = torch.tensor([[0.0, 2.0, 4.0, 6.0]])  # centres 1, 3, 5
    loss = BinsChamferLoss(loss_weight=1.0)
    # centres: 0, 1 and 4; targets: 0, 1 (a tie) and 4
    assert loss(edges, targets, targets > 0).item() == pytest.approx(5 / 3 + 5 / 3)
    # a measurement below 1 mm is none
    close = torch.tensor([[[[1.0, 2.0, 1e-4, 7.0]]]])
    assert loss(edges, close, close > 0).item() == pytest.approx(10 / 3)


def test_no_ground_truth_gives_zero_and_a_finite_gradient():
    edges = torch.tensor([[0.0, 2.0, 4.0], [0.0, 1.0, 4.0]]).requires_grad_()
    target = torch.zeros(2, 1, 2, 2)
    target[1] = 3.0
    loss = BinsChamferLoss()
    loss(edges, target, target > 0).backward()
    assert torch.equal(edges.grad[0], torch.zeros(3))
    assert torch.isfinite(edges.grad).all()
    assert edges.grad[1].abs().sum() > 0
    edges.grad = None
    empty = loss(edges, torch.zeros(2, 1, 2, 2), torch.zeros(2, 1, 2, 2, dtype=torch.bool))
    empty.backward()
    assert empty.item() == 0
    assert torch.equal(edges.grad, torch.zeros(2, 3))


def test_a_full_map_needs_no_matrix_of_pairs():
    edges = torch.linspace(0.1, 10, 257).expand(2, -1).clone().requires_grad_()
    target = 10 * torch.rand(2, 1, 416, 544)
    with torch.profiler.profile(profile_memory=True) as profile:
        BinsChamferLoss()(edges, target, target > 0).backward()
    largest = max(
        event.cpu_memory_usage for event in profile.events() if event.name.startswith('aten::')
    )
    assert largest <= 4 * target.numel() * 8  # some maps of 8-byte numbers, not 256 of them
