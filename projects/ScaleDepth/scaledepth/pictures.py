"""Picture of one ScaleDepth prediction: relative depth, scale and metric depth side by side."""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from depth.apis.inference import prepare_image
from depth.visualization import colorize_depth, draw_color_bar
from depth.visualization.panel import join_tiles

from .text import CATEGORIES

HEIGHT = 240  # of a row, pixels
MAX_CATEGORIES = 3  # in the text tile


@torch.inference_mode()
def draw_decomposition(model: nn.Module, path: str | Path) -> np.ndarray:
    """Draw image, relative depth, metric depth, scale and scene categories as one BGR uint8 row.

    Args:
        model: From ``init_model``.
        path: Image file.
    """
    batch = prepare_image(model, path)
    outputs = model.decode_head(model.extract_feat(batch['inputs']), batch['data_samples'])
    relative = outputs['relative_depth'][0, 0].float().cpu().numpy()
    scale = outputs['scale'][0, 0].item()
    low, high = np.percentile(relative, [1, 99]).tolist()
    high = max(high, low + 1e-3)
    preprocessor = model.data_preprocessor
    image = batch['inputs'][0] * preprocessor.std[0] + preprocessor.mean[0]
    if preprocessor.bgr_to_rgb:  # back to OpenCV's order of channels
        image = image.flip(0)
    pixels = image.clamp(0, 255).round().byte().permute(1, 2, 0).cpu().numpy()
    colors = colorize_depth(relative, low, high)
    return join_tiles(
        [
            ('image', _tile(pixels)),
            ('relative depth', _tile(colors)),
            ('relative', draw_color_bar(HEIGHT, low, high, '')),
            ('metric depth', _tile(colors)),
            ('depth', draw_color_bar(HEIGHT, low * scale, high * scale, ' m')),
            ('scene', _describe(scale, _categories(model, outputs))),
        ],
    )


def _categories(model: nn.Module, outputs: dict) -> list[str]:
    """Return lines such as "kitchen 93 %", the likeliest first; none without text embeddings."""
    if 'class_logits' not in outputs or not model.decode_head.has_embeddings:
        return []
    probs = outputs['class_logits'][0, -1].softmax(dim=0)
    names = CATEGORIES
    # Other categories than the published ones, whose names are not known here.
    if len(probs) > len(names):
        names = [str(number) for number in range(len(probs))]
    best = probs.topk(min(MAX_CATEGORIES, len(probs)))
    lines = []
    for prob, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        lines.append(f'{names[number]} {100 * prob:.0f} %')
    return lines


def _describe(scale: float, categories: list[str]) -> np.ndarray:
    tile = np.full((HEIGHT, 190, 3), 255, np.uint8)
    for row, line in enumerate([f'scale {scale:.2f} m', *categories]):
        cv2.putText(
            tile,
            line,
            (6, 40 + 28 * row),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.5,
            (30, 30, 30),
            1,
            cv2.LINE_AA,
        )
    return tile


def _tile(picture: np.ndarray) -> np.ndarray:
    width = round(picture.shape[1] * HEIGHT / picture.shape[0])
    return cv2.resize(
        np.ascontiguousarray(picture),
        (width, HEIGHT),
        interpolation=cv2.INTER_LINEAR,
    )
