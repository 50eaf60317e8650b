"""Deformable attention as Triton kernels, for CUDA: entry points, operators and their gradients.

The kernels stand in ``triton_forward.py`` and ``triton_backward.py``, the device functions that
both call in ``triton_sampling.py``, the launch configuration in ``triton_launch.py``.

A program handles one head and a block of neighbouring queries, whose rows overlap in the cache.
Sampled values stay in registers. The kernels read sampling locations and attention weights, or
(``FUSED``) what these are computed from: reference points, offsets in pixels and the logits of the
softmax. The fused form keeps locations in float32 and stores neither locations nor weights.

The backward pass samples again. The gradient of the values is a sum over the queries that touched a
pixel: small levels are summed in tiles by matrix products, one addition to memory per tile, larger
levels by atomics. The order of atomic additions changes from run to run, and with it the last bits
of this gradient (and of no other). Under ``torch.use_deterministic_algorithms(True)`` the sums are
integers (fixed-point numbers), whose order does not matter.

Every load is cast to float32 first: Triton's interpreter computes bfloat16 wrongly without an
error. ``TRITON_INTERPRET=1`` (set before Triton is imported) runs the kernels on the CPU, for
tests.
"""

from typing import Any

import torch
from torch import Tensor

from .triton_launch import unsupported_reason


def ms_deform_attn_triton(
    value: Tensor, shapes: list[tuple[int, int]], locations: Tensor, weights: Tensor
) -> Tensor:
    """Implementation of :func:`depth.ops.ms_deform_attn` by Triton kernels.

    Arguments and result as there.

    Raises:
        RuntimeError: If the kernels cannot process these tensors; the message has the reason.
    """
    _check_supported(value)
    return _forward_op(value, [side for shape in shapes for side in shape], locations, weights)


def deformable_attention_triton(
    value: Tensor,
    shapes: list[tuple[int, int]],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
) -> Tensor:
    """Implementation of :func:`depth.ops.deformable_attention` by Triton kernels.

    Arguments and result as there.

    Raises:
        RuntimeError: If the kernels cannot process these tensors; the message has the reason.
    """
    _check_supported(value)
    sides = [side for shape in shapes for side in shape]
    return _fused_forward_op(value, sides, references, offsets, logits)


def _check_supported(value: Tensor) -> None:
    reason = unsupported_reason(value)
    if reason:
        raise RuntimeError(
            f"ms_deform_attn: backend 'triton' cannot run: {reason}; use backend='auto'"
        )


@torch.library.custom_op(
    'depth::ms_deform_attn_triton',
    mutates_args=(),
    # Written out because torch 2.4 cannot read it off list[int].
    schema='(Tensor value, int[] sides, Tensor locations, Tensor weights) -> Tensor',
)
def _forward_op(value: Tensor, sides: list[int], locations: Tensor, weights: Tensor) -> Tensor:
    from .triton_forward import run_forward  # imports Triton, which need not be there

    return run_forward(value, sides, None, locations, weights)


@torch.library.custom_op(
    'depth::ms_deform_attn_triton_backward',
    mutates_args=(),
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor locations, Tensor weights) -> (Tensor, '
        'Tensor, Tensor)'
    ),
)
def _backward_op(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    from .triton_backward import run_backward

    return run_backward(grad, value, sides, None, locations, weights, None)


@torch.library.custom_op(
    'depth::deformable_attention_triton',
    mutates_args=(),
    schema=(
        '(Tensor value, int[] sides, Tensor references, Tensor offsets, Tensor logits) -> Tensor'
    ),
)
def _fused_forward_op(
    value: Tensor, sides: list[int], references: Tensor, offsets: Tensor, logits: Tensor
) -> Tensor:
    from .triton_forward import run_forward  # imports Triton, which need not be there

    return run_forward(value, sides, references, offsets, logits)


@torch.library.custom_op(
    'depth::deformable_attention_triton_backward',
    mutates_args=(),
    schema=(
        '(Tensor grad, Tensor value, int[] sides, Tensor references, Tensor offsets, Tensor '
        'logits, Tensor output) -> (Tensor, Tensor, Tensor)'
    ),
)
def _fused_backward_op(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    from .triton_backward import run_backward

    return run_backward(grad, value, sides, references, offsets, logits, output)


@_forward_op.register_fake
@_fused_forward_op.register_fake
def _(value: Tensor, sides: list[int], *tensors: Tensor) -> Tensor:
    queries = tensors[-1].shape[1]
    return value.new_empty(value.shape[0], queries, value.shape[2] * value.shape[3])


@_backward_op.register_fake
def _(
    grad: Tensor, value: Tensor, sides: list[int], locations: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (value, locations, weights))


@_fused_backward_op.register_fake
def _(
    grad: Tensor,
    value: Tensor,
    sides: list[int],
    references: Tensor,
    offsets: Tensor,
    logits: Tensor,
    output: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(tensor.new_empty(tensor.shape) for tensor in (value, offsets, logits))


def _setup_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, locations, weights = inputs
    ctx.save_for_backward(value, locations, weights)


def _autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, locations, weights = ctx.saved_tensors
    grad_value, grad_locations, grad_weights = _backward_op(
        grad, value, ctx.sides, locations, weights
    )
    return grad_value, None, grad_locations, grad_weights


_forward_op.register_autograd(_autograd, setup_context=_setup_context)


def _setup_fused_context(ctx: Any, inputs: tuple, output: Tensor) -> None:
    value, ctx.sides, references, offsets, logits = inputs
    ctx.save_for_backward(value, references, offsets, logits, output)


def _fused_autograd(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    value, references, offsets, logits, output = ctx.saved_tensors
    grad_value, grad_offsets, grad_logits = _fused_backward_op(
        grad, value, ctx.sides, references, offsets, logits, output
    )
    grad_references = None
    if ctx.needs_input_grad[2]:
        # x = reference * w + offset in pixels: the gradient of the offset, summed, times (w, h).
        totals = grad_offsets.sum(dim=(2, 4), dtype=torch.float32)  # (N, Q, L, 2)
        levels = []
        for level, total in enumerate(totals.unbind(2)):
            height, width = ctx.sides[2 * level : 2 * level + 2]
            levels.append(torch.stack([total[..., 0] * width, total[..., 1] * height], dim=-1))
        totals = torch.stack(levels, dim=2)
        grad_references = totals.sum_to_size(references.shape).to(references.dtype)
    return grad_value, None, grad_references, grad_offsets, grad_logits


_fused_forward_op.register_autograd(_fused_autograd, setup_context=_setup_fused_context)
