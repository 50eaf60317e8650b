"""Losses on relative depth against recorded values of the published codes, and closed forms."""

import numpy as np
import pytest
import torch

from depth.models.losses import SILogLoss
from depth.models.losses.relative_depth_loss import (
    GradientMatchingLoss,
    ScaleShiftInvariantLoss,
    gradient_matching_loss,
    masked_mean,
    reduce_pixels,
    scale_shift_invariant_loss,
)
from tests.parity.recorded import load_arrays, load_case

CASES = load_case('relative_losses')['cases']


def arrays_of(prediction, target):
    """Return recorded inputs as (N, 1, H, W): a prediction with gradient, target and mask."""
    arrays = load_arrays('relative_losses')
    tensors = [torch.from_numpy(arrays[f'in/{name}']).unsqueeze(1) for name in (prediction, target)]
    mask = torch.from_numpy(arrays['in/mask']).unsqueeze(1)
    return tensors[0].requires_grad_(), tensors[1], mask


def assert_recorded(case, pred, value, terms=None):
    value.backward()
    assert value.item() == pytest.approx(CASES[case]['value'], rel=2e-6)
    if terms is not None:
        assert [term.item() for term in terms] == pytest.approx(CASES[case]['parts'], rel=5e-6)
    expected = load_arrays('relative_losses')[f'{case}/grad']
    error = np.linalg.norm(pred.grad[:, 0].numpy() - expected) / np.linalg.norm(expected)
    assert error < 1e-5


RECORDED = {
    'midas/ssi_mse_batch': {},
    'midas/ssi_mse_image': dict(reduction='image'),
    'formula/ssi_trimmed_per_image': dict(form='robust'),
    'formula/ssi_trimmed_pooled': dict(form='robust', trim_over='batch'),
}


@pytest.mark.parametrize('case', RECORDED)
def test_values_parts_and_gradients_are_the_recorded_ones(case):
    pred, target, mask = arrays_of('relative_prediction', 'inverse_target')
    terms = scale_shift_invariant_loss(pred, target, mask, **RECORDED[case])
    assert_recorded(case, pred, sum(terms), terms)


def test_the_accidents_of_the_robust_gist_explain_its_values():
    """Its median counts masked pixels as 0, and it trims nothing; ours does neither."""
    pred, target, mask = arrays_of('relative_prediction', 'inverse_target')
    normalized = []
    for values in (pred, target):
        values = torch.where(mask, values, 0)
        median = values.flatten(1).median(dim=1).values[:, None, None, None]
        normalized.append((values - median) / masked_mean((values - median).abs(), mask))
    residual = torch.where(mask, normalized[0] - normalized[1], 0)
    data = reduce_pixels(residual.abs().sum(dim=(1, 2, 3)), mask.sum(dim=(1, 2, 3)), 'batch') / 2
    terms = [data, 0.5 * gradient_matching_loss(residual, mask)]
    assert_recorded('midas/robust_as_published', pred, sum(terms), terms)


def test_silog_of_depth_anything_v2():
    pred, target, mask = arrays_of('prediction', 'target')
    loss = SILogLoss(variance_focus=0.5, eps=0.0, unbiased=False)
    assert_recorded('dav2/silog', pred, loss(pred, target, mask))


@pytest.mark.parametrize('form', ['least_squares', 'robust'])
def test_scale_and_shift_of_an_image_cost_nothing(form):
    generator = torch.Generator().manual_seed(0)
    target = torch.rand(3, 1, 16, 20, generator=generator) + 0.1
    mask = torch.rand(target.shape, generator=generator) > 0.3
    factors = torch.tensor([0.2, 3.0, 40.0]).view(3, 1, 1, 1)
    data, gradient = scale_shift_invariant_loss(factors * target + 7, target, mask, form=form)
    assert data < 1e-6 and gradient < 1e-3
    data, _ = scale_shift_invariant_loss(target.flip(-1), target, mask, form=form)
    assert data > 0.01


def test_least_squares_alignment_is_that_of_numpy():
    pred, target, mask = arrays_of('relative_prediction', 'inverse_target')
    data, _ = scale_shift_invariant_loss(pred, target, mask, reduction='image')
    errors = []
    for image in range(2):
        valid = mask[image].numpy()
        x = pred.detach()[image].numpy()[valid].astype(np.float64)
        y = target[image].numpy()[valid].astype(np.float64)
        residual = np.polyval(np.polyfit(x, y, 1), x) - y
        errors.append((residual**2).mean() / 2)
    assert data.item() == pytest.approx(np.mean(errors), rel=1e-5)


def test_trimming_ignores_the_share_of_wrong_labels():
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(1, 1, 20, 20, generator=generator)
    wrong = pred.clone()
    wrong.view(-1)[:40] += 0.2  # 10 % of the labels
    mask = torch.ones_like(pred, dtype=torch.bool)
    losses = {}
    for trim in (0.0, 0.2):
        losses[trim], _ = scale_shift_invariant_loss(pred, wrong, mask, form='robust', trim=trim)
    assert losses[0.2] < 0.5 * losses[0.0]


@pytest.mark.parametrize('form', ['least_squares', 'robust'])
@pytest.mark.parametrize('reduction', ['batch', 'image'])
def test_images_without_labels_and_constant_predictions_stay_finite(form, reduction):
    target = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[1] = False
    target[1] = torch.nan
    for constant in (True, False):
        pred = torch.full_like(target, 0.5) if constant else target.nan_to_num() + mask * 0.1
        pred = pred.requires_grad_()
        loss = ScaleShiftInvariantLoss(form=form, reduction=reduction)(pred, target, mask)
        loss.backward()
        assert loss.isfinite() and pred.grad.isfinite().all()
        assert not pred.grad[1].any()
    empty = ScaleShiftInvariantLoss(form=form, reduction=reduction)(
        pred, target, torch.zeros_like(mask)
    )
    assert empty == 0


@pytest.mark.parametrize('loss', [SILogLoss, ScaleShiftInvariantLoss, GradientMatchingLoss])
def test_sparse_and_dense_images_of_a_batch_count_alike(loss):
    """With reduction='image' the loss is the mean of the losses of each image alone."""
    generator = torch.Generator().manual_seed(1)
    pred = torch.rand(2, 1, 32, 32, generator=generator) + 1
    target = torch.rand(2, 1, 32, 32, generator=generator) + 1
    mask = torch.rand(target.shape, generator=generator) > 0.2
    mask[1] = torch.rand(mask[1].shape, generator=generator) > 0.9  # sparse, as LiDAR
    module = loss(reduction='image')
    alone = [module(pred[i : i + 1], target[i : i + 1], mask[i : i + 1]) for i in range(2)]
    assert module(pred, target, mask).item() == pytest.approx(sum(alone).item() / 2, rel=1e-5)
    assert loss(reduction='batch')(pred, target, mask).item() != pytest.approx(
        sum(alone).item() / 2
    )


def test_gradient_matching_skips_holes():
    """A hole of any value changes nothing; a step between valid pixels costs its height."""
    target = torch.full((1, 1, 8, 8), 2.0)
    pred = target.clone()
    mask = torch.ones_like(target, dtype=torch.bool)
    mask[..., 3:5, :] = False
    pred[..., 3:5, :] = 100.0
    pred[..., 5:, :] = 4.0  # behind the hole: no valid neighbours differ at full resolution
    loss = GradientMatchingLoss(loss_weight=1.0, scales=1)
    assert loss(pred, target, mask) == 0
    mask[:] = True
    pred = target.clone()
    pred[..., 4:] = 4.0
    assert loss(pred, target, mask).item() == pytest.approx(8 * np.log(2) / 64, rel=1e-5)


def test_unknown_options_are_refused():
    for options in (dict(form='median'), dict(trim=1.0), dict(reduction='sum')):
        with pytest.raises(ValueError, match=next(iter(options))):
            ScaleShiftInvariantLoss(**options)
    with pytest.raises(ValueError, match='reduction'):
        SILogLoss(reduction='sum')
