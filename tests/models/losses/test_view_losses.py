import pytest
import torch

from depth.models.losses import (
    ViewSynthesisLoss,
    edge_aware_smoothness,
    photometric_error,
    ssim_error,
)
from depth.models.losses.view_synthesis_loss import best_candidate, masked_mean
from depth.structures import ViewBatch

K = torch.tensor([[[20.0, 0, 15.5], [0, 20.0, 7.5], [0, 0, 1]]])
BASELINE, DEPTH = 0.5, 5.0  # a disparity of two pixels


def smooth_image(width, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(1, 3, 5, width // 4, generator=generator)
    return torch.nn.functional.interpolate(
        small, size=(16, width), mode='bicubic', align_corners=True
    ).clamp(0, 1)


def views(*sources, target=None):
    transform = torch.eye(4)[None]
    transform[0, 0, 3] = -BASELINE
    scene = smooth_image(40)
    target = scene[..., :32] if target is None else target
    sources = list(sources) or [scene[..., 2:34]]  # seen two pixels further left
    return ViewBatch(target, sources, [transform] * len(sources), K, [K] * len(sources))


def brute_force_ssim_error(a, b, row, column):
    """Evaluate the definition on the 3x3 window around an inner pixel."""
    x, y = (values[row - 1 : row + 2, column - 1 : column + 2].double() for values in (a, b))
    covariance = (x * y).mean() - x.mean() * y.mean()
    top = (2 * x.mean() * y.mean() + 1e-4) * (2 * covariance + 9e-4)
    bottom = (x.mean() ** 2 + y.mean() ** 2 + 1e-4) * (
        x.var(correction=0) + y.var(correction=0) + 9e-4
    )
    return float(((1 - top / bottom) / 2).clamp(0, 1))


def test_structural_error_is_its_definition():
    a, b = smooth_image(32), smooth_image(32, seed=1)
    actual = ssim_error(a, b)
    assert actual.shape == a.shape
    for row, column in ((1, 1), (7, 20), (14, 30)):
        expected = brute_force_ssim_error(a[0, 1], b[0, 1], row, column)
        assert actual[0, 1, row, column].item() == pytest.approx(expected, abs=1e-5)
    assert ssim_error(a, a).abs().max() < 1e-6


def test_photometric_error_weighs_its_two_terms():
    a, b = smooth_image(32), smooth_image(32, seed=1)
    assert photometric_error(a, b).shape == (1, 1, 16, 32)
    assert photometric_error(a, a).abs().max() < 1e-6
    torch.testing.assert_close(
        photometric_error(a, b, 0.0), (a - b).abs().mean(dim=1, keepdim=True)
    )
    torch.testing.assert_close(
        photometric_error(a, b, 1.0), ssim_error(a, b).mean(dim=1, keepdim=True)
    )


def test_smoothness_of_a_ramp_and_of_an_edge():
    flat = torch.full((1, 3, 4, 5), 0.5)
    ramp = torch.arange(1.0, 6.0).expand(1, 1, 4, 5)  # mean 3, slope 1 along columns
    assert edge_aware_smoothness(ramp, flat).item() == pytest.approx(1 / 3, rel=1e-5)
    assert edge_aware_smoothness(torch.ones(1, 1, 4, 5), flat).item() == 0
    step, edge = torch.ones(1, 1, 4, 4), torch.zeros(1, 3, 4, 4)
    step[..., 2:], edge[..., 2:] = 3.0, 1.0
    # One of three column differences, 2 over the mean of 2.
    damped = 1.0 / 3 * torch.exp(torch.tensor(-1.0))
    assert edge_aware_smoothness(step, edge).item() == pytest.approx(damped.item(), rel=1e-5)


def test_the_true_depth_has_the_lowest_loss():
    module = ViewSynthesisLoss(auto_mask=False, smoothness_weight=0.0)
    losses = {
        depth: module([torch.full((1, 1, 4, 8), depth)], views(), lambda x: x)[
            'loss_photometric'
        ].item()
        for depth in (2.5, 4.0, DEPTH, 7.0, 50.0)
    }
    assert min(losses, key=losses.get) == DEPTH
    assert losses[DEPTH] < 0.15 * losses[50.0]


def test_auto_mask_leaves_out_what_does_not_move():
    scene = smooth_image(32)
    static = views(scene, target=scene)
    module = ViewSynthesisLoss(smoothness_weight=0.0)
    depth = torch.full((1, 1, 16, 32), DEPTH, requires_grad=True)
    loss = module([depth], static, lambda x: x)['loss_photometric']
    loss.backward()
    assert loss.item() < 1e-3
    assert torch.isfinite(depth.grad).all()
    assert ViewSynthesisLoss(auto_mask=False, smoothness_weight=0.0)([depth], static, lambda x: x)[
        'loss_photometric'
    ] > 10 * loss.clamp(min=1e-6)


def test_the_better_of_two_sources_counts():
    good, occluded = smooth_image(40)[..., 2:34], torch.zeros(1, 3, 16, 32)
    module = ViewSynthesisLoss(auto_mask=False)
    depth = torch.full((1, 1, 16, 32), DEPTH)
    alone = module.reprojection_error(depth, views(good))
    torch.testing.assert_close(module.reprojection_error(depth, views(occluded, good)), alone)


def test_candidates_and_empty_masks():
    first, second = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 1.0, 4.0])
    errors = [values.view(1, 1, 1, 3) for values in (first, second)]
    assert best_candidate(errors).flatten().tolist() == [0, 1, 0]
    assert masked_mean(first, first > 9).item() == 0
    assert masked_mean(first, first > 1).item() == pytest.approx(2.5)


def test_outputs_of_all_scales_count_alike():
    module = ViewSynthesisLoss(auto_mask=False, smoothness_weight=0.5)
    fine, coarse = torch.rand(1, 1, 16, 32) + 4, torch.full((1, 1, 4, 8), DEPTH)
    one, other = (module([values], views(), lambda x: x) for values in (fine, coarse))
    both = module([coarse, fine], views(), lambda x: x)
    torch.testing.assert_close(
        both['loss_photometric'], (one['loss_photometric'] + other['loss_photometric']) / 2
    )
    torch.testing.assert_close(
        both['loss_smooth'], (other['loss_smooth'] + one['loss_smooth'] / 2) / 2
    )
