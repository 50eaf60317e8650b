"""Mode ops: deformable attention at the sizes of published models, for every backend."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch

from depth.ops import ms_deform_attn

from .compare import compare
from .settings import Setting, Spec
from .timing import Case


@dataclass(frozen=True)
class Size:
    """Size of one attention layer.

    Image size, strides of the levels, heads, channels per head, and sampling points per level.
    """

    shape: tuple[int, int]
    strides: tuple[int, ...]
    heads: int
    head_channels: int
    points: int

    def levels(self, shape: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Return (h, w) of every level."""
        height, width = shape or self.shape
        # Rounded up, as padding in the backbones does.
        return [(-(-height // stride), -(-width // stride)) for stride in self.strides]


SIZES = dict(
    hahi_swinl=Size((352, 704), (4, 8, 16, 32), heads=8, head_channels=64, points=8),
    hahi_swint=Size((480, 640), (4, 8, 16, 32), heads=8, head_channels=32, points=8),
    scaledepth=Size((480, 480), (8, 16, 32), heads=8, head_channels=32, points=4),
)


def run(
    spec: Spec,
    names: list[str],
    repeats: int,
    memory: bool = True,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Measure every backend that runs on the device, forward alone and with its backward pass.

    Args:
        spec: Device, and if set another image size and batch size.
        names: Keys of ``SIZES``.
        repeats: Rounds.
        memory: Measure peak memory too.
        progress: Called with a line of text before each step.

    Returns:
        ``rows`` and ``ratios`` to the reference; ``gb_per_s`` counts every input read once and
        every output written once.
    """
    backends = ['reference', 'torch']
    if spec.device.startswith('cuda'):
        backends.append('triton')
    rows, ratios = [], []
    for name in names:
        for backward in (False, True):
            work = f'{name} {"forward+backward" if backward else "forward"}'
            settings = []
            for backend in backends:
                options = dict(size=name, backward=backward)
                settings.append(Setting(f'{work}, {backend}', options, backend=backend))
            report = partial(_report, progress, work)
            result = compare(__name__, spec, settings, repeats, memory, report)
            rows += result['rows']
            ratios += result['ratios']
    return dict(rows=rows, ratios=ratios)


def _report(progress: Callable[[str], None], work: str, text: str) -> None:
    progress(f'{work}: {text}')


def build(spec: Spec, setting: Setting) -> Case:
    """Return a case that calls the attention on random inputs of a size.

    Weights sum to one, sampling points are near their queries, as in trained networks.
    """
    size = SIZES[setting.options['size']]
    backward = setting.options['backward']
    levels = size.levels(spec.shape)
    tokens = sum(height * width for height, width in levels)
    batch = spec.batch_size or 1
    shape = (batch, tokens, size.heads, len(levels), size.points)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(batch, tokens, size.heads, size.head_channels, generator=generator)
    weights = (
        torch.rand(*shape[:3], len(levels) * size.points, generator=generator)
        .softmax(dim=-1)
        .view(shape)
    )
    offsets = 0.05 * torch.randn(*shape, 2, generator=generator)
    locations = (_centers(levels)[:, None, None, None] + offsets).float()
    inputs = []
    for tensor in (value, locations, weights):
        inputs.append(tensor.to(spec.device).requires_grad_(backward))
    grad = torch.randn(batch, tokens, size.heads * size.head_channels, generator=generator).to(
        spec.device,
    )

    def step() -> None:
        for tensor in inputs:
            tensor.grad = None
        output = ms_deform_attn(inputs[0], levels, inputs[1], inputs[2])
        if backward:
            output.backward(grad)

    # The output has the gradient's size.
    moved = sum(tensor.nbytes for tensor in inputs) + grad.nbytes
    if backward:
        # Inputs are read again and their gradients written, from the gradient of the output.
        moved += 2 * sum(tensor.nbytes for tensor in inputs) + grad.nbytes
    return Case(setting.name, step, batch, details=lambda: dict(moved_mb=moved / 1e6))


def _centers(levels: list[tuple[int, int]]) -> torch.Tensor:
    """Return the pixel centres of all levels, (S, 2) as (x, y) in [0, 1]."""
    grids = []
    for height, width in levels:
        rows = (torch.arange(height) + 0.5) / height
        columns = (torch.arange(width) + 0.5) / width
        y, x = torch.meshgrid(rows, columns, indexing='ij')
        grids.append(torch.stack([x, y], dim=-1).view(-1, 2))
    return torch.cat(grids)
