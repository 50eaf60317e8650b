"""Losses on derivatives against closed forms of planes and parabolas, and a loop over pixels."""

import numpy as np
import pytest
import torch

from depth.engine.config import load_config
from depth.models.losses import MultiScaleDerivativeLoss, multi_scale_derivative_loss
from depth.registry import MODELS
from depth.structures import DepthDataSample
from tests.shared import REPO

U = torch.arange(64.0).expand(1, 1, 48, 64)
V = torch.arange(48.0).view(-1, 1).expand(1, 1, 48, 64)
EVERYWHERE = torch.ones(1, 1, 48, 64, dtype=torch.bool)


@pytest.mark.parametrize('power', [1, 2])
@pytest.mark.parametrize('scales', [1, 3, 4])
def test_a_plane_has_its_slopes_which_double_with_every_scale(power, scales):
    error = 0.3 * U - 0.2 * V + 5
    loss = multi_scale_derivative_loss(U + error, U, EVERYWHERE, 'scharr', power, scales)
    terms = [(0.3 * 2**k) ** power + (0.2 * 2**k) ** power for k in range(scales)]
    assert loss.item() == pytest.approx(np.mean(terms), rel=1e-4)
    laplace = multi_scale_derivative_loss(U + error, U, EVERYWHERE, 'laplace', power, scales)
    assert laplace.item() == pytest.approx(0, abs=1e-4)


def test_a_parabola_has_its_curvature():
    # Means of four neighbours keep the curvature, which is four times as large on twice the grid.
    loss = multi_scale_derivative_loss(0.05 * U**2, 0 * U, EVERYWHERE, 'laplace', 1, 2)
    assert loss.item() == pytest.approx((0.1 + 0.4) / 2, rel=1e-3)


def test_a_scale_without_pixels_counts_as_zero():
    two = multi_scale_derivative_loss(U[..., :6, :6], 0 * U[..., :6, :6], EVERYWHERE[..., :6, :6])
    assert two.item() == pytest.approx((1 + 2) / 6)  # 6x6 and 3x3 pixels; 1x1 has no derivative


@pytest.mark.parametrize('operator', ['scharr', 'laplace'])
def test_it_is_the_loop_over_pixels_whose_neighbours_are_all_known(operator):
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.rand(2, 2, 1, 14, 17, generator=generator)
    mask = torch.rand(2, 1, 14, 17, generator=generator) > 0.04
    kernels = {
        'scharr': [np.outer([3, 10, 3], [-1, 0, 1]) / 32, np.outer([-1, 0, 1], [3, 10, 3]) / 32],
        'laplace': [np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])],
    }[operator]
    errors = (pred - target)[:, 0].numpy().astype(float)
    known = mask[:, 0].numpy()
    expected = 0.0
    for _ in range(2):
        total, count = 0.0, 0
        for image in range(2):
            for row in range(1, errors.shape[1] - 1):
                for column in range(1, errors.shape[2] - 1):
                    window = np.s_[image, row - 1 : row + 2, column - 1 : column + 2]
                    if known[window].all():
                        count += 1
                        total += sum(abs((errors[window] * kernel).sum()) for kernel in kernels)
        expected += total / count / 2
        rows, columns = errors.shape[1] // 2 * 2, errors.shape[2] // 2 * 2
        shape = (2, rows // 2, 2, columns // 2, 2)
        errors = errors[:, :rows, :columns].reshape(shape).mean(axis=(2, 4))
        known = known[:, :rows, :columns].reshape(shape).all(axis=(2, 4))
    # What is predicted and written where there is no label does not matter.
    pred, target = torch.where(mask, pred, 1e6), torch.where(mask, target, -7)
    loss = multi_scale_derivative_loss(pred, target, mask, operator, 1, 2)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_a_normalised_loss_knows_no_scale_and_shift():
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.rand(2, 2, 1, 24, 32, generator=generator)
    mask = torch.rand(2, 1, 24, 32, generator=generator) > 0.02
    loss = MultiScaleDerivativeLoss(normalize=True, scales=3)
    assert loss(7 * pred + 3, target, mask).item() == pytest.approx(
        loss(pred, target, mask).item(), rel=1e-4
    )
    assert loss(7 * target + 3, target, mask).item() == pytest.approx(0, abs=1e-5)
    plain = MultiScaleDerivativeLoss(scales=3)
    assert plain(7 * pred + 3, target, mask) > 3 * plain(pred, target, mask)


@pytest.mark.parametrize('normalize', [False, True])
def test_without_labels_it_is_zero_and_has_no_gradient(normalize):
    pred = torch.rand(1, 1, 16, 16, requires_grad=True)
    loss = MultiScaleDerivativeLoss(normalize=normalize)
    value = loss(pred, torch.zeros_like(pred), torch.zeros(1, 1, 16, 16, dtype=torch.bool))
    value.backward()
    assert value.item() == 0
    assert not pred.grad.any()


@pytest.mark.parametrize('options', [dict(operator='sobel'), dict(power=3), dict(scales=0)])
def test_options_are_checked(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        MODELS.build(dict(type='MultiScaleDerivativeLoss', **options))


def test_depth_pros_second_stage_has_a_term_for_each_loss():
    """Canonical inverse depth that is off by a plane has the closed forms above in its terms."""
    cfg = load_config(REPO / 'configs/depth_pro/depth_pro_vitl_hypersim.py')
    head = MODELS.build(
        dict(
            type='DepthProHead',
            in_channels=(8, 8, 8, 8, 8),
            fov_channels=8,
            fov_grid=4,
            channels=8,
            loss_decode=cfg.model.decode_head.loss_decode.to_dict(),
        )
    )
    camera = torch.tensor([[64.0, 0, 31.5], [0, 64.0, 23.5], [0, 0, 1]])  # f / W is 1
    depth = 2 + 0.01 * U
    outputs = dict(inverse_depth=1 / depth + 0.1 * U, fov=torch.tensor([53.130102]))
    losses = head.loss(outputs, depth, [DepthDataSample(intrinsics=camera)])
    slopes = [0.1 * 2**k for k in range(5)]  # 48 rows: 3 are left at the fifth scale
    expected = {
        'loss_depth_TrimmedL1Loss': 0.1 * 31.5,
        # The mean of u^2 of 64 columns is 63 * 127 / 6.
        'loss_depth_SquaredErrorLoss': 0.01 * 63 * 127 / 6,
        'loss_depth_MultiScaleDerivativeLoss': sum(slopes) / 6,
        'loss_depth_MultiScaleDerivativeLoss_1': 0,
        'loss_depth_MultiScaleDerivativeLoss_2': sum(slope**2 for slope in slopes) / 6,
        'loss_fov': 0,
    }
    assert losses.keys() == expected.keys()
    for name, value in expected.items():
        assert losses[name].item() == pytest.approx(value, rel=1e-3, abs=1e-4), name
