"""Training pipeline as in the published code, the baseline of mode data.

The same decoding calls, then a copy at every step, colour augmentation and normalisation in
floating point on the loader's CPU, and a float32 batch for the device.
"""

from collections.abc import Callable

import cv2
import numpy as np
import torch

from depth.datasets.transforms.geometry import get_rng

MEAN = np.array([123.675, 116.28, 103.53])
STD = np.array([58.395, 57.12, 57.375])


def published_pipeline(pipeline: list[dict]) -> list[tuple[str, Callable[[dict], dict]]]:
    """Return named steps that do what a training pipeline of this toolbox does, the published way.

    Raises:
        ValueError: If the pipeline holds a transform that the published ones do not have.
    """
    return [(step['type'], _step(step)) for step in pipeline]


def _step(step: dict) -> Callable[[dict], dict]:
    steps = dict(
        LoadImage=_load_image,
        LoadDepth=_load_depth,
        KBCrop=_kb_crop,
        NYUCrop=lambda results: _crop(results, 45, 43, 427, 565),
        RandomRotate=lambda results: _rotate(results, step['prob'], step['degree']),
        RandomFlip=lambda results: _flip(results, step['prob']),
        RandomCrop=lambda results: _random_crop(results, *step['crop_size']),
        ColorAug=lambda results: _color(results, step),
        DepthStripMix=lambda results: _strip_mix(results, step['prob']),
        RandomBrightnessContrast=lambda results: _brightness_contrast(results, step['prob']),
        RandomGamma=lambda results: _gamma(results, step['prob']),
        RandomHueSaturationValue=lambda results: _hue_saturation_value(results, step['prob']),
        PackDepthInputs=_normalize_and_pack,
    )
    if step['type'] not in steps:
        raise ValueError(
            f'the published pipelines have no {step["type"]}; they are those of kitti_eigen.py, '
            'nyu.py and ScaleDepth',
        )
    return steps[step['type']]


def _load_image(results: dict) -> dict:
    return results | dict(img=cv2.imread(str(results['img_path']), cv2.IMREAD_COLOR))


def _load_depth(results: dict) -> dict:
    stored = cv2.imread(str(results['depth_path']), cv2.IMREAD_UNCHANGED)
    return results | dict(gt_depth=stored.astype(np.float32) / results['depth_scale'])


def _crop(results: dict, top: int, left: int, height: int, width: int) -> dict:
    for key in ('img', 'gt_depth'):
        results[key] = results[key][top : top + height, left : left + width].copy()
    return results


def _kb_crop(results: dict) -> dict:
    height, width = results['img'].shape[:2]
    return _crop(results, height - 352, (width - 1216) // 2, 352, 1216)


def _rotate(results: dict, prob: float, degree: float) -> dict:
    rng = get_rng(results)
    rotate = rng.rand() < prob
    angle = rng.uniform(-degree, degree)
    if not rotate:
        return results
    height, width = results['img'].shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) * 0.5, (height - 1) * 0.5), -angle, 1.0)
    for key, flag in (('img', cv2.INTER_LINEAR), ('gt_depth', cv2.INTER_NEAREST)):
        results[key] = cv2.warpAffine(results[key], matrix, (width, height), flags=flag)
    return results


def _flip(results: dict, prob: float) -> dict:
    if get_rng(results).rand() < prob:
        for key in ('img', 'gt_depth'):
            results[key] = np.flip(results[key], axis=1).copy()
    return results


def _random_crop(results: dict, height: int, width: int) -> dict:
    rng = get_rng(results)
    rows, columns = results['img'].shape[:2]
    top = rng.randint(0, rows - height + 1)
    left = rng.randint(0, columns - width + 1)
    return _crop(results, top, left, height, width)


def _color(results: dict, step: dict) -> dict:
    rng = get_rng(results)
    if rng.rand() >= step['prob']:
        return results
    gamma = rng.uniform(*step['gamma_range'])
    brightness = rng.uniform(*step['brightness_range'])
    # No table here: a power of every pixel, in float64, is what the published code computes.
    augmented = results['img'] ** gamma * brightness
    augmented = augmented * rng.uniform(*step['color_range'], size=3)
    return results | dict(img=np.clip(augmented, 0, 255))


def _strip_mix(results: dict, prob: float) -> dict:
    rng = get_rng(results)
    if rng.rand() >= prob:
        return results
    height, width = results['gt_depth'].shape
    left = int(rng.rand() * width)
    right = left + max(int((width - left) * rng.rand() * 0.75), 1)
    # The file's integers in an 8-bit image: 256 millimetres are 0 again.
    stored = np.rint(results['gt_depth'] * results['depth_scale']).astype(np.uint16)
    strip = np.zeros((height, width), bool)
    strip[:, left:right] = True
    return results | dict(
        img=np.where(strip[..., None], stored.astype(np.uint8)[..., None], results['img'])
    )


def _brightness_contrast(results: dict, prob: float) -> dict:
    """Change an image as albumentations does, which cuts off the fraction of every level."""
    rng = get_rng(results)
    if rng.rand() >= prob:
        return results
    contrast = 1 + rng.uniform(-0.2, 0.2)
    brightness = rng.uniform(-0.2, 0.2)
    changed = results['img'].astype(np.float32) * contrast + 255 * brightness
    return results | dict(img=np.clip(changed, 0, 255).astype(np.uint8))


def _gamma(results: dict, prob: float) -> dict:
    rng = get_rng(results)
    if rng.rand() >= prob:
        return results
    changed = (results['img'] / 255.0) ** rng.uniform(0.8, 1.2) * 255
    return results | dict(img=changed.astype(np.uint8))


def _hue_saturation_value(results: dict, prob: float) -> dict:
    rng = get_rng(results)
    if rng.rand() >= prob:
        return results
    shifts = [rng.uniform(-limit, limit) for limit in (20, 30, 20)]
    hsv = cv2.cvtColor(results['img'], cv2.COLOR_BGR2HSV).astype(np.float32) + np.float32(shifts)
    hue = np.mod(hsv[..., :1], 180)
    hsv = np.concatenate([hue, np.clip(hsv[..., 1:], 0, 255)], axis=-1).astype(np.uint8)
    return results | dict(img=cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))


def _normalize_and_pack(results: dict) -> dict:
    image = np.ascontiguousarray(results['img'][..., ::-1]).astype(np.float32)
    image = ((image - MEAN) / STD).astype(np.float32)
    return dict(
        inputs=torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
        gt_depth=torch.from_numpy(np.ascontiguousarray(results['gt_depth'][None])),
    )
