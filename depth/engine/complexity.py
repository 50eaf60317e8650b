"""Number of parameters and floating point operations of a model."""

from math import prod

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import depth.ops  # noqa: F401, registers the operators that are counted by a formula of their own

COUNTED = (
    'counted: matrix products, convolutions, attention, and the sampling of deformable attention '
    '(4 corners x head size multiply-adds a point); not counted: norms, activations, softmax, '
    'resizing and other elementwise work'
)


def measure_complexity(model: nn.Module, size: tuple[int, int], device: str = 'meta') -> dict:
    """Count parameters and the operations of one forward pass, for each part of the model.

    Args:
        model: Estimator on ``device``; it is called as ``model(images, mode='tensor')`` and left in
            eval mode.
        size: (H, W) of the one image, in pixels.
        device: ``'meta'`` computes with shapes only; a model whose forward pass depends on values
            needs ``'cpu'``.

    Returns:
        ``shape`` (1, 3, H, W); ``parts`` and ``total``, each with ``parameters``, ``flops`` and
        ``macs`` (a multiply-add is one MAC and two FLOPs); ``operators``: FLOPs by operator;
        ``counted``: a sentence on the operators that are counted.

    Raises:
        ValueError: If the size is not positive.
    """
    counts = _count_operators(model, size, device)
    parts = {}
    for name, module in model.named_children():
        if next(module.parameters(), None) is not None:
            parts[name] = _entry(module, sum(counts.get(name, {}).values()))
    operators = {str(operator): flops for operator, flops in counts[''].items()}
    total = _entry(model, sum(operators.values()))
    return dict(shape=[1, 3, *size], parts=parts, total=total, operators=operators, counted=COUNTED)


def count_operations(
    model: nn.Module, size: tuple[int, int], device: str = 'meta'
) -> dict[str, int]:
    """Count the operations of one forward pass, for each module by its name.

    Args:
        model: See :func:`measure_complexity`.
        size: Likewise.
        device: Likewise.

    Returns:
        FLOPs of every module that computes any; those of the whole model have an empty name.

    Raises:
        ValueError: If the size is not positive.
    """
    counts = _count_operators(model, size, device)
    return {name: sum(operators.values()) for name, operators in counts.items()}


def _count_operators(
    model: nn.Module, size: tuple[int, int], device: str
) -> dict[str, dict[object, int]]:
    """Return the FLOPs of a forward pass by module and operator; the model has an empty name."""
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f'the size of an image is (height, width) in pixels, got {tuple(size)}')
    counter = FlopCounterMode(
        display=False,
        custom_mapping={
            torch.ops.depth.ms_deform_attn: deformable_attention_flops,
            torch.ops.depth.projected_attention: projected_attention_flops,
        },
    )
    with torch.device(device), torch.no_grad(), counter:
        # torch's counter registers gradient hooks even under no_grad, and fails on views of
        # parameters that require gradients.
        model.eval().requires_grad_(False)(torch.zeros(1, 3, *size), mode='tensor')
    counts = counter.get_flop_counts()
    prefix = f'{type(model).__name__}.'
    by_name = {'': dict(counts.get('Global', {}))}
    for name, operators in counts.items():
        if name.startswith(prefix):
            by_name[name.removeprefix(prefix)] = dict(operators)
    return by_name


def deformable_attention_flops(
    value_shape: torch.Size,
    sides: list[int],
    location_shape: torch.Size,
    weight_shape: torch.Size,
    out_shape: torch.Size | None = None,
    **kwargs,
) -> int:
    """Return the FLOPs of sampling: a weighted sum of 4 rows of D numbers for every point.

    Args:
        value_shape: (N, S, H, D).
        sides: h and w of each level in turn: h0, w0, h1, w1, ...
        location_shape: (N, Q, H, L, P, 2).
        weight_shape: (N, Q, H, L, P).
        out_shape: (N, Q, H * D).
        **kwargs: Further arguments of torch's counter, not used.
    """
    # 4 corners, each a multiply-add (2 FLOPs).
    return 2 * 4 * prod(weight_shape) * value_shape[-1]


def projected_attention_flops(
    value_shape: torch.Size,
    sides: list[int],
    reference_shape: torch.Size,
    query_shape: torch.Size,
    position_shape: torch.Size | None,
    weight_shape: torch.Size,
    bias_shape: torch.Size,
    out_shape: torch.Size | None = None,
    **kwargs,
) -> int:
    """Return the FLOPs of sampling and of the projections of the queries, on a CPU one operator.

    Args:
        value_shape: (N, S, H, D).
        sides: h and w of each level in turn: h0, w0, h1, w1, ...
        reference_shape: (N or 1, Q, L or 1, 2).
        query_shape: (N, Q, E).
        position_shape: (N or 1, Q, E), or None.
        weight_shape: (H, 3, L * P, E).
        bias_shape: (H, 3, L * P).
        out_shape: (N, Q, H * D).
        **kwargs: Further arguments of torch's counter, not used.
    """
    queries = query_shape[0] * query_shape[1]
    heads, _, points, _ = weight_shape
    sampling = 2 * 4 * queries * heads * points * value_shape[-1]
    return sampling + 2 * queries * prod(weight_shape)


def format_complexity(measured: dict) -> str:
    """Return the result of :func:`measure_complexity` as a table."""
    height, width = measured['shape'][2:]
    lines = [f'one image of {height}x{width}']
    lines.append(f'{"part":<16}{"parameters":>14}{"GFLOPs":>12}{"GMACs":>12}')
    for name, entry in measured['parts'].items():
        lines.append(_line(name, entry))
    lines.append(_line('total', measured['total']))
    for name, flops in measured['operators'].items():
        lines.append(f'  {name}: {flops / 1e9:.3f} GFLOPs')
    lines.append(measured['counted'])
    return '\n'.join(lines)


def _line(name: str, entry: dict) -> str:
    flops, macs = entry['flops'] / 1e9, entry['macs'] / 1e9
    return f'{name:<16}{entry["parameters"]:>14,}{flops:>12.3f}{macs:>12.3f}'


def _entry(module: nn.Module, flops: int) -> dict[str, int]:
    parameters: list[Tensor] = list(module.parameters())
    return dict(
        parameters=sum(parameter.numel() for parameter in parameters), flops=flops, macs=flops // 2
    )
