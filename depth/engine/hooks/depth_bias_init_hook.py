"""Initialisation of the head's bias with the mean log depth of the training set."""

import math

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from depth.registry import HOOKS

from ..distributed import unwrap_model
from ..sharding import whole_parameters


@HOOKS.register_module()
class DepthBiasInitHook(Hook):
    """Initialise the head's last bias to the mean log depth of the training data.

    Published regression heads end in a ReLU. If its input is negative everywhere at the start there
    is no gradient, and the loss never falls (SILog stays near 3, d1 at 0). Before the first
    iteration of a new run this hook sets the head's last bias to the exponential of the mean log
    depth and makes its last weights small. Depth is that of the canonical camera for models with
    the option ``canonical_camera``. Heads without ``init_depth_bias`` and runs that load or
    resume weights are not changed.

    Args:
        depth: Depth in metres, or ``'data'`` to measure it; None switches the hook off.
        num_samples: Number of training samples that are measured, evenly spread over the set; over
            four shards of a remote store, which are fetched whole.

    Raises:
        ValueError: If ``depth`` is another text than ``'data'``.
    """

    def __init__(self, depth: float | str | None = 'data', num_samples: int = 16) -> None:
        if isinstance(depth, str) and depth != 'data':
            raise ValueError(
                f"DepthBiasInitHook: depth is a number of metres, 'data' or None, got {depth!r}"
            )
        self.depth = depth
        self.num_samples = num_samples

    def before_train(self, runner: Runner) -> None:
        """Set the bias at the start of a new run."""
        model = unwrap_model(runner)
        head = getattr(model, 'decode_head', None)
        is_new_run = runner.iter == 0 and not runner._has_loaded
        if self.depth is None or not is_new_run or not hasattr(head, 'init_depth_bias'):
            return
        depth = self._measure(runner, model) if self.depth == 'data' else float(self.depth)
        if depth is None:
            runner.logger.warning(
                'no valid depth in the measured samples, the head keeps its random start'
            )
            return
        with whole_parameters(head):
            head.init_depth_bias(depth)
        runner.logger.info(f'the depth head starts at {depth:.3f} m')

    def _measure(self, runner: Runner, model: nn.Module) -> float | None:
        """Return the exponential of the mean log depth, in metres; None if no pixel is valid.

        All processes measure the same samples and so get the same value.
        """
        from depth.datasets import SampleIndex
        from depth.datasets.shard_sampler import choose_few_shards

        dataset = runner.train_dataloader.dataset
        indices = np.unique(np.linspace(0, len(dataset) - 1, self.num_samples).astype(int))
        indices = choose_few_shards(dataset, indices)
        total = count = 0.0
        for index in indices:
            sample = dataset[SampleIndex(int(index), (0, int(index)))]['data_samples']
            gt_depth = sample.gt_depth
            camera = getattr(model, 'canonical_camera', None)
            if camera is not None:
                intrinsics = camera.intrinsics([sample], gt_depth[None], training=True)
                gt_depth = camera.to_canonical(gt_depth, intrinsics)
            valid = gt_depth > 0
            total += float(torch.where(valid, gt_depth, 1).double().log().sum())
            count += float(valid.sum())
        return math.exp(total / count) if count else None
