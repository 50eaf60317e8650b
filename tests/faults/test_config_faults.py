"""Faults of configs: what would stop a training later, or change nothing, is answered before anything is built."""

import pytest

from depth.apis import init_model
from depth.engine.config import load_config
from depth.engine.runner import build_runner

from .bench import Bench, Fault, check_fault

TRAIN = 'train {config} --work-dir {out} --cfg-options '


def nothing(bench: Bench) -> None:
    """Leave the bench as it is; the fault is in the command."""


def add_heir(text: str):
    """Return a function that writes ``mine.py``, a config that inherits the bench's."""

    def write(bench: Bench) -> None:
        (bench.root / 'mine.py').write_text(f"_base_ = './config.py'\n{text}\n")

    return write


def write_circle(bench: Bench) -> None:
    """Make two configs each other's base."""
    (bench.root / 'mine.py').write_text("_base_ = ['./yours.py']\n")
    (bench.root / 'yours.py').write_text("_base_ = './mine.py'\n")


def write_plain_base(bench: Bench) -> None:
    """Write a config whose variables are plain Python and an heir that thinks they rule."""
    (bench.root / 'plain.py').write_text(
        "max_iters = 10\n_base_ = './config.py'\ntrain_cfg = dict(max_iters=max_iters)\n"
    )
    (bench.root / 'mine.py').write_text("_base_ = './plain.py'\nmax_iters = 500\n")


HOOK = 'default_hooks.checkpoint.'
OPTIONS = {
    'max_keep_ckpts_zero': (
        HOOK + 'max_keep_ckpts=0',
        (HOOK + 'max_keep_ckpts is 0', 'at least 1, or -1: all'),
    ),
    'max_keep_ckpts_text': (
        HOOK + 'max_keep_ckpts=all',
        (HOOK + "max_keep_ckpts is 'all'", '-1: all'),
    ),
    'checkpoint_interval_zero': (
        HOOK + 'interval=0',
        (HOOK + 'interval is 0', '-1: only at the end'),
    ),
    'logger_interval_negative': (
        'default_hooks.logger.interval=-5',
        ('default_hooks.logger.interval is -5',),
    ),
    'val_interval_zero': (
        'train_cfg.val_interval=0',
        ('train_cfg.val_interval is 0', 'no val_dataloader'),
    ),
    'max_iters_text': (
        'train_cfg.max_iters=many',
        ("train_cfg.max_iters is 'many'", 'a whole number'),
    ),
    'max_iters_fraction': (
        'max_iters=1e3 train_cfg.max_iters=1.5',
        ('--cfg-options max_iters', 'changes nothing'),
    ),
    'total_steps_zero': (
        'param_scheduler.total_steps=0',
        ('param_scheduler.total_steps is 0', 'at least 1'),
    ),
    'batch_size_zero': (
        'train_dataloader.batch_size=0',
        ('train_dataloader.batch_size is 0', 'at least 1'),
    ),
    'batch_size_text': ('val_dataloader.batch_size=two', ("val_dataloader.batch_size is 'two'",)),
    'rate_negative': (
        'optim_wrapper.optimizer.lr=-0.1',
        ('optim_wrapper.optimizer.lr is -0.1', 'above 0'),
    ),
    'best_unknown': (
        HOOK + 'save_best=nope',
        (HOOK + "save_best is 'nope'", 'val_evaluator', 'abs_rel'),
    ),
    'best_of_a_list_unknown': (
        HOOK + 'save_best=[abs_rel,nope]',
        (HOOK + "save_best is 'nope'", 'val_evaluator', 'abs_rel'),
    ),
    'best_of_a_list_is_worst': (
        HOOK + 'save_best=[abs_rel,d1]',
        ('the smallest d1, which is the worst', HOOK + 'rule=greater'),
    ),
    'best_number': (HOOK + 'save_best=3', (HOOK + 'save_best is 3', 'the name of a metric')),
    'best_rules_of_a_list': (
        f'{HOOK}save_best=[abs_rel,rmse] {HOOK}rule=[less,less,less]',
        (HOOK + 'rule is', 'one for each of the 2 metrics'),
    ),
    'best_is_worst': (
        HOOK + 'save_best=d1',
        ('the smallest d1, which is the worst', HOOK + 'rule=greater'),
    ),
    'seed_text': ('randomness.seed=lucky', ("randomness.seed is 'lucky'", 'at least 0')),
    'model_number': ('model=5', ('model is 5', 'a dict of a type')),
    'model_missing': ('model=None', ('the config has no model', 'configs/_base_/models/')),
    'train_dataloader_missing': (
        'train_dataloader=None',
        ('no train_dataloader', 'configs/_base_/datasets/'),
    ),
    'train_cfg_missing': ('train_cfg=None', ('no train_cfg', 'configs/_base_/schedules/')),
    'optim_wrapper_missing': (
        'optim_wrapper=None',
        ('no optim_wrapper', 'configs/_base_/schedules/'),
    ),
    'val_evaluator_missing': (
        'val_evaluator=None',
        ('val_dataloader but no val_evaluator', 'not at all'),
    ),
    'evaluator_range': (
        'val_evaluator.max_depth=80',
        ('val_evaluator (', 'up to 80 m', 'is 10 m', 'val_evaluator.max_depth=10'),
    ),
    'head_range': (
        'max_depth=80',
        ('model.decode_head.max_depth is 10.0 m', 'train_dataloader.dataset.max_depth is 80'),
    ),
    'option_dead': (
        'crop_size=(9,9)',
        ('--cfg-options crop_size', 'changes nothing', '{{crop_size}}'),
    ),
    'visualizer_number': ('visualizer=3', ('visualizer is 3', 'a dict of a type')),
    'hook_number': ('default_hooks.logger=5', ('default_hooks.logger is 5', 'or None')),
    'dataset_number': ('train_dataloader.dataset=5', ('train_dataloader.dataset is 5',)),
    'pipeline_empty': (
        'train_dataloader.dataset.pipeline=[]',
        ('train_dataloader.dataset.pipeline is []', 'a list of transforms'),
    ),
    'argument_missing': (
        'train_dataloader.dataset.pipeline.3.crop_size=None',
        ('train_dataloader.dataset.pipeline[3] has no crop_size', 'RandomCrop'),
    ),
    'head_missing': ('model.decode_head=None', ('model has no decode_head', 'DepthEstimator')),
    'optimizer_missing': (
        'optim_wrapper.optimizer=None',
        ('no optim_wrapper.optimizer', 'configs/_base_/schedules/'),
    ),
    'test_evaluator_missing': (
        'test_evaluator=None',
        ('test_dataloader but no test_evaluator', 'not at all'),
    ),
    'depth_scale_zero': (
        'val_dataloader.dataset.depth_scale=0',
        ('val_dataloader.dataset.depth_scale is 0', '1000 for millimetres'),
    ),
    'far_end_text': ('max_depth=far', ("max_depth is 'far'", 'metres above 0')),
    'start_missing': (
        'load_from=/nowhere/start.pth',
        ('load_from: checkpoint /nowhere/start.pth does not exist', 'leave it out'),
    ),
    'start_number': ('load_from=5', ('load_from is 5', 'the path of a checkpoint')),
    'resume_unknown': ('resume=maybe', ("resume is 'maybe'", '--resume FILE')),
    'launcher_unknown': ('launcher=mpi', ("launcher is 'mpi'", 'slurm', '--launcher')),
    'scope_unknown': ('default_scope=mmseg', ("default_scope is 'mmseg'", "'depth'")),
    'log_level_unknown': ('log_level=LOUD', ("log_level is 'LOUD'", 'WARNING')),
    'switch_text': ('channels_last=yes', ("channels_last is 'yes'", 'True or False')),
    'environment_option_unknown': ('env_cfg.tf23=True', ('env_cfg.tf23', 'no such option', 'tf32')),
    'inference_option_unknown': ('inference.amp=True', ('inference.amp', 'autocast')),
    'imports_number': ('custom_imports=5', ('custom_imports is 5', 'dict(imports=[module, ...])')),
    'option_index': (
        'custom_hooks.9.type=X',
        ('--cfg-options custom_hooks.9.type', 'Index 9 exceeds'),
    ),
}
CASES = [
    Fault(name, nothing, TRAIN + option, says=says) for name, (option, says) in OPTIONS.items()
]
# What training refuses, the check of the printed config refuses with the same words.
CASES += [
    Fault(
        f'checked_{name}',
        nothing,
        'misc/print_config {config} --check --cfg-options ' + option,
        says=says,
    )
    for name, (option, says) in OPTIONS.items()
    if name
    in (
        'max_keep_ckpts_zero',
        'best_unknown',
        'train_dataloader_missing',
        'evaluator_range',
        'start_missing',
    )
]
CASES += [
    Fault(
        'runner_of_a_wrong_number',
        nothing,
        lambda bench: build_runner(load_config(bench.config, {'train_dataloader.batch_size': -1})),
        says=('train_dataloader.batch_size is -1', 'at least 1'),
    ),
    Fault(
        'model_option_of_a_dead_variable',
        nothing,
        lambda bench: init_model(bench.config, cfg_options={'max_depth_m': 3.0}),
        says=("the config has no 'max_depth_m'", 'did you mean max_depth'),
    ),
    Fault(
        'bases_circular',
        write_circle,
        'train {root}/mine.py --work-dir {out}',
        says=('_base_ is a circle: ', 'mine.py -> ', 'yours.py -> ', 'take one of them out'),
    ),
    Fault(
        'variable_dead',
        write_plain_base,
        'train {root}/mine.py --work-dir {out}',
        says=('mine.py, line 2: max_iters', 'changes nothing; set train_cfg.max_iters', "'${{max_iters}}'"),
    ),
    Fault(
        'reference_unknown',
        add_heir("train_cfg = dict(max_iters='${max_iter}')"),
        'train {root}/mine.py --work-dir {out}',
        says=("train_cfg.max_iters is '${{max_iter}}'", 'did you mean max_iters'),
    ),
    Fault(
        'reference_circular',
        add_heir("train_cfg = dict(max_iters='${param_scheduler.total_steps}')\n"
                 "param_scheduler = dict(total_steps='${train_cfg.max_iters}')"),
        'train {root}/mine.py --work-dir {out}',
        says=('train_cfg.max_iters -> param_scheduler.total_steps', 'lead back to themselves'),
    ),
    Fault(
        'batch_unknown',
        add_heir('auto_scale_lr = dict(base_batch_size=None)'),
        'train {root}/mine.py --work-dir {out} --auto-scale-lr',
        says=('--auto-scale-lr', 'set auto_scale_lr.base_batch_size'),
    ),
    Fault(
        'batch_without_rule',
        add_heir("optim_wrapper = dict(optimizer=dict(_delete_=True, type='ASGD', lr=1e-3))"),
        'train {root}/mine.py --work-dir {out} --auto-scale-lr',
        says=("optim_wrapper.optimizer of type 'ASGD'", 'set optim_wrapper.optimizer.lr yourself'),
    ),
    Fault(
        'test_without_data',
        nothing,
        'test {config} {checkpoint} --work-dir {out} --cfg-options test_dataloader=None',
        says=('the config has no test_dataloader', 'configs/_base_/datasets/'),
    ),
]  # fmt: skip


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)


def test_minus_one_keeps_every_checkpoint(bench):
    outcome = bench.call(TRAIN + f'{HOOK}max_keep_ckpts=-1 {HOOK}interval=1')
    assert outcome.code == 0, outcome.text
    assert sorted(path.name for path in bench.out.glob('iter_*.pth')) == [
        f'iter_{step}.pth' for step in range(1, 5)
    ]


def test_a_run_that_is_to_resume_what_is_not_there_yet_starts_from_the_weights_it_is_given(bench):
    # As a job that slurm may requeue: the same command for the first start and for every later one.
    command = 'train {config} --work-dir {out} --resume auto --cfg-options train_cfg.max_iters=2 '
    first = bench.call(command + 'load_from={checkpoint}')
    assert first.code == 0, first.text
    assert f'loaded {bench.checkpoint}' in first.text
    later = bench.call(command + 'load_from=/nowhere/start.pth')
    assert later.code == 0, later.text
    assert f'loaded {bench.out}/iter_2.pth' in later.text


def test_training_says_its_batch_and_fits_the_recipe_to_it(bench):
    outcome = bench.call('train {config} --work-dir {out} --auto-scale-lr')
    assert outcome.code == 0, outcome.text
    assert (
        '2 images a step instead of 8: rate 0.001 -> 0.0005 (square root rule), 4 -> 16 iterations'
        in outcome.text
    )
    assert '1 process x 2 = 2 images a step; the published recipe has 8' in outcome.text
    assert (bench.out / 'iter_16.pth').is_file()
