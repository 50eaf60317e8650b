"""The plain published training, and this toolbox beside it."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope

from benchmarks import learning_curves
from benchmarks.learning_curves import Curve
from benchmarks.published_pipeline import published_pipeline
from benchmarks.published_recipes import (
    RECIPES,
    PublishedSILog,
    collate,
    first_beta,
    learning_rate,
    parameter_groups,
)
from depth.datasets.samplers import ResumableInfiniteSampler
from depth.engine.config import load_config
from depth.registry import DATASETS
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


def test_the_polynomial_is_that_of_torch():
    """mmdepth's rates were not recorded; torch's scheduler computes them step by step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-4)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=40, power=0.9)
    for iteration in range(40):
        rate = learning_rate(RECIPES['scaledepth'], iteration, 40)
        assert rate == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        scheduler.step()


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


@pytest.mark.parametrize('method', ['bts', 'scaledepth'])
def test_both_sides_see_the_same_images(method):
    """Depth is equal. Levels are rounded here; published, up to three steps cut off a fraction."""
    recipe = RECIPES[method]
    init_default_scope('depth')
    cfg = learning_curves.training_config(recipe, 0, 10, 2, 8)
    published, samples = collate(
        next(learning_curves.raw_batches(cfg, 0)),
        published_pipeline(learning_curves.PIPELINES[recipe.augmentation]),
        recipe,
    )
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sampler = ResumableInfiniteSampler(dataset, 8, shuffle=True, seed=0)
    for row, index in enumerate(sampler.batch_of_iteration(0)):
        ours = dataset[index]
        assert torch.equal(ours['data_samples'].gt_depth.squeeze(), samples[row].gt_depth.squeeze())
        levels = published[row] * torch.tensor(recipe.std)[:, None, None]
        levels = levels + torch.tensor(recipe.mean)[:, None, None]
        difference = ours['inputs'].flip(0).float() - levels
        assert difference.abs().mean() < 3


@pytest.mark.parametrize('method', RECIPES)
def test_both_sides_have_the_same_parameter_groups(method):
    recipe = RECIPES[method]
    cfg = learning_curves.training_config(recipe, 0, 10, 2, 2)
    init_default_scope('depth')
    model = learning_curves.initial_model(cfg, 0)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    ours = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            rate = group['lr'] / (learning_curves.RATE_FACTOR * recipe.lr)
            ours[parameter] = (pytest.approx(rate), group['weight_decay'])
    names = {parameter: name for name, parameter in model.named_parameters()}
    for group in parameter_groups(model, recipe):
        parameter = group['params'][0]
        expected = (group['share_of_rate'], group['weight_decay'])
        assert expected == ours[parameter], names[parameter]


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
