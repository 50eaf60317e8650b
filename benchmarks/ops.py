"""Mode ops: deformable attention at the sizes of published models, for every backend."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from depth.ops import deformable_attention

from .compare import compare
from .settings import Setting, Spec
from .timing import Case, timed

SCAN = ('128x1', '256x1', '256x2', '512x1', '512x2', '512x4', '1024x2', '1024x4')
MMCV = 'mmcv, computed'  # row of the operator that is not installed


@dataclass(frozen=True)
class Size:
    """Size of one attention layer.

    Image size, strides of the levels, heads, channels per head, and sampling points per level.
    Queries are the pixels of the levels, or of one map of stride ``query_stride``.
    """

    shape: tuple[int, int]
    strides: tuple[int, ...]
    heads: int
    head_channels: int
    points: int
    query_stride: int | None = None

    def levels(self, shape: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Return (h, w) of every level."""
        return self._maps(shape, self.strides)

    def query_maps(self, shape: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Return (h, w) of the maps whose pixels are the queries."""
        return self._maps(shape, (self.query_stride,) if self.query_stride else self.strides)

    def _maps(
        self, shape: tuple[int, int] | None, strides: tuple[int, ...]
    ) -> list[tuple[int, int]]:
        height, width = shape or self.shape
        # Rounded up, as padding in the backbones does.
        return [(-(-height // stride), -(-width // stride)) for stride in strides]


SIZES = dict(
    hahi_swinl=Size((352, 704), (4, 8, 16, 32), heads=8, head_channels=64, points=8),
    stem_swinl=Size(
        (352, 704), (4, 8, 16, 32), heads=8, head_channels=64, points=8, query_stride=2
    ),
    hahi_swint=Size((480, 640), (4, 8, 16, 32), heads=8, head_channels=32, points=8),
    scaledepth=Size((480, 480), (8, 16, 32), heads=8, head_channels=32, points=4),
)


def run(
    spec: Spec,
    names: list[str],
    repeats: int,
    memory: bool = True,
    scan: bool = False,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Measure every backend that runs on the device, forward alone and with its backward pass.

    Args:
        spec: Device, and if set another image size and batch size.
        names: Keys of ``SIZES``.
        repeats: Rounds.
        memory: Measure peak memory too.
        scan: Measure the Triton kernels alone, with every tile and number of warps of ``SCAN``.
        progress: Called with a line of text before each step.

    Returns:
        ``rows`` and ``ratios`` to the reference (in a scan: to the first launch). ``moved_mb`` is
        every input read once and every output written once, ``atomics_m`` millions of additions to
        memory; on CUDA ``roofline_ms`` is the time of a copy of as many bytes. A row for mmcv's
        operator holds what can be computed of it.
    """
    rows, ratios = [], []
    bandwidth = copy_bandwidth(spec.device) if spec.device.startswith('cuda') else None
    for name in names:
        for backward in (False, True):
            work = f'{name} {"forward+backward" if backward else "forward"}'
            options = dict(size=name, backward=backward)
            settings = []
            for text in _backends(spec.device, scan):
                launch = text if scan else None
                backend = 'triton' if scan else text
                label = f'{work}, {text}'
                settings.append(Setting(label, options, backend=backend, launch=launch))
            report = partial(_report, progress, work)
            result = compare(__name__, spec, settings, repeats, memory, report)
            if bandwidth and not scan:
                result['rows'].append(
                    dict(setting=f'{work}, {MMCV}', **traffic(spec, name, backward))
                )
            for row in result['rows']:
                if bandwidth and 'moved_mb' in row:
                    row['roofline_ms'] = row['moved_mb'] * 1e9 / bandwidth
            rows += result['rows']
            ratios += result['ratios']
    return dict(rows=rows, ratios=ratios)


def _backends(device: str, scan: bool) -> tuple[str, ...]:
    if scan:
        return SCAN
    return ('reference', 'torch', 'triton') if device.startswith('cuda') else ('reference', 'torch')


def _report(progress: Callable[[str], None], work: str, text: str) -> None:
    progress(f'{work}: {text}')


def copy_bandwidth(device: str) -> float:
    """Return the bytes that a copy on the device reads and writes in a second."""
    source = torch.empty(1 << 28, device=device)  # 1 GiB
    target = torch.empty_like(source)
    timed(lambda: target.copy_(source), device, steps=3)
    return 2 * source.nbytes / timed(lambda: target.copy_(source), device, steps=10)


def traffic(spec: Spec, name: str, backward: bool) -> dict[str, float]:
    """Return the traffic of mmcv's operator: megabytes and millions of atomic additions.

    It reads float32 locations and weights, which other kernels write before, and its backward pass
    adds to the gradient of the values at every corner of every point, channel by channel.
    """
    size = SIZES[name]
    batch = spec.batch_size or 1
    tokens = sum(height * width for height, width in size.levels(spec.shape))
    queries = sum(height * width for height, width in size.query_maps(spec.shape))
    points = batch * queries * size.heads * len(size.strides) * size.points
    value = batch * tokens * size.heads * size.head_channels * 4
    output = batch * queries * size.heads * size.head_channels * 4
    inputs = value + points * 12  # two coordinates and a weight
    # Offsets and logits are read and locations and weights written by the kernels before.
    moved = inputs + output + points * 24
    atomics = 0
    if backward:
        moved += 2 * inputs + output + points * 24
        atomics = points * 4 * size.head_channels
    return dict(moved_mb=moved / 1e6, atomics_m=atomics / 1e6)


def build(spec: Spec, setting: Setting) -> Case:
    """Return a case that calls the attention on random inputs of a size.

    Sampling points are near their queries, as in trained networks.
    """
    size = SIZES[setting.options['size']]
    backward = setting.options['backward']
    levels, maps = size.levels(spec.shape), size.query_maps(spec.shape)
    tokens = sum(height * width for height, width in levels)
    queries = sum(height * width for height, width in maps)
    batch = spec.batch_size or 1
    shape = (batch, queries, size.heads, len(levels), size.points)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(batch, tokens, size.heads, size.head_channels, generator=generator)
    logits = torch.rand(shape, generator=generator)
    # In pixels of each level: 5 % of its sides.
    sides = torch.tensor([(width, height) for height, width in levels])[:, None]
    offsets = 0.05 * sides * torch.randn(*shape, 2, generator=generator)
    references = _centers(maps)[None, :, None].to(spec.device)
    inputs = []
    for tensor in (value, offsets.float(), logits):
        inputs.append(tensor.to(spec.device).requires_grad_(backward))
    grad = torch.randn(batch, queries, size.heads * size.head_channels, generator=generator)
    grad = grad.to(spec.device)

    def step() -> None:
        for tensor in inputs:
            tensor.grad = None
        output = deformable_attention(inputs[0], levels, references, inputs[1], inputs[2])
        if backward:
            output.backward(grad)

    # The output has the gradient's size.
    moved = sum(tensor.nbytes for tensor in inputs) + grad.nbytes
    if backward:
        # Inputs are read again and their gradients written, from the gradient of the output.
        moved += 2 * sum(tensor.nbytes for tensor in inputs) + grad.nbytes
    details = dict(moved_mb=moved / 1e6)
    if backward:
        details['atomics_m'] = _atomics(setting, size, levels, queries * batch, queries) / 1e6
    return Case(setting.name, step, batch, details=lambda: details)


def _atomics(
    setting: Setting, size: Size, levels: list[tuple[int, int]], owners: int, queries: int
) -> int:
    """Return the additions to memory of a backward pass, each of one number."""
    if setting.backend == 'torch':
        return 0  # sums in a fixed order
    additions = 0
    for height, width in levels:
        by_atomics = owners * size.heads * size.points * 4 * size.head_channels
        if setting.backend == 'triton':
            from depth.ops import triton_launch

            if triton_launch.is_tiled(height * width, queries * size.points):
                spans = -(-queries // triton_launch.TILE_SPAN) * (owners // queries)
                by_atomics = spans * height * width * size.heads * size.head_channels
        additions += by_atomics
    return additions


def _centers(levels: list[tuple[int, int]]) -> torch.Tensor:
    """Return the pixel centres of all levels, (S, 2) as (x, y) in [0, 1]."""
    grids = []
    for height, width in levels:
        rows = (torch.arange(height) + 0.5) / height
        columns = (torch.arange(width) + 0.5) / width
        y, x = torch.meshgrid(rows, columns, indexing='ij')
        grids.append(torch.stack([x, y], dim=-1).view(-1, 2))
    return torch.cat(grids)
