"""Sparse-pixel study of one depth model: tables of errors, curves and pictures of masks."""

import argparse
import io
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from depth.apis import init_model
from depth.atomic_write import write_atomically
from depth.registry import DATASETS
from depth.visualization import colorize_depth
from depth.visualization.output_files import write_image
from depth.visualization.panel import join_tiles

from .mask_network import MaskNetwork, show_pixels
from .study import keep_best_pixels, masked_rmse, train_mask_network

TILE = (240, 320)  # height and width of a picture, pixels


def scene_batches(model: nn.Module, split: str, batch_size: int, num_scenes: int) -> Iterator[dict]:
    """Yield preprocessed batches of the synthetic scenes of a model's config, once."""
    loader = model.cfg.train_dataloader if split == 'train' else model.cfg.val_dataloader
    pipeline = [dict(type='PackDepthInputs')]
    dataset = DATASETS.build(
        dict(loader.dataset, num_scenes=num_scenes, pipeline=pipeline, cache=False),
    )
    for start in range(0, num_scenes, batch_size):
        items = [dataset[index] for index in range(start, min(start + batch_size, num_scenes))]
        samples = [item['data_samples'] for item in items]
        yield model.data_preprocessor(
            dict(inputs=[item['inputs'] for item in items], data_samples=samples),
        )


def image_gradient(inputs: Tensor) -> Tensor:
    """Return the magnitude of the grey image's gradient, (N, 1, H, W), as a score of pixels."""
    gray = inputs.mean(dim=1, keepdim=True)
    by_y, by_x = torch.gradient(gray, dim=(2, 3))
    return (by_y.square() + by_x.square()).sqrt()


def random_score(inputs: Tensor) -> Tensor:
    """Return the same random scores (N, 1, H, W) in every call."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(len(inputs), 1, *inputs.shape[-2:], generator=generator).to(inputs)


def run_model(
    name: str,
    checkpoint: str | Path,
    args: argparse.Namespace,
) -> tuple[nn.Module, list[MaskNetwork], dict]:
    """Train one mask network per sparsity weight.

    Returns:
        The depth model, the mask networks and the table of errors.
    """
    model = init_model(checkpoint, device=args.device)
    # Rendered once, so that every mask network is trained on the same scenes in the same order.
    train = list(scene_batches(model, 'train', args.batch_size, args.batch_size * args.iters))
    val = list(scene_batches(model, 'val', args.batch_size, args.num_val))
    networks, points = [], []
    for weight in args.sparsity:
        torch.manual_seed(0)
        network = train_mask_network(
            model,
            iter(train),
            weight,
            args.iters,
            report=_printer(name, weight, args.iters),
        )
        share = _mean_share(network, val)
        scores = dict(learned=network, gradient=image_gradient, random=random_score)
        errors = {}
        for kind, score in scores.items():
            errors[kind] = masked_rmse(model, val, score, [share])[share]
        points.append(dict(sparsity_weight=weight, share=share, **errors))
        networks.append(network)
        summary = ', '.join(f'{kind} {error:.3f}' for kind, error in errors.items())
        print(
            f'{name}, weight {weight:g}: {100 * share:.1f} % visible, rmse in metres: {summary}',
            flush=True,
        )
    all_pixels = masked_rmse(model, val, image_gradient, [1.0])[1.0]
    return (
        model,
        networks,
        dict(checkpoint=str(checkpoint), rmse_all_pixels=all_pixels, points=points),
    )


@torch.no_grad()
def _mean_share(network: MaskNetwork, batches: list[dict]) -> float:
    """Return the mean of the masks of all images: the share of visible pixels."""
    shares = [network(batch['inputs']).mean(dim=(1, 2, 3)) for batch in batches]
    return torch.cat(shares).mean().item()


def _printer(name: str, weight: float, iterations: int) -> Callable[[int, float, float], None]:
    def report(iteration: int, loss: float, share: float) -> None:
        if (iteration + 1) % 50 == 0:
            print(
                f'{name}, weight {weight:g}: {iteration + 1}/{iterations} loss {loss:.3f} visible '
                f'{share:.3f}',
                flush=True,
            )

    return report


def draw_curves(results: dict, path: Path) -> None:
    """Plot error against the share of visible pixels, one line per model and choice of pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout='tight')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for color, (name, result) in zip(('tab:blue', 'tab:orange'), results.items(), strict=False):
        points = sorted(result['points'], key=lambda point: point['share'])
        shares = [100 * point['share'] for point in points]
        for kind, style in (('learned', 'o-'), ('gradient', 's--'), ('random', 'x:')):
            axes.plot(
                shares,
                [point[kind] for point in points],
                style,
                color=color,
                label=f'{name}, {kind}',
            )
        axes.axhline(result['rmse_all_pixels'], color=color, linewidth=0.5)
    axes.set(
        xscale='log',
        xlabel='visible pixels, %',
        ylabel='rmse, m',
        title='thin lines: all pixels',
    )
    axes.legend(fontsize=7)
    content = io.BytesIO()
    figure.savefig(content, dpi=150, format=path.suffix.removeprefix('.'))
    write_atomically(path, content.getvalue())


@torch.no_grad()
def draw_masks(
    models: dict[str, nn.Module],
    networks: dict[str, list[MaskNetwork]],
    path: Path,
    count: int = 4,
    device: str = 'cpu',
) -> None:
    """Draw image, gradient and, for each model, its mask and the depth from it, a row per scene."""
    first = next(iter(models.values()))
    inputs = next(scene_batches(first, 'val', count, count))['inputs'].to(device)
    rows = []
    for index in range(count):
        image = inputs[index : index + 1]
        tiles = [('image', _picture(image, first)), ('its gradient', _gray(image_gradient(image)))]
        for name, model in models.items():
            scores = networks[name][len(networks[name]) // 2](image)
            share = scores.mean().item()
            mask = keep_best_pixels(scores, share)
            depth = model(show_pixels(image, mask))[0, 0].cpu().numpy()
            low, high = np.percentile(depth, [1, 99])
            tiles.append((f'{name}: {100 * share:.0f} % of the pixels', _gray(mask)))
            tiles.append(
                (
                    f'{name}: depth from them',
                    _tile(colorize_depth(depth, low, max(high, low + 1e-3))),
                ),
            )
        rows.append(join_tiles(tiles))
    write_image(path, np.vstack(rows))


def _picture(image: Tensor, model: nn.Module) -> np.ndarray:
    preprocessor = model.data_preprocessor
    pixels = image * preprocessor.std + preprocessor.mean
    if preprocessor.bgr_to_rgb:  # back to OpenCV's order of channels
        pixels = pixels.flip(1)
    return _tile(pixels[0].clamp(0, 255).round().byte().permute(1, 2, 0).cpu().numpy())


def _gray(values: Tensor) -> np.ndarray:
    values = values[0, 0].cpu().numpy()
    scaled = (255 * values / max(np.percentile(values, 99.5), 1e-6)).clip(0, 255).astype(np.uint8)
    return _tile(cv2.cvtColor(scaled, cv2.COLOR_GRAY2BGR))


def _tile(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(
        np.ascontiguousarray(picture),
        (TILE[1], TILE[0]),
        interpolation=cv2.INTER_NEAREST,
    )
