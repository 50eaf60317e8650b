import numpy as np
import pytest
import torch
from mmengine.logging import MessageHub

from depth.models.losses import SILogLoss, silog_loss
from tests.parity.recorded import load_arrays

CASES = {
    'sig_default': {},
    'sig_weight10': dict(loss_weight=10),
    'sig_max_depth5': dict(max_depth=5.0),
    'sig_first_image': {},
    'sig_second_image': {},
    'sig_zero_pred': {},
    'sig_warm_up_grad': dict(warm_up=True),
    'sig_warm_up_max_depth5': dict(warm_up=True, max_depth=5.0),
}


@pytest.fixture
def at_iteration():
    """Set the runner's iteration that losses read."""
    hub = MessageHub.get_current_instance()

    def set_iteration(iteration):
        hub.update_info('iter', iteration)

    yield set_iteration
    hub.update_info('iter', 0)


@pytest.mark.parametrize('case', CASES)
def test_values_and_gradients_are_the_published_ones(case, at_iteration):
    at_iteration(0)
    arrays = load_arrays('losses')
    pred, gt = arrays['pred_zero' if case == 'sig_zero_pred' else 'pred'], arrays['gt']
    if case in ('sig_first_image', 'sig_second_image'):
        index = int(case == 'sig_second_image')
        pred, gt = pred[index : index + 1], gt[index : index + 1]
    pred, gt = torch.from_numpy(pred).requires_grad_(), torch.from_numpy(gt)
    loss = SILogLoss(**CASES[case])(pred, gt, gt > 0)
    loss.backward()
    recorded = {key.split('/')[-1]: arrays[key] for key in arrays if key.startswith(f'out/{case}/')}
    value = recorded.get('loss', arrays.get(f'out/{case}', None))
    assert loss.item() == pytest.approx(float(np.ravel(value)[0]), rel=1e-5)
    if 'grad' in recorded:
        assert np.linalg.norm(pred.grad.numpy() - recorded['grad']) < 1e-5 * np.linalg.norm(
            recorded['grad']
        )


def test_warm_up_follows_the_iteration_and_not_the_number_of_calls(at_iteration):
    pred, gt = torch.rand(1, 1, 4, 4) + 1, torch.rand(1, 1, 4, 4) + 2
    loss = SILogLoss(warm_up=True, warm_iter=100)
    mask = torch.ones_like(gt, dtype=torch.bool)
    at_iteration(99)
    values = {loss(pred, gt, mask).item() for _ in range(5)}
    assert values == {silog_loss(pred, gt, mask, mean_only=True).item()}
    at_iteration(100)
    assert loss(pred, gt, mask).item() == silog_loss(pred, gt, mask).item()


@pytest.mark.parametrize('valid', [0, 1])
def test_hardly_any_ground_truth_gives_a_finite_loss_and_gradient(valid):
    pred = (torch.rand(1, 1, 3, 3) + 1).requires_grad_()
    mask = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    mask.view(-1)[:valid] = True
    loss = silog_loss(pred, torch.full_like(pred, 2.0), mask)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(pred.grad).all()
    assert (pred.grad == 0).sum() >= 9 - valid


def test_a_perfect_prediction_has_a_finite_gradient():
    pred = torch.full((1, 1, 3, 3), 2.0, requires_grad=True)
    silog_loss(pred, torch.full_like(pred, 2.0), torch.ones_like(pred, dtype=torch.bool)).backward()
    assert torch.isfinite(pred.grad).all()


def test_half_precision_predictions_are_compared_in_float32():
    torch.manual_seed(0)
    pred, gt = torch.rand(1, 1, 8, 8) * 60 + 1, torch.rand(1, 1, 8, 8) * 60 + 1
    mask = torch.ones_like(gt, dtype=torch.bool)
    pred = pred.bfloat16()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        loss = SILogLoss()(pred, gt, mask)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(
        silog_loss(pred.double().float(), gt, mask).item(), rel=1e-6
    )
    assert loss.item() == pytest.approx(
        (lambda g: (g.var() + 0.15 * g.mean() ** 2).sqrt())(
            (pred.double() + 1e-3).log() - (gt + 1e-3).log()
        ).item(),
        rel=1e-4,
    )
