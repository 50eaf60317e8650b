"""Work of a model, computed and not measured: arithmetic, bytes and operators of one step.

The step runs on the meta device, which knows shapes and no values.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from depth.engine.complexity import deformable_attention_flops
from depth.engine.converters.convert import build_without_weights
from depth.ops import use_backend
from depth.registry import MODELS

from .ops import copy_bandwidth
from .scenes import image_size, network_size_steps, scene_batch
from .settings import Setting, Spec

# They reserve memory or name it anew, but neither read nor write it.
IDLE = {'empty', 'empty_like', 'empty_strided', 'new_empty', 'new_empty_strided', '_unsafe_view'}


class WorkCounter(TorchDispatchMode):
    """Count the operators that touch memory, and their bytes: inputs and outputs once each."""

    def __init__(self) -> None:
        super().__init__()
        self.operators = self.moved = 0

    def __torch_dispatch__(
        self, func: OpOverload, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if not _is_idle(func):
            self.operators += 1
            self.moved += _num_bytes((args, kwargs)) + _num_bytes(result)
        return result


def count_work(step: Callable[[], object]) -> dict[str, float]:
    """Return the work of ``step``: ``gflop``, ``moved_mb`` and ``operators``.

    A multiply-add is two operations; norms, activations and other elementwise work are not counted
    as arithmetic, but their bytes are. A value that an operator updates in place counts twice, read
    and written. Deformable attention counts as one operator, forward and backward.
    """
    flops = FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.depth.ms_deform_attn: deformable_attention_flops,
            torch.ops.depth.ms_deform_attn_backward: _backward_flops,
        },
    )
    with flops, WorkCounter() as counter:
        step()
    return dict(
        gflop=flops.get_total_flops() / 1e9,
        moved_mb=counter.moved / 1e6,
        operators=counter.operators,
    )


def model_work(spec: Spec, setting: Setting, training: bool) -> dict[str, float]:
    """Return the work of one prediction, or of losses and gradients, eager and in float32.

    Neither the optimizer nor autocast, compilation or recomputation are part of it.

    Args:
        spec: Config, image size and batch size.
        setting: Its config values count.
        training: Losses and gradients instead of a prediction.
    """
    cfg = setting.load(spec)
    shape = spec.shape or image_size(cfg, 'train_dataloader' if training else 'test_dataloader')
    batch_size = spec.batch_size or 1
    if training and not spec.batch_size:
        batch_size = cfg.train_dataloader.get('batch_size', 1)
    preprocessor = MODELS.build(cfg.model.data_preprocessor)
    resizing = () if training else network_size_steps(cfg)
    batch = preprocessor(scene_batch(cfg, shape, batch_size, resizing=resizing), training)
    images = batch['inputs'].to('meta')
    samples = [sample.to('meta') for sample in batch['data_samples']]
    with torch.device('meta'):
        model = build_without_weights(cfg)
    # torch's counter registers gradient hooks even under no_grad, and fails on views of parameters.
    model.train(training).requires_grad_(training)

    def step() -> None:
        if training:
            losses = model(images, samples, mode='loss')
            model.parse_losses(losses)[0].backward()
        else:
            with torch.no_grad():
                model(images, samples, mode='predict')

    # The Triton operators run on CUDA alone; those of torch count the same.
    with use_backend('reference' if setting.published else 'torch'):
        return count_work(step)


def work_columns(spec: Spec, setting: Setting, training: bool) -> dict[str, float]:
    """Return :func:`model_work`; on CUDA with ``roofline_ms``, a copy of as many bytes there."""
    work = model_work(spec, setting, training)
    if spec.device.startswith('cuda'):
        work['roofline_ms'] = work['moved_mb'] * 1e9 / copy_bandwidth(spec.device)
    return work


def _backward_flops(
    grad_shape: Sequence[int],
    value_shape: Sequence[int],
    sides: list[int],
    location_shape: Sequence[int],
    *args: Any,
    **kwargs: Any,
) -> int:
    """Return twice the operations of the forward pass: products with rows, and sums into rows."""
    return 2 * deformable_attention_flops(value_shape, sides, location_shape, *args[:1])


def _is_idle(func: OpOverload) -> bool:
    """Return whether an operator moves no bytes: it makes a view or reserves memory."""
    if func._schema.name.partition('::')[2] in IDLE:
        return True
    for argument in func._schema.arguments:
        if argument.alias_info is not None and not argument.alias_info.is_write:
            return True
    return False


def _num_bytes(values: object) -> int:
    """Return the bytes of all tensors in a nest; those of an expanded one count once."""
    total = 0
    for leaf in tree_leaves(values):
        if isinstance(leaf, Tensor):
            total += min(leaf.numel() * leaf.element_size(), leaf.untyped_storage().nbytes())
    return total
