"""Mode ops: deformable attention at the sizes of published models, every backend beside the published way."""

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
    """One attention layer: image size, strides of the levels, heads, channels of a head, places a level."""

    shape: tuple[int, int]
    strides: tuple[int, ...]
    heads: int
    head_channels: int
    points: int

    def levels(self, shape: tuple[int, int] | None) -> list[tuple[int, int]]:
        """Return (h, w) of every level."""
        height, width = shape or self.shape
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
        progress: Told what is being done.

    Returns:
        ``rows`` and ``ratios`` to the reference; ``gb_per_s`` counts every input read once and every output written
        once.
    """
    backends = ['reference', 'torch', *(['triton'] if spec.device.startswith('cuda') else [])]
    found = dict(rows=[], ratios=[])
    for name in names:
        for backward in (False, True):
            work = f'{name} {"forward+backward" if backward else "forward"}'
            settings = [
                Setting(f'{work}, {backend}', dict(size=name, backward=backward), backend=backend)
                for backend in backends
            ]
            say = partial(_say, progress, work)
            measured = compare(__name__, spec, settings, repeats, memory, say)
            for key, entries in found.items():
                entries.extend(measured[key])
    return found


def _say(progress: Callable[[str], None], work: str, text: str) -> None:
    progress(f'{work}: {text}')


def build(spec: Spec, setting: Setting) -> Case:
    """Return one call on random inputs of a size, with weights that add up to one and places near their queries."""
    size, backward = SIZES[setting.options['size']], setting.options['backward']
    levels = size.levels(spec.shape)
    tokens, batch = sum(height * width for height, width in levels), spec.batch_size or 1
    shape = (batch, tokens, size.heads, len(levels), size.points)
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(batch, tokens, size.heads, size.head_channels, generator=generator)
    weights = torch.rand(*shape[:3], len(levels) * size.points, generator=generator).softmax(dim=-1).view(shape)
    locations = (_centers(levels)[:, None, None, None] + 0.05 * torch.randn(*shape, 2, generator=generator)).float()
    inputs = [tensor.to(spec.device).requires_grad_(backward) for tensor in (value, locations, weights)]
    grad = torch.randn(batch, tokens, size.heads * size.head_channels, generator=generator).to(spec.device)

    def step() -> None:
        for tensor in inputs:
            tensor.grad = None
        output = ms_deform_attn(inputs[0], levels, inputs[1], inputs[2])
        if backward:
            output.backward(grad)

    moved = sum(tensor.nbytes for tensor in inputs) + grad.nbytes  # the output has the gradient's size
    if backward:
        moved += 2 * sum(tensor.nbytes for tensor in inputs) + grad.nbytes
    return Case(setting.name, step, batch, details=lambda: dict(moved_mb=moved / 1e6))


def _centers(levels: list[tuple[int, int]]) -> torch.Tensor:
    """Return the pixel centres of all levels, (S, 2) as (x, y) in [0, 1]."""
    grids = []
    for height, width in levels:
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing='ij')
        grids.append(torch.stack([x, y], dim=-1).view(-1, 2))
    return torch.cat(grids)
