"""Compare the Triton kernels with the float64 reference; run with TRITON_INTERPRET=1, or on a GPU."""

import itertools
import math
import sys

import torch

from depth.ops import ms_deform_attn

SHAPES = [(5, 7), (3, 4), (0, 3), (1, 2)]
NAMES = ('output', 'value', 'locations', 'weights')
DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def make_inputs(
    size: int, points: int, dtype: torch.dtype, device: str
) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(size + points)
    rows = sum(height * width for height, width in SHAPES)
    grid = (2, 11, 2, len(SHAPES), points)
    value = torch.randn(2, rows, 2, size, generator=generator)
    locations = torch.rand(*grid, 2, generator=generator) * 1.8 - 0.4
    locations[0, 0, 0, 0, 0, 0] = math.nan
    locations[1, 3, 1, 1, 0, 1] = math.inf
    locations[1, 4, 0, 0, 0, 1] = -1e30
    weights = torch.rand(*grid, generator=generator)
    # Places stay float32, as they do under autocast.
    return value.to(device, dtype), locations.to(device), weights.to(device, dtype)


def run(backend: str, tensors: tuple[torch.Tensor, ...], dtype: torch.dtype) -> list[torch.Tensor]:
    tensors = tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)
    output = ms_deform_attn(tensors[0], SHAPES, *tensors[1:], backend=backend)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(output.shape, generator=generator).to(dtype).to(output)
    return [output.detach(), *torch.autograd.grad(output, tensors, grad)]


def main(device: str) -> None:
    worst = 0.0
    for (size, points), dtype in itertools.product(((16, 3), (32, 1), (64, 2), (128, 1)), DTYPES):
        tensors = make_inputs(size, points, dtype, device)
        expected = run('reference', tuple(tensor.double() for tensor in tensors), dtype)
        found_all = run('triton', tensors, dtype)
        for name, actual, exact in zip(NAMES, found_all, expected, strict=True):
            rounding = torch.finfo(actual.dtype).eps
            error = float((actual.double() - exact).abs().max() / exact.abs().max()) / rounding
            assert math.isfinite(error) and error < 40, (
                f'{name}, head size {size}, {dtype}: {error} roundings'
            )
            worst = max(worst, error)
    print(f'largest error: {worst:.1f} roundings')


if __name__ == '__main__':
    main(sys.argv[1])
