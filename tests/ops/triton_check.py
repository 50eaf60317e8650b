"""Compare the Triton kernels with the float64 reference; run with TRITON_INTERPRET=1, or on a GPU."""

import itertools
import math
import sys

import torch

from depth.ops import deformable_attention, ms_deform_attn, ms_deform_attn_triton, triton_launch

SHAPES = [(5, 7), (0, 3), (3, 4)]
NAMES = ('output', 'value', 'locations', 'weights')
FUSED_NAMES = ('output', 'value', 'references', 'offsets', 'logits')
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
CASES = ((16, 3), (32, 1), (64, 2), (128, 1))


def make_inputs(
    size: int, points: int, dtype: torch.dtype, device: str, queries: int = 6
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(size + points)
    rows = sum(height * width for height, width in SHAPES)
    grid = (2, queries, 2, len(SHAPES), points)
    value = torch.randn(2, rows, 2, size, generator=generator)
    locations = torch.rand(*grid, 2, generator=generator) * 1.8 - 0.4
    locations[0, 0, 0, 0, 0, 0] = math.nan
    locations[1, 3, 1, 1, 0, 1] = math.inf
    locations[1, 4, 0, 0, 0, 1] = -1e30
    weights = torch.rand(*grid, generator=generator)
    # Places stay float32, as they do under autocast.
    return value.to(device, dtype), locations.to(device), weights.to(device, dtype)


def make_fused_inputs(
    size: int, points: int, dtype: torch.dtype, device: str, images: int, levels: int
) -> tuple[torch.Tensor, ...]:
    """Return value, references of so many images and levels, offsets in pixels and logits."""
    value, offsets, logits = make_inputs(size, points, dtype, device)
    generator = torch.Generator().manual_seed(2)
    references = torch.rand(images, offsets.shape[1], levels, 2, generator=generator).to(device)
    return value, references, (offsets * 4).to(dtype), logits * 3


def run(call, tensors: tuple[torch.Tensor, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    tensors = tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)
    output = call(tensors[0], SHAPES, *tensors[1:])
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(output.shape, generator=generator).to(dtype).to(output)
    return [output.detach(), *torch.autograd.grad(output, tensors, grad)]


def largest_error(call, names, tensors, dtype, case: str) -> float:
    """Compare Triton in ``dtype`` with the reference in float64; return the error in roundings."""
    exact_all = run(
        lambda *arguments: call(*arguments, backend='reference'),
        tuple(tensor.double() for tensor in tensors),
        dtype,
    )
    actual_all = run(lambda *arguments: call(*arguments, backend='triton'), tensors, dtype)
    worst = 0.0
    for name, actual, exact in zip(names, actual_all, exact_all, strict=True):
        # Gradients of half precision round the output that they start from, and are sums of that.
        rounding = max(torch.finfo(actual.dtype).eps, torch.finfo(dtype).eps)
        error = float((actual.double() - exact).abs().max() / exact.abs().max()) / rounding
        assert math.isfinite(error) and error < 40, f'{name}, {case}: {error} roundings'
        worst = max(worst, error)
    return worst


def check_values(device: str) -> float:
    worst = 0.0
    cases = itertools.product(CASES, DTYPES)
    if device == 'cpu':
        # Each size and each dtype once: the interpreter is slow.
        cases = [((16, 3), DTYPES[1]), ((32, 1), DTYPES[2]), ((128, 1), DTYPES[0])]
    for (size, points), dtype in cases:
        tensors = make_inputs(size, points, dtype, device)
        error = largest_error(ms_deform_attn, NAMES, tensors, dtype, f'head size {size}, {dtype}')
        worst = max(worst, error)
    for (size, points), dtype in ((CASES[0], torch.float32), (CASES[2], torch.bfloat16)):
        for images, levels in ((1, 1), (2, len(SHAPES))):
            tensors = make_fused_inputs(size, points, dtype, device, images, levels)
            case = f'fused, head size {size}, {dtype}, references {images} x {levels}'
            worst = max(
                worst, largest_error(deformable_attention, FUSED_NAMES, tensors, dtype, case)
            )
    return worst


def check_tiles(device: str) -> None:
    """Levels summed in tiles give the gradient of atomics; fixed-point sums do too, to the bit twice."""
    tensors = make_fused_inputs(16, 2, torch.float32, device, 1, 1)

    def gradient() -> torch.Tensor:
        call = lambda *arguments: deformable_attention(*arguments, backend='triton')  # noqa: E731
        return run(call, tensors, torch.float32)[1]

    expected = gradient()
    threshold = triton_launch.TILED_POINTS_PER_PIXEL
    triton_launch.TILED_POINTS_PER_PIXEL = 0
    tiled = gradient()
    torch.use_deterministic_algorithms(True)
    fixed, again = gradient(), gradient()
    torch.use_deterministic_algorithms(False)
    triton_launch.TILED_POINTS_PER_PIXEL = threshold
    assert torch.equal(fixed, again), 'deterministic gradients differ'
    for name, actual in (('tiles', tiled), ('fixed', fixed)):
        error = float((actual - expected).abs().max() / expected.abs().max())
        assert error < 1e-5, f'{name}: relative error {error}'


def check_not_finite(device: str) -> None:
    """A gradient that is not finite stays so in fixed-point sums."""
    value, locations, weights = make_inputs(16, 1, torch.float32, device)
    value.requires_grad_()
    torch.use_deterministic_algorithms(True)
    output = ms_deform_attn(value, SHAPES, locations, weights, backend='triton')
    grad = torch.ones_like(output)
    grad[0, 0, 0] = math.inf
    (actual,) = torch.autograd.grad(output, value, grad)
    torch.use_deterministic_algorithms(False)
    assert actual.isnan().any(), 'an infinite gradient was lost'


def check_operators(device: str) -> None:
    """Check the operators' schemas, fakes and autograd, and that a graph holds them."""
    tests = ('test_schema', 'test_autograd_registration', 'test_faketensor')
    sides = [side for shape in SHAPES for side in shape]
    for operator, make, form in (
        (ms_deform_attn_triton._forward_op, make_inputs, ()),
        (ms_deform_attn_triton._fused_forward_op, make_fused_inputs, (1, 1)),
    ):
        tensors = make(16, 1, torch.float32, device, *form)
        value, *arguments = (tensor.detach().requires_grad_() for tensor in tensors)
        torch.library.opcheck(operator, (value, sides, *arguments), test_utils=tests)
    compiled = torch.compile(deformable_attention, backend='aot_eager', fullgraph=True)
    call = lambda *arguments: compiled(*arguments, backend='triton')  # noqa: E731
    tensors = make_fused_inputs(16, 1, torch.float32, device, 1, 1)
    eager = run(
        lambda *arguments: deformable_attention(*arguments, backend='triton'),
        tensors,
        torch.float32,
    )
    for actual, expected in zip(run(call, tensors, torch.float32), eager, strict=True):
        torch.testing.assert_close(actual, expected)


def main(device: str) -> None:
    # The interpreter takes as long for a program of many queries as for one of a few.
    with triton_launch.use_launches([(1024, 4)] if device == 'cpu' else [(128, 1)]):
        print(f'largest error: {check_values(device):.1f} roundings')
    check_tiles(device)
    check_not_finite(device)
    check_operators(device)
    print('checked')


if __name__ == '__main__':
    main(sys.argv[1])
