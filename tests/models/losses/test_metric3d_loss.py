"""Losses of Metric3D against recorded values and gradients, closed forms and brute force."""

import math

import numpy as np
import pytest
import torch

from depth.models.losses import metric3d_loss as losses
from depth.models.losses import silog_loss
from depth.models.losses.relative_depth_loss import gradient_matching_loss, normalize_robustly
from tests.parity.recorded import load_arrays, load_case

K = torch.tensor([[[40.0, 0, 15.5], [0, 40, 11.5], [0, 0, 1]]])


def recorded(name):
    values = torch.from_numpy(load_arrays('relative_losses')[f'in/{name}'])
    return values.unsqueeze(1)


def sequence(pred, target, mask):
    """Return the recorded weighting of three predictions, the first of them constant."""
    depths = [1.1 * pred.detach(), 0.95 * pred, pred]
    confidence = recorded('confidence')
    return 0.5 * losses.depth_sequence_loss(depths, [confidence] * 3, target, mask)


def gradients_of_images(pred, target, mask):
    return gradient_matching_loss(pred - target, mask, scales=4, reduction='image')


def normalized_distance(pred, target, mask):
    residual = normalize_robustly(pred, mask) - normalize_robustly(target, mask)
    return residual.abs().sum() / mask.sum()


def squared_silog(pred, target, mask):
    return silog_loss(pred, target, mask, variance_focus=0.5, eps=0, unbiased=False).square()


@pytest.mark.parametrize(
    ('name', 'loss', 'relative'),
    [
        ('gradient_matching', gradients_of_images, True),
        ('gradient_log', losses.LogGradientLoss(), False),
        ('ssi_mae', normalized_distance, True),
        ('silog', squared_silog, False),
        ('gru_sequence', sequence, False),
    ],
)
def test_values_and_gradients_are_the_published_ones(name, loss, relative):
    pred = recorded('relative_prediction' if relative else 'prediction').requires_grad_()
    target = recorded('inverse_target' if relative else 'target')
    value = loss(pred, target, recorded('mask'))
    value.backward()
    expected = load_case('relative_losses')['cases'][f'metric3d/{name}']['value']
    assert value.item() == pytest.approx(expected, rel=1e-5)
    grad = load_arrays('relative_losses')[f'metric3d/{name}/grad']
    error = np.linalg.norm(pred.grad.numpy().ravel() - grad.ravel())
    assert error < 1e-5 * np.linalg.norm(grad)


def random_maps(seed=0, shape=(2, 1, 24, 32)):
    generator = torch.Generator().manual_seed(seed)
    target = 1 + 4 * torch.rand(shape, generator=generator)
    pred = target * (1 + 0.2 * torch.randn(shape, generator=generator))
    mask = torch.rand(shape, generator=generator) < 0.7
    return pred.clamp(min=0.1).requires_grad_(), target, mask


ALL_LOSSES = {
    'sequence': lambda p, t, m: losses.depth_sequence_loss([p, p], [p, p], t, m),
    'normal': lambda p, t, m: losses.normal_sequence_loss(
        [p * torch.tensor([1, -1, 0.5, 1]).view(1, 4, 1, 1)],
        torch.where(m, t, 0).expand(-1, 3, -1, -1),
    ),
    'consistency': lambda p, t, m: losses.depth_normal_consistency_loss(
        p.expand(-1, 3, -1, -1), p, m, K.expand(2, 3, 3)
    ),
    'virtual_normal': lambda p, t, m: losses.virtual_normal_loss(p, t, m, K.expand(2, 3, 3)),
    'regions': lambda p, t, m: losses.region_loss(p, t, losses.random_rectangles(m, 3)),
    'ranges': lambda p, t, m: losses.region_loss(p, t, losses.random_depth_ranges(t, m, 3)),
    'log_gradient': losses.log_gradient_loss,
}


@pytest.mark.parametrize('name', ALL_LOSSES)
def test_without_labels_the_loss_is_zero_and_finite(name):
    pred, target, mask = random_maps()
    value = ALL_LOSSES[name](pred, torch.zeros_like(target), torch.zeros_like(mask))
    value.backward()
    assert value.item() == 0
    assert pred.grad is None or not pred.grad.any()


@pytest.mark.parametrize('name', ALL_LOSSES)
def test_what_is_masked_out_does_not_count(name):
    pred, target, mask = random_maps()
    # The extreme values of labels change the depth ranges that are drawn, holes do not.
    wild = torch.where(mask, target, 1e3)
    values = []
    for labels in (target, wild):
        torch.manual_seed(0)
        values.append(ALL_LOSSES[name](pred, labels, mask).item())
    assert values[0] == values[1]
    assert math.isfinite(values[0]) and values[0] != 0


def test_weights_of_iterations_span_fifteen_steps():
    assert losses.iteration_weights(1) == [1.0]
    assert losses.iteration_weights(4) == pytest.approx([0.9**15, 0.9**10, 0.9**5, 1.0])


def test_a_right_angle_and_a_large_concentration_cost_half_pi_times_it():
    prediction = torch.tensor([1.0, 0, 0, 20]).view(1, 4, 1, 1).expand(1, 4, 8, 8)
    target = torch.tensor([0, 0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    value = losses.normal_sequence_loss([prediction], target)
    assert value.item() == pytest.approx(20 * math.pi / 2 - math.log(401), rel=1e-5)


def test_a_plane_is_consistent_with_its_normal():
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.2, -1.0]), dim=0)
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing='ij')
    rays = torch.stack([(columns - 15.5) / 40, (rows - 11.5) / 40, torch.ones(24, 32)])
    depth = (-3 / (normal.view(3, 1, 1) * rays).sum(dim=0)).view(1, 1, 24, 32)
    normals = normal.view(1, 3, 1, 1).expand(1, 3, 24, 32)
    mask = torch.ones_like(depth, dtype=torch.bool)
    assert losses.depth_normal_consistency_loss(normals, depth, mask, K) < 1e-5
    opposite = losses.depth_normal_consistency_loss(-normals, depth, mask, K)
    assert opposite.item() == pytest.approx(2, rel=1e-4)


def test_the_sky_is_drawn_to_the_far_end_on_every_iteration():
    sky = torch.zeros(1, 1, 4, 6, dtype=torch.bool)
    sky[:, :, :2] = True
    depths = [torch.full((1, 1, 4, 6), 50.0), torch.where(sky, 150.0, 3.0)]
    sideways = torch.tensor([1.0, 0, 0, 9]).view(1, 4, 1, 1).expand(1, 4, 4, 6)
    back = torch.tensor([0, 0, -1.0, 9]).view(1, 4, 1, 1).expand(1, 4, 4, 6)
    value = losses.sky_sequence_loss(depths, [sideways, back], sky, far=200.0)
    assert value.item() == pytest.approx(0.9**15 * (150 + 1) + 50, rel=1e-5)
    assert losses.sky_sequence_loss(depths, [sideways, back], sky & False).item() == 0


def wall_depth(normal, distance):
    """Return the depth (24, 32) of a plane as the camera K sees it."""
    rows, columns = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing='ij')
    rays = torch.stack([(columns - 15.5) / 40, (rows - 11.5) / 40, torch.ones(24, 32)])
    return distance / (torch.tensor(normal).view(3, 1, 1) * rays).sum(dim=0)


def test_planes_have_no_loss_whatever_their_scale_and_bumps_have():
    torch.manual_seed(0)
    left, right = wall_depth((0.5, 0.1, 1.0), 3.0), wall_depth((-0.3, 0.0, 1.0), 4.0)
    planes = torch.ones(1, 1, 24, 32, dtype=torch.uint8)
    planes[..., 16:] = 7
    depth = torch.where(planes == 1, left, right)
    assert losses.plane_loss(2.5 * depth, planes, K).item() < 1e-4
    # As one plane the two walls are none, and noise is not plane either.
    assert losses.plane_loss(depth, torch.ones_like(planes), K).item() > 0.02
    bumpy = (depth * (1 + 0.05 * torch.randn(1, 1, 24, 32))).requires_grad_()
    first = losses.plane_loss(bumpy, planes, K).item()
    assert first > 0.05
    for _ in range(60):
        (gradient,) = torch.autograd.grad(losses.plane_loss(bumpy, planes, K), bumpy)
        bumpy = (bumpy - 2.0 * gradient).detach().requires_grad_()
    assert losses.plane_loss(bumpy, planes, K).item() < 0.5 * first
    assert losses.plane_loss(bumpy, 0 * planes, K).item() == 0


def test_triangles_do_not_see_a_global_scale_and_hold_depth_to_the_plane():
    _, target, mask = random_maps(3)
    camera = K.expand(2, 3, 3)
    assert losses.virtual_normal_loss(1.3 * target, target, mask, camera) < 1e-4
    assert losses.virtual_normal_loss(target.flip(-1), target, mask, camera) > 0.1


def test_the_smallest_quarter_of_the_triangles_is_dropped():
    """Every eighth row of a wall is wrong: the triangles of the others do not dilute the mean."""
    target = torch.full((1, 1, 24, 32), 3.0)
    mask = torch.ones_like(target, dtype=torch.bool)
    pred = target.clone()
    pred[:, :, ::8] = 3.5
    values = {}
    for dropped in (0.0, 0.25):
        torch.manual_seed(1)
        values[dropped] = losses.virtual_normal_loss(
            pred, target, mask, K, sample_ratio=1.0, dropped=dropped
        )
    assert values[0.25] / values[0.0] == pytest.approx(4 / 3, rel=0.01)


def test_a_region_is_normalised_alone():
    """Brute force with numpy over every region."""
    pred, target, mask = random_maps(5)
    regions = [mask & (target < 2.5), mask & (target > 3)]
    total = count = 0
    for region in regions:
        for index in range(2):
            inside = region[index, 0].numpy()
            maps = []
            for values in (pred, target):
                x = values[index, 0].detach().numpy()[inside].astype(np.float64)
                center = np.sort(x)[(len(x) - 1) // 2]
                maps.append((x - center) / np.abs(x - center).mean())
            total += np.abs(maps[0] - maps[1]).sum()
            count += inside.sum()
    value = losses.region_loss(pred, target, regions)
    assert value.item() == pytest.approx(total / count, rel=1e-4)
    scaled = losses.region_loss(3 * pred + 1, target, regions)
    assert scaled.item() == pytest.approx(value.item(), rel=1e-4)


def test_random_regions_have_the_sizes_that_their_rules_say():
    torch.manual_seed(0)
    mask = torch.ones(2, 1, 64, 96, dtype=torch.bool)
    mask[:, :, :8] = False
    target = torch.linspace(2, 12, 96).expand(2, 1, 64, 96)
    for region in losses.random_rectangles(mask, 20):
        rows, columns = region[0, 0].any(dim=1).sum(), region[0, 0].any(dim=0).sum()
        assert rows <= 33 and columns <= 49
        assert not (region & ~mask).any()
    for region in losses.random_depth_ranges(target, mask, 20):
        values = target[region]
        assert values.max() - values.min() > 0.85  # a tenth of ten metres, less one column a side
        assert not (region & ~mask).any()
