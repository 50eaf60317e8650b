"""Report what the deformable attention kernels compile to, for sm_80 and sm_90; no GPU is needed.

python benchmarks/kernels.py                       # table of the launches that are compared
python benchmarks/kernels.py --scan --out FILE     # every tile and number of warps; also as JSON

Triton compiles each kernel to PTX and its ptxas to machine code. Rows "locations, weights" are the
kernels that read sampling locations and attention weights; "fused" ones compute both.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

# Found only once the repository is on the path.
from benchmarks.results import text_table, write_result  # noqa: E402
from depth.atomic_write import write_atomically  # noqa: E402

# Before reductions ran in one warp: a tile of 1024 elements and four warps.
LAUNCHES = [(1024, 4), (128, 1)]
HEADS, LEVELS, POINTS = 8, 4, 8  # of DepthFormer's attention
SIZES = (32, 64)  # channels of a head: Swin-T and Swin-L
DTYPES = dict(fp32='*fp32', bf16='*bf16')


def kernel_rows(
    arches: list[int],
    launches: list[tuple[int, int]],
    sizes: tuple[int, ...] = SIZES,
    dtypes: tuple[str, ...] = tuple(DTYPES),
    forms: tuple[bool, ...] = (False, True),
) -> list[dict]:
    """Compile every kernel and return a row for each: registers, spills, barriers, atomics."""
    from depth.ops import triton_backward, triton_forward, triton_launch

    rows = []
    for arch in arches:
        for dtype in dtypes:
            for size in sizes:
                for fused in forms:
                    for tile, warps in launches:
                        options = dict(FUSED=fused, TILE=tile, **_shape_options(size))
                        signature = _signature(dtype)
                        forward = _compile(
                            triton_forward._forward_kernel, signature, options, arch, warps
                        )
                        backward = _compile(
                            triton_backward._backward_kernel,
                            signature,
                            options | dict(FIXED=False),
                            arch,
                            warps,
                        )
                        points = tile // size
                        for name, kernel in (('forward', forward), ('backward', backward)):
                            row = dict(kernel=name, form=_form(fused), tile=tile)
                            rows.append(_row(row, kernel, arch, dtype, size, warps, points))
                options = dict(
                    FUSED=True,
                    FIXED=False,
                    POINTS_PAD=POINTS,
                    PIXELS=triton_launch.TILE_PIXELS,
                    BLOCK=triton_launch.TILE_QUERIES,
                    SPAN=triton_launch.TILE_SPAN,
                    **_shape_options(size),
                )
                kernel = _compile(
                    triton_backward._tiled_kernel, _signature(dtype), options, arch, 4
                )
                row = dict(kernel='backward, coarse levels', form=_form(True), tile=None)
                # One addition a pixel for all points of a span: per point of a query.
                points = triton_launch.TILE_SPAN * POINTS
                rows.append(_row(row, kernel, arch, dtype, size, 4, points))
    return rows


def _form(fused: bool) -> str:
    return 'fused' if fused else 'locations, weights'


def _shape_options(size: int) -> dict:
    return dict(HEADS=HEADS, SIZE=size, LEVELS=LEVELS, POINTS=POINTS, COUNT_PAD=LEVELS * POINTS)


def _signature(dtype: str) -> dict[str, str]:
    """Return the type of every argument that a kernel may have; locations are in float32."""
    half = DTYPES[dtype]
    integers = dict.fromkeys(
        ('rows', 'queries', 'reference_image', 'reference_query', 'reference_level'), 'i32'
    )
    same = dict.fromkeys(('value', 'weight', 'output', 'grad', 'grad_weight'), half)
    single = dict.fromkeys(
        ('reference', 'location', 'grad_location', 'grad_value', 'log_sums', 'scale'), '*fp32'
    )
    return {**integers, **same, **single, 'level_table': '*i32', 'tile_table': '*i32'}


def _compile(kernel: Any, signature: dict[str, str], constants: dict, arch: int, warps: int) -> Any:
    """Compile a kernel for an architecture that need not be there."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = {name: constants[name] for name in kernel.arg_names if name in constants}
    types, attributes = {}, {}
    for index, name in enumerate(kernel.arg_names):
        types[name] = 'constexpr' if name in constants else signature[name]
        if types[name].startswith('*'):  # tensors begin at multiples of 16 bytes
            attributes[(index,)] = [['tt.divisibility', 16]]
    source = ASTSource(kernel, types, constants, attributes)
    options = dict(num_warps=warps, enable_fp_fusion=True)
    return triton.compile(source, target=GPUTarget('cuda', arch, 32), options=options)


def _row(row: dict, kernel: Any, arch: int, dtype: str, size: int, warps: int, points: int) -> dict:
    """Return a row with the figures of a compiled kernel; ``points`` share one loop iteration."""
    ptx = kernel.asm['ptx']
    # Threads that add, times instructions, by the points that they do it for.
    atomics = len(re.findall(r'\b(?:red|atom)\.\S*add', ptx)) * 32 * warps / points
    return dict(
        arch=f'sm_{arch}',
        **row,
        dtype=dtype,
        head_size=size,
        warps=warps,
        **_assembler_report(ptx, arch),
        barriers=len(re.findall(r'\bbar(?:rier)?\.(?:cta\.)?sync', ptx)),
        shuffles=len(re.findall(r'\bshfl\.sync', ptx)),
        shared_bytes=kernel.metadata.shared,
        atomics_per_point=atomics,
    )


def _assembler_report(ptx: str, arch: int) -> dict[str, int]:
    """Return the registers of a thread and its spilled bytes, as ptxas says.

    Raises:
        RuntimeError: If ptxas fails.
    """
    from triton.backends.nvidia.compiler import get_ptxas

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'kernel.ptx')
        write_atomically(path, ptx)
        target = f'sm_{arch}a' if arch >= 90 else f'sm_{arch}'
        command = [get_ptxas(arch).path, '-v', f'--gpu-name={target}', str(path), '-o', os.devnull]
        process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        raise RuntimeError(f'{" ".join(command)}: {process.stderr.strip()}')
    return dict(
        registers=int(re.search(r'Used (\d+) registers', process.stderr)[1]),
        spilled_bytes=int(re.search(r'(\d+) bytes spill stores', process.stderr)[1]),
    )


def main() -> None:
    """Compile, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', type=int, nargs='+', default=[80, 90])
    parser.add_argument('--scan', action='store_true', help='every tile and number of warps')
    parser.add_argument('--out', type=Path, help='also write the rows as JSON')
    args = parser.parse_args()
    launches = LAUNCHES
    if args.scan:
        from depth.ops.triton_launch import LAUNCHES as scanned

        launches = scanned
    rows = kernel_rows(args.arch, launches)
    print('\n'.join(text_table(rows)))
    if args.out:
        import triton

        from benchmarks.environment import environment

        result = dict(mode='kernels', rows=rows, ratios=[], environment=environment('cpu'))
        result['environment']['versions']['triton'] = triton.__version__
        write_result(result, args.out)


if __name__ == '__main__':
    main()
