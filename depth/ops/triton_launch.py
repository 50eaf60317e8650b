"""Launch configuration of the Triton kernels: support, launch shapes and level tables.

Host code that the forward and the backward pass share. It needs no Triton to be imported, so that
:func:`unsupported_reason` answers on every platform.
"""

import functools
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from depth.device_constants import device_constant

try:
    import triton
except ImportError:  # no Triton on this platform
    triton = None

OLDEST_TRITON = (3, 6)  # oldest version whose interpreter and compiler were checked
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
# Elements of a value tile (queries of a block times size of a head) and warps of a program. With
# one warp, reductions over a tile need no barrier. The first pair is used where nothing may be
# measured; on CUDA the fastest of them is found at the first call for each kind of input.
LAUNCHES = [(128, 1), (256, 1), (256, 2), (512, 4)]
# A level is summed in tiles if it has few pixels and each receives many sampling points.
TILED_PIXELS = 512
TILED_POINTS_PER_PIXEL = 32
TILE_PIXELS = 32
TILE_QUERIES = 32  # queries of one matrix product
TILE_SPAN = 2048  # queries of one program


def unsupported_reason(value: Tensor) -> str | None:
    """Return the reason why the kernels cannot process ``value`` (N, S, H, D), None if they can."""
    size = value.shape[-1]
    if triton is None:
        return 'Triton is not installed'
    major, minor = triton.__version__.split('.')[:2]
    if (int(major), int(minor)) < OLDEST_TRITON:
        oldest = '.'.join(map(str, OLDEST_TRITON))
        return (
            f'the kernels were checked with Triton {oldest} and newer, Triton {triton.__version__} '
            'is installed'
        )
    if os.environ.get('TRITON_INTERPRET') != '1':
        if not value.is_cuda:
            return f'Triton needs a CUDA device, value is on {value.device}'
        if not _has_compiler():
            return 'Triton needs a C compiler to launch kernels: install gcc or clang, or set CC'
    if value.dtype not in DTYPES:
        return f'the kernels take float32, float16 and bfloat16, value is {value.dtype}'
    if size < 16 or size > 128 or size & (size - 1):  # tl.arange takes powers of two
        return f'the size of a head must be 16, 32, 64 or 128, it is {size}'
    if value.shape[1] * value.shape[2] * size >= 1 << 31:
        return (
            f'an image has {value.shape[1] * value.shape[2] * size} values, the kernels count to '
            '2^31'
        )
    return None


# For torch.compile the result is a constant: it cannot trace a search of the file system.
@torch.compiler.assume_constant_result
def _has_compiler() -> bool:
    return _find_compiler() is not None


@functools.cache
def _find_compiler() -> str | None:
    return os.environ.get('CC') or shutil.which('gcc') or shutil.which('clang')


@contextmanager
def use_launches(launches: list[tuple[int, int]]) -> Iterator[None]:
    """Replace ``LAUNCHES`` in the block: pairs of tile and warps; a single one is not timed."""
    global LAUNCHES
    previous = LAUNCHES
    LAUNCHES = launches
    try:
        yield
    finally:
        LAUNCHES = previous


def autotune_launches(kernel, **options):
    """Return ``kernel`` with an autotuner over ``LAUNCHES``; Triton stores its choices."""
    configs = []
    for tile, warps in LAUNCHES:
        configs.append(triton.Config(dict(TILE=tile), num_warps=warps))
    # Triton adds the dtypes of all tensors to the key by itself.
    key = ['FUSED', 'SIZE', 'LEVELS', 'POINTS']
    return triton.autotune(configs, key=key, cache_results=True, **options)(kernel)


def kernel_options(value: Tensor, references: Tensor | None, locations: Tensor) -> dict:
    """Return the compile-time arguments of a kernel, and launch options where they are not timed.

    Raises:
        ValueError: If an image has too many sampling points.
    """
    _, queries, heads, levels, points, _ = locations.shape
    if queries * heads * levels * points * 2 >= 1 << 31:
        raise ValueError(
            f'an image has {queries} queries with {heads * levels * points} sampling points each; '
            "the Triton kernels count to 2^31 coordinates, take backend='torch'"
        )
    options = dict(
        FUSED=references is not None,
        HEADS=heads,
        SIZE=value.shape[-1],
        LEVELS=levels,
        POINTS=points,
        COUNT_PAD=triton.next_power_of_2(levels * points),
        enable_fp_fusion=True,
    )
    if not may_time_launches():
        options['TILE'], options['num_warps'] = LAUNCHES[0]
    return options


def may_time_launches() -> bool:
    """Return whether launches may be timed: not in the interpreter.

    Deterministic runs take the same launch always, because sums inside of a tile depend on it. A
    CUDA graph is recorded after a warm-up, which has timed the launches and loaded the fastest
    kernel; a recording can load no other.
    """
    return (
        len(LAUNCHES) > 1
        and os.environ.get('TRITON_INTERPRET') != '1'
        and not torch.are_deterministic_algorithms_enabled()
    )


def select_kernel(kernel, tuned):
    """Return the kernel with an autotuner where launches may be timed, elsewhere as it is."""
    return tuned if may_time_launches() else kernel


def launch_grid(options: dict, images: int, queries: int, heads: int):
    """Return the grid (blocks of queries, heads, images) as Triton's function of the options."""
    return lambda meta: (triton.cdiv(queries, meta['TILE'] // options['SIZE']), heads, images)


def reference_arguments(references: Tensor | None, locations: Tensor) -> dict:
    """Return the kernels' arguments for reference points (N or 1, Q, L or 1, 2) and locations.

    Without reference points their pointer is any tensor, which no kernel reads. A stride is 0 along
    a broadcast dimension.
    """
    locations = locations.contiguous()
    if references is None:
        strides = (0, 0, 0)
    else:
        images, queries, levels, _ = references.shape
        strides = (queries * levels * 2 if images > 1 else 0, levels * 2, 2 if levels > 1 else 0)
    return dict(
        reference=locations if references is None else references.contiguous(),
        location=locations,
        reference_image=strides[0],
        reference_query=strides[1],
        reference_level=strides[2],
    )


def level_table(sides: tuple[int, ...], tiled: tuple[bool, ...], device: torch.device) -> Tensor:
    """Return height, width, first row and use of tiles of each level, (L, 4) int32."""
    rows = []
    start = 0
    for height, width, in_tiles in zip(sides[::2], sides[1::2], tiled, strict=True):
        rows.append((height, width, start, int(in_tiles)))
        start += height * width
    return device_constant(tuple(rows), device, torch.int32)


def tile_table(sides: tuple[int, ...], tiled: tuple[bool, ...], device: torch.device) -> Tensor:
    """Return level, height, width, first row and first pixel of each tile, (tiles, 5) int32."""
    rows = []
    start = 0
    for level, (height, width) in enumerate(zip(sides[::2], sides[1::2], strict=True)):
        if tiled[level]:
            for first in range(0, height * width, TILE_PIXELS):
                rows.append((level, height, width, start, first))
        start += height * width
    return device_constant(tuple(rows), device, torch.int32)


def is_tiled(pixels: int, points: int) -> bool:
    """Return whether a level that receives ``points`` sampling points a head is summed in tiles."""
    return 0 < pixels <= TILED_PIXELS and points >= TILED_POINTS_PER_PIXEL * pixels
