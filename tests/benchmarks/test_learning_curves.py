"""The plain published training, and this toolbox beside it."""

import pytest
import torch

from benchmarks import learning_curves
from benchmarks.learning_curves import Curve
from benchmarks.published_recipes import RECIPES, PublishedSILog, first_beta, learning_rate
from depth.engine.config import load_config
from tests.parity.recorded import load_arrays, load_case

SCHEDULES = {
    'depthformer': ('depthformer_swint_w7_nyu', 38400),
    'binsformer': ('binsformer_swint_w7_nyu', 38400),
    'bts': ('bts_r50_nyu', 24 * 1514),
    'adabins': ('adabins_nyu', 24 * 1514),
    'dpt': ('dpt_nyu', 24 * 1514),
}


@pytest.mark.parametrize('method', SCHEDULES)
def test_the_plain_schedule_is_the_recorded_one(method):
    case, iterations = SCHEDULES[method]
    recipe = RECIPES[method]
    for iteration, (rate, betas) in load_case('schedules')['cases'][case].items():
        assert learning_rate(recipe, int(iteration), iterations) == pytest.approx(rate, rel=1e-9)
        beta = first_beta(recipe, int(iteration), iterations)
        assert [beta, recipe.betas[1]] == pytest.approx(betas, rel=1e-9)


def test_the_plain_loss_is_the_recorded_one():
    arrays = load_arrays('losses')
    pred, gt = torch.from_numpy(arrays['pred']), torch.from_numpy(arrays['gt'])
    loss = PublishedSILog()
    assert float(loss(pred, gt, gt > 0)) == pytest.approx(
        float(arrays['out/sig_default']), rel=1e-6
    )
    warm = PublishedSILog(warm_up=True)
    warm.calls = 98
    values = [float(warm(pred, gt, gt > 0)) for _ in range(3)]
    error = torch.log(pred[gt > 0] + 1e-3) - torch.log(gt[gt > 0] + 1e-3)
    assert values[1] == pytest.approx(0.15**0.5 * abs(float(error.mean())), rel=1e-5)
    assert values[2] == pytest.approx(float(arrays['out/sig_default']), rel=1e-6)


def test_both_sides_begin_alike():
    """Six iterations of both: what differs is the rounding of augmented colours to bytes."""
    recipe = RECIPES['bts']
    published = learning_curves.train_plainly(recipe, 0, 6, 2, 2)
    ours = learning_curves.train_with_runner(recipe, 0, 6, 2, 2)
    assert ours.losses == pytest.approx(published.losses, rel=5e-4)
    assert ours.abs_rel == pytest.approx(published.abs_rel, rel=1e-3)


@pytest.mark.parametrize('method', RECIPES)
def test_a_recipe_names_the_configs_that_have_its_numbers(method):
    recipe = RECIPES[method]
    shipped = load_config(recipe.shipped)
    optimizer = shipped.optim_wrapper.optimizer
    assert (optimizer.lr, tuple(optimizer.betas), optimizer.weight_decay) == (
        recipe.lr,
        recipe.betas,
        recipe.weight_decay,
    )
    assert shipped.optim_wrapper.clip_grad.max_norm == recipe.max_norm
    preprocessor = load_config(recipe.tiny).model.data_preprocessor
    assert tuple(preprocessor.get('mean', RECIPES['bts'].mean)) == recipe.mean


def test_a_difference_is_named_when_its_interval_leaves_out_zero():
    base = [Curve([1.0] * 60, value) for value in (0.20, 0.21, 0.22)]
    same = [Curve([1.0] * 60, value) for value in (0.21, 0.20, 0.22)]
    worse = [Curve([1.1] * 60, value) for value in (0.25, 0.26, 0.27)]
    assert learning_curves.compare('a', base, same)['differs'] == 'no'
    row = learning_curves.compare('a', base, worse)
    assert row['differs'] == 'yes'
    assert row['change_of_abs_rel'] == pytest.approx(0.05)
    assert row['largest_difference_at_start'] == pytest.approx(0.1)
    assert row['change_of_final_loss'] == pytest.approx(0.1)
