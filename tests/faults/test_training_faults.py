"""Faults while a model is trained: values that are not finite, and trainings that do not learn."""

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.hooks import Hook

from depth.models.heads import DenseDepthHead
from depth.registry import HOOKS, MODELS
from tests.engine import poison  # registers PoisonedLoss

from .bench import Bench, Fault, check_fault

_names = itertools.count()


def train(*options: str, extra: str = '') -> str:
    """Return the command of a training; loggers of equal names, which are seconds, would share one output."""
    listed = ' '.join(options)
    return f'train {{config}} --work-dir {{out}} {extra} --cfg-options experiment_name=fault{next(_names)} {listed}'


def poisoned(*iterations: int, kind: str = 'loss') -> str:
    """Return options that poison the loss in some iterations."""
    loss = 'model.decode_head.loss_decode'
    values = ','.join(str(iteration) for iteration in iterations)
    return f'{loss}.type={poison.PoisonedLoss.__name__} "{loss}.iterations=[{values}]" {loss}.kind={kind}'


@MODELS.register_module()
class ConstantHead(DenseDepthHead):
    """Head whose output never changes, as that of a dead ReLU."""

    def forward(self, feats, data_samples=None):
        outputs = super().forward(feats, data_samples)
        return dict(depth=outputs['depth'] * 0 + 1)


@HOOKS.register_module()
class SpoiledWeightHook(Hook):
    """Damage of the weights behind the optimizer's back."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        next(runner.model.parameters()).data.fill_(np.inf)


def erase_depth(folder: Path) -> None:
    """Set every depth map of a folder to 0."""
    for path in (folder / 'depth').iterdir():
        cv2.imwrite(str(path), np.zeros_like(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def leave_a_dump(bench: Bench) -> None:
    """Let a training stop at its second step."""
    assert bench.call(train(poisoned(1, kind='gradient'))).code == 1


SKIP = 'custom_hooks.0.skip=True custom_hooks.0.max_consecutive=2'
OUT = ('out/**/*', 'out/*')
CASES = [
    Fault(
        'nothing',
        lambda bench: None,
        train(),
        says=('Iter(train) [4/4]',),
        code=0,
        writes=OUT,
        lacks=('skipped', 'everywhere', 'the loss has been', 'no weight has changed'),
    ),
    Fault(
        'loss_infinite',
        lambda bench: None,
        train(poisoned(1)),
        says=(
            'iteration 2 is not finite',
            '{train}/images/',
            'loss_depth inf',
            'gradient norm nan',
            'the output of decode_head.loss_decode (PoisonedLoss)',
            'there is no checkpoint from before',
            'replay_step.py {out}/nonfinite_iter_2_rank0.pth',
        ),
        writes=OUT,
    ),
    Fault(
        'gradient_nan',
        lambda bench: None,
        train(poisoned(2, kind='gradient')),
        says=(
            'iteration 3 is not finite',
            'gradient norm nan',
            'the gradient at the output of decode_head',
            'the last checkpoint is {out}/iter_2.pth',
        ),
        writes=OUT,
        lacks=('loss_depth nan',),
    ),
    Fault(
        'gradient_nan_without_clipping',
        lambda bench: None,
        train(poisoned(1, kind='gradient'), 'optim_wrapper.clip_grad=None'),
        says=('iteration 2 is not finite', 'gradient norm nan'),
        writes=OUT,
    ),
    Fault(
        'gradient_nan_clipped_by_value',
        lambda bench: None,
        train(
            poisoned(1, kind='gradient'),
            'optim_wrapper.clip_grad.type=value optim_wrapper.clip_grad.clip_value=1 ',
            'optim_wrapper.clip_grad._delete_=True',
        ),
        says=('iteration 2 is not finite', 'gradient norm nan'),
        writes=OUT,
    ),
    Fault(
        'learning_rate_explodes',
        lambda bench: None,
        train('optim_wrapper.optimizer.lr=1e30'),
        says=('iteration 2 is not finite', 'the output of backbone.', 'lower the learning rate'),
        writes=OUT,
    ),
    Fault(
        'weights_infinite',
        lambda bench: bench.config.write_text(
            bench.config.read_text()
            + "custom_hooks = [dict(type='FiniteWatchHook'), dict(type='SpoiledWeightHook')]\n"
        ),
        train('default_hooks.checkpoint.interval=1'),
        says=(
            'iteration 1: the weight backbone.',
            'is not finite, so no checkpoint is written',
            'clip_grad.max_norm',
        ),
        writes=OUT,
    ),
    Fault(
        'accumulated_batch',
        lambda bench: None,
        train(poisoned(2), 'optim_wrapper.accumulative_counts=2'),
        says=('iteration 3 is not finite', 'iteration 4: loss ', 'gradient norm nan'),
        writes=OUT,
    ),
    Fault(
        'mixed_precision',
        lambda bench: None,
        train(poisoned(1, kind='gradient'), extra='--amp'),
        says=('iteration 2 is not finite', 'nonfinite_iter_2_rank0.pth'),
        writes=OUT,
    ),
    Fault(
        'averaged_weights',
        lambda bench: bench.config.write_text(
            bench.config.read_text()
            + "custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='FiniteWatchHook')]\n"
        ),
        train(poisoned(2)),
        says=('iteration 3 is not finite',),
        writes=OUT,
    ),
    Fault(
        'rotation_keeps_the_last_finite_checkpoint',
        lambda bench: None,
        train(
            poisoned(5),
            'train_cfg.max_iters=12 param_scheduler.total_steps=12',
            'default_hooks.checkpoint.interval=1 default_hooks.checkpoint.max_keep_ckpts=1',
        ),
        says=('iteration 6 is not finite', 'the last checkpoint is {out}/iter_5.pth'),
        writes=OUT,
    ),
    Fault(
        'skipped_step',
        lambda bench: None,
        train(poisoned(1), SKIP),
        says=(
            'iteration 2: loss or gradient is not finite, the step was skipped (1 so far',
            '{train}/images/',
        ),
        code=0,
        writes=OUT,
    ),
    Fault(
        'too_many_skipped_steps',
        lambda bench: None,
        train(poisoned(1, 2), SKIP),
        says=('iteration 3 is not finite, nor is that of the steps after it',),
        writes=OUT,
    ),
    Fault(
        'replay',
        leave_a_dump,
        'analysis_tools/replay_step {out}/nonfinite_iter_2_rank0.pth',
        says=(
            'iteration 2, process 0',
            '{train}/images/',
            'run again:',
            'first not finite: the gradient at the output of decode_head',
        ),
        code=0,
    ),
    Fault(
        'replay_of_a_checkpoint',
        lambda bench: None,
        'analysis_tools/replay_step {checkpoint}',
        says=('{checkpoint} holds no training step', 'nonfinite_iter_N_rankR.pth'),
    ),
    Fault(
        'interval_too_long',
        lambda bench: None,
        train('custom_hooks.0.check_interval=500'),
        says=('check_interval', '500', '1 to 50'),
        writes=OUT,
    ),
    Fault(
        'training_depth_all_zero',
        lambda bench: erase_depth(bench.train),
        train('custom_hooks.1.no_depth_after=2'),
        says=(
            "none of the 4 training samples of 'folder'",
            'depth_scale=1000',
            '{train}/depth/',
            'check_dataset.py',
        ),
        writes=OUT,
    ),
    Fault(
        'training_depth_all_zero_in_a_short_run',
        lambda bench: erase_depth(bench.train),
        train('train_cfg.val_interval=100'),
        says=("training samples of 'folder' so far has a valid depth",),
        writes=OUT,
        lacks=('best_abs_rel',),
    ),
    Fault(
        'validation_depth_all_zero',
        lambda bench: erase_depth(bench.val),
        train(),
        says=('has ground truth that counts',),
        writes=OUT,
        lacks=('best checkpoint',),
    ),
    Fault(
        'depth_scale_negative',
        lambda bench: None,
        train('train_dataloader.dataset.depth_scale=-1000'),
        says=('train_dataloader.dataset.depth_scale is -1000', 'above 0'),
        writes=OUT,
    ),
    Fault(
        'depth_scale_zero',
        lambda bench: None,
        train('val_dataloader.dataset.depth_scale=0'),
        says=('val_dataloader.dataset.depth_scale is 0', 'above 0'),
        writes=OUT,
    ),
    Fault(
        'learning_rate_without_effect',
        lambda bench: None,
        train('optim_wrapper.optimizer.lr=1e-60', 'custom_hooks.1.still_after=3'),
        says=('no weight has changed in 3 iterations', 'learning rate'),
        code=0,
        writes=OUT,
    ),
    Fault(
        'loss_constant',
        lambda bench: None,
        train('model.decode_head.loss_decode.loss_weight=0', 'custom_hooks.1.still_after=3'),
        says=('the loss has been 0 in all of the last 3 iterations',),
        code=0,
        writes=OUT,
    ),
    Fault(
        'head_constant_in_training',
        lambda bench: None,
        train(
            'model.decode_head.type=ConstantHead',
            'custom_hooks.1.constant_after=2',
            'train_cfg.val_interval=4',
        ),
        says=('the prediction is 1 m everywhere on the last training batch', 'DepthBiasInitHook'),
        code=0,
        writes=OUT,
    ),
    Fault(
        'head_constant_at_validation',
        lambda bench: None,
        train('model.decode_head.type=ConstantHead'),
        says=('the prediction is 1 m everywhere on the validation images', 'DepthBiasInitHook'),
        code=0,
        writes=OUT,
    ),
    Fault(
        'no_better_than_a_constant',
        lambda bench: None,
        train('train_dataloader.dataset.depth_scale=7000', 'custom_hooks.1.baseline_after=4'),
        says=(
            'after 4 iterations abs_rel on the validation images is',
            'no better than',
            'depth_scale of both sets',
        ),
        code=0,
        writes=OUT,
    ),
]


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)
