"""Counts of a model without weights: parameters, FLOPs and activations, by blocks."""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

from ..complexity import count_operations
from ..converters.convert import build_without_weights
from ..sharding import find_blocks

# Tensors of a parameter's size that an optimizer holds for it.
MOMENTS = dict(Adam=2, AdamW=2, NAdam=2, RAdam=2, Adamax=2, RMSprop=1, SGD=0)


@dataclass(frozen=True)
class Group:
    """Parameters that are gathered together: a block, or everything outside of the blocks.

    Attributes:
        name: Name of the block, empty for the rest.
        shapes: Shape of each parameter and whether it is trained.
    """

    name: str
    shapes: tuple[tuple[tuple[int, ...], bool], ...]

    def numel(self, trained: bool = False) -> int:
        """Return the number of values, or of those that are trained."""
        return sum(
            math.prod(shape) for shape, is_trained in self.shapes if is_trained or not trained
        )

    def largest_piece(self, processes: int, trained: bool = False) -> int:
        """Return the number of values of the first process, which has the largest pieces.

        Each parameter is divided along its first dimension, in whole rows.
        """
        total = 0
        for shape, is_trained in self.shapes:
            if (is_trained or not trained) and shape:
                total += math.ceil(shape[0] / processes) * math.prod(shape[1:])
        return total


@dataclass(frozen=True)
class ModelCounts:
    """What :func:`count_model` has counted, for one image of ``size``.

    Attributes:
        groups: Blocks, and last what is outside of them.
        buffers: Bytes of running statistics and the like.
        moments: Tensors of a parameter's size in the optimizer.
        has_average: Whether EMAHook holds a copy of the weights.
        size: (H, W) of the image.
        forward_flops: FLOPs of a forward pass.
        train_flops: FLOPs of a forward and backward pass.
        block_flops: FLOPs of the forward pass of all blocks.
        outside_bytes: Bytes stored for the backward pass outside of blocks, in float32.
        block_bytes: The same for each block.
        block_inputs: Bytes of each block's input.
    """

    groups: tuple[Group, ...]
    buffers: int
    moments: int
    has_average: bool
    size: tuple[int, int]
    forward_flops: float
    train_flops: float
    block_flops: float
    outside_bytes: int
    block_bytes: tuple[int, ...]
    block_inputs: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(group.numel() for group in self.groups)

    @property
    def trained(self) -> int:
        """Number of parameters that are trained."""
        return sum(group.numel(trained=True) for group in self.groups)


def count_model(cfg: Config, size: tuple[int, int]) -> ModelCounts:
    """Count parameters, FLOPs and stored activations of a config's model, without its weights.

    Args:
        cfg: Config of a training.
        size: (H, W) of the images in pixels.

    Raises:
        ValueError: If the forward pass needs values, which the meta device does not have, or the
            optimizer's moments are unknown.
    """
    with torch.device('meta'):
        model = build_without_weights(cfg)
        counted = copy.deepcopy(model)  # the count of FLOPs freezes its model
    kind = cfg.optim_wrapper.optimizer.type
    if kind not in MOMENTS:
        raise ValueError(f'the moments of {kind} are not known, only those of {", ".join(MOMENTS)}')
    moments = MOMENTS[kind] + int(
        kind == 'SGD' and bool(cfg.optim_wrapper.optimizer.get('momentum'))
    )
    names = find_blocks(model)
    groups = _groups(model, names)
    is_trained = {name: False for name, _ in model.named_children()}
    for name, parameter in model.named_parameters():
        is_trained[name.split('.')[0]] |= parameter.requires_grad
    try:
        flops = count_operations(counted, size)
        outside, inside, inputs = _count_activations(model, names, size)
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(
            f'the forward pass of {type(model).__name__} cannot be counted without values: {reason}'
        ) from error
    # A backward pass computes the gradients of weights and of inputs, each as many FLOPs as
    # forward; in front of the first trained part there is none.
    backward = sum(2 * flops.get(name, 0) for name, trained in is_trained.items() if trained)
    hooks = cfg.get('custom_hooks') or []
    return ModelCounts(
        groups=groups,
        buffers=sum(buffer.numel() * buffer.element_size() for buffer in model.buffers()),
        moments=moments,
        has_average=any(hook.get('type') == 'EMAHook' for hook in hooks),
        size=size,
        forward_flops=flops[''],
        train_flops=flops[''] + backward,
        block_flops=sum(flops.get(name, 0) for name in names),
        outside_bytes=outside,
        block_bytes=tuple(inside),
        block_inputs=tuple(inputs),
    )


def _groups(model: nn.Module, names: Sequence[str]) -> tuple[Group, ...]:
    """Return the groups of parameters that FSDP gathers: each block, then all else."""
    by_group: dict[str, list] = {name: [] for name in [*names, '']}
    for name, parameter in model.named_parameters():
        owner = next((block for block in names if name.startswith(f'{block}.')), '')
        by_group[owner].append((tuple(parameter.shape), parameter.requires_grad))
    return tuple(Group(name, tuple(shapes)) for name, shapes in by_group.items())


def _count_activations(
    model: nn.Module, names: Sequence[str], size: tuple[int, int]
) -> tuple[int, list[int], list[int]]:
    """Count the bytes that autograd stores in a forward pass of one image, in float32.

    Returns:
        Bytes outside of blocks, inside of each block, and of each block's input.
    """
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    stored: set[int] = set()
    tensors: list[Tensor] = []  # held, so that no address is used twice
    counts = dict.fromkeys([*names, ''], 0)
    inputs = dict.fromkeys(names, 0)
    current = ['']

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in parameters and key not in stored:
            stored.add(key)
            tensors.append(tensor)
            counts[current[-1]] += tensor.untyped_storage().nbytes()
        return tensor

    handles = []
    for name in names:
        block = model.get_submodule(name)

        def enter(module: nn.Module, args: tuple, name: str = name) -> None:
            current.append(name)
            inputs[name] = sum(x.numel() * x.element_size() for x in args if isinstance(x, Tensor))

        def leave(module: nn.Module, args: tuple, output: object) -> None:
            current.pop()

        handles.append(block.register_forward_pre_hook(enter))
        handles.append(block.register_forward_hook(leave))
    images = torch.zeros(1, 3, *size, device='meta')
    saving = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with torch.device('meta'), saving, _flash_attention():
        model.train()(images, mode='tensor')
    for handle in handles:
        handle.remove()
    return counts[''], [counts[name] for name in names], list(inputs.values())


@contextmanager
def _flash_attention() -> Iterator[None]:
    """Let attention store what fused kernels store: its inputs, its output and a row of factors.

    On the meta device PyTorch takes the plain formula, which stores the matrix of all pairs.
    """

    class FusedAttention(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            output = query.new_empty(*query.shape[:-1], value.shape[-1])
            ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1]))
            return output

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> tuple:
            raise NotImplementedError('memory is counted in the forward pass')

    def attend(
        query: Tensor, key: Tensor, value: Tensor, *args: object, **kwargs: object
    ) -> Tensor:
        return FusedAttention.apply(query, key, value)

    with mock.patch.object(F, 'scaled_dot_product_attention', attend):
        yield
