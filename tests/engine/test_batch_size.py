"""Images a step of a launch and of the published recipe, and the rule that fits one to the other."""

import re

import pytest

from depth.engine.batch_size import (
    BatchSize,
    batch_size_of,
    fit_recipe_to_batch,
    launched_processes,
)
from depth.engine.config import load_config
from depth.engine.errors import ConfigError
from tests.shared import REPO

# 16 images a step: 8 on each of 2 processes
SWIN_T = REPO / 'configs/depthformer/depthformer_swint_w7_nyu.py'


@pytest.fixture
def launched_on(monkeypatch):
    """Return a function that reads a config as if torchrun had started so many processes."""

    def load(processes, config=SWIN_T, **options):
        monkeypatch.setenv('WORLD_SIZE', str(processes))
        options = {'auto_scale_lr.enable': True, 'launcher': 'pytorch', **options}
        return load_config(config, options)

    return load


@pytest.mark.parametrize(
    ('batch', 'text'),
    [
        (BatchSize(2, 8, 1, 16), '2 processes x 8 = 16 images a step; the published recipe has 16'),
        (
            BatchSize(1, 8, 1, 16),
            '1 process x 8 = 8 images a step; the published recipe has 16, for which its rate and '
            'schedule are made; --auto-scale-lr fits them to 8',
        ),
        (
            BatchSize(2, 4, 2, 16),
            '2 processes x 4 x 2 accumulated = 16 images a step; the published recipe has 16',
        ),
        (
            BatchSize(1, 4, 1, None),
            'the config states no published batch (auto_scale_lr.base_batch_size)',
        ),
    ],
)
def test_the_batch_is_said_in_a_line(batch, text):
    assert batch.describe().endswith(text)


def test_the_batch_of_a_config_counts_accumulation():
    cfg = load_config(SWIN_T, {'optim_wrapper.accumulative_counts': 4})
    assert batch_size_of(cfg, 3) == BatchSize(
        processes=3, per_process=8, accumulated=4, published=16
    )


def test_processes_are_those_of_the_launcher(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '4')
    monkeypatch.setenv('SLURM_NTASKS', '16')
    assert [launched_processes(name) for name in (None, 'none', 'pytorch', 'slurm')] == [
        1,
        1,
        4,
        16,
    ]


def test_a_quarter_of_the_batch_halves_the_rate_of_adamw_and_takes_four_times_as_long(launched_on):
    cfg = launched_on(1, **{'train_dataloader.batch_size': 4})
    text = fit_recipe_to_batch(cfg)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(6e-5 / 2)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler.max_iters == 4 * 38400
    assert cfg.param_scheduler.warmup_iters == 4 * 12800
    assert cfg.train_cfg.val_interval == cfg.default_hooks.checkpoint.interval == 4 * 1600
    assert (
        '4 images a step instead of 16: rate 6e-05 -> 3e-05 (square root rule), 38400 -> 153600 '
        'iterations' in text
    )
    assert not cfg.auto_scale_lr.enable  # mmengine's own, linear rule stays off
    assert fit_recipe_to_batch(cfg) is None


def test_a_larger_batch_shortens_and_rounds_up(launched_on):
    cfg = launched_on(6)
    fit_recipe_to_batch(cfg)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(6e-5 * 3**0.5)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler.max_iters == 12800
    assert cfg.train_cfg.val_interval == 534


def test_the_rule_of_sgd_is_linear(launched_on):
    cfg = launched_on(1, **{'optim_wrapper.optimizer': dict(_delete_=True, type='SGD', lr=0.1)})
    fit_recipe_to_batch(cfg)
    assert cfg.optim_wrapper.optimizer.lr == pytest.approx(0.05)


def test_accumulation_to_the_published_batch_keeps_the_rate_and_the_images(launched_on):
    cfg = launched_on(1, **{'optim_wrapper.accumulative_counts': 2})
    fit_recipe_to_batch(cfg)
    assert cfg.optim_wrapper.optimizer.lr == 6e-5
    assert cfg.train_cfg.max_iters == 2 * 38400


def test_nothing_changes_unless_it_is_asked_for():
    cfg = load_config(SWIN_T)
    before = cfg.to_dict()
    assert fit_recipe_to_batch(cfg) is None
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'auto_scale_lr.base_batch_size': None},
            'states no published batch; set auto_scale_lr.base_batch_size',
        ),
        (
            {'optim_wrapper.optimizer.type': 'Lion'},
            "no rule for optim_wrapper.optimizer of type 'Lion'",
        ),
        (
            {'param_scheduler.type': 'ExponentialLR'},
            "cannot stretch param_scheduler.0, 'ExponentialLR'",
        ),
        (
            {'param_scheduler.by_epoch': True},
            "cannot stretch param_scheduler.0, 'WarmupCosineLR' by epoch",
        ),
    ],
)
def test_what_has_no_rule_is_refused(options, message, launched_on):
    with pytest.raises(ConfigError, match=re.escape(message)):
        fit_recipe_to_batch(launched_on(1, **options))


@pytest.mark.parametrize(
    'page',
    sorted([*REPO.glob('configs/*/README.md'), *REPO.glob('projects/*/README.md')]),
    ids=lambda p: p.parent.name,
)
def test_the_batch_column_is_the_images_a_step_of_the_config(page):
    configs = {path.stem: path for path in page.parent.rglob('*.py')}
    column = None
    for line in page.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if any(cell.startswith('batch') for cell in cells):
            column = next(index for index, cell in enumerate(cells) if cell.startswith('batch'))
            assert cells[column] == 'batch (images a step)'
            continue
        if not line.startswith('|'):
            column = None
        config = configs.get(cells[0].split(' ')[0])
        if column is not None and config is not None:
            assert cells[column] == str(load_config(config).auto_scale_lr.base_batch_size), line
