"""Depth hints: semi-global stereo matching with several settings, fused by photometric error."""

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, Compose

from depth.datasets.transforms.spatial_keys import require_unmoved
from depth.models.layers import synthesize_view
from depth.models.losses import photometric_error
from depth.registry import TRANSFORMS
from depth.visualization.output_files import write_array

# Published: block sizes 1, 2 and 3. OpenCV gives identical maps for 2 and 3, so these eight are all
# distinct ones.
BLOCK_SIZES = (1, 3)
NUM_DISPARITIES = (64, 96, 128, 160)


def match_all(target: np.ndarray, other: np.ndarray, side: str) -> np.ndarray:
    """Return the disparities (8, H, W) float32, in pixels, of every matcher.

    Not positive where a matcher has no result. Matchers whose range exceeds the width are left out.

    Args:
        target: The view to match, (H, W, 3) uint8.
        other: The other view.
        side: ``left`` or ``right``: which view ``target`` is. A right one is matched as the left
            one of the mirror.

    Raises:
        ValueError: If the image is too narrow for any matcher.
    """
    if side == 'right':
        mirrored_target = np.ascontiguousarray(target[:, ::-1])
        mirrored_other = np.ascontiguousarray(other[:, ::-1])
        maps = match_all(mirrored_target, mirrored_other, 'left')
        return np.ascontiguousarray(maps[..., ::-1])
    ranges = [number for number in NUM_DISPARITIES if number + max(BLOCK_SIZES) < target.shape[1]]
    if not ranges:
        raise ValueError(
            f'a view of {target.shape[1]} columns is too narrow to be matched, use '
            f'{NUM_DISPARITIES[0] + 4}',
        )
    maps = []
    for block_size in BLOCK_SIZES:
        for num_disparities in ranges:
            matcher = cv2.StereoSGBM_create(
                minDisparity=0,
                numDisparities=num_disparities,
                blockSize=block_size,
                P1=36,
                P2=288,
                preFilterCap=63,
                uniquenessRatio=10,
                speckleWindowSize=100,
                speckleRange=16,
            )
            # StereoSGBM returns fixed-point numbers with four fractional bits.
            maps.append(matcher.compute(target, other).astype(np.float32) / 16)
    return np.stack(maps)


def disparities_to_depths(
    disparities: np.ndarray,
    focal: float,
    baseline: float,
    offset: float = 0.0,
) -> np.ndarray:
    """Return depth in the unit of ``baseline``, 0 where a disparity (pixels) is not positive.

    Args:
        disparities: Any shape.
        focal: Pixels.
        baseline: Metres, or any other unit.
        offset: Column of the right principal point minus that of the left one.
    """
    depth = focal * baseline / (np.maximum(disparities, 0) + offset + 1e-7)
    return np.where(disparities > 0, depth, 0).astype(np.float32)


@torch.inference_mode()
def fuse(
    target: torch.Tensor,
    other: torch.Tensor,
    candidates: torch.Tensor,
    intrinsics: torch.Tensor,
    transform: torch.Tensor,
    other_intrinsics: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return per pixel the candidate depth (H, W) of least photometric error; 0 competes too.

    Args:
        target: (3, H, W) in [0, 1].
        other: The other view, (3, H, W).
        candidates: Depths (M, H, W); the first wins ties.
        intrinsics: K, (3, 3), pixels.
        transform: Target camera to the other camera, (4, 4), in the candidates' unit.
        other_intrinsics: K of the other view, if it differs.
    """
    if other_intrinsics is not None:
        other_intrinsics = other_intrinsics[None]
    errors = []
    # One candidate at a time: eight megapixel warps at once would need a gigabyte.
    for depth in candidates:
        warped = synthesize_view(
            other[None],
            depth[None, None],
            intrinsics[None],
            transform[None],
            other_intrinsics,
        )
        errors.append(photometric_error(warped, target[None]))
    best = torch.cat(errors, dim=1).argmin(dim=1)
    return candidates.gather(0, best)[0]


def compute_hint(results: dict) -> np.ndarray:
    """Return the fused hint (H, W) float32 in metres, 0 = none, of a pair as its transforms describe it.

    Args:
        results: ``img``, ``other_img`` (H, W, 3) uint8, ``cam_intrinsic``, ``other_cam_intrinsic``,
            ``side`` and ``stereo_extrinsics``; neither mirrored nor jittered.
    """
    own = np.asarray(results['cam_intrinsic'], np.float64)
    other = np.asarray(results['other_cam_intrinsic'], np.float64)
    offset = other[0, 2] - own[0, 2]  # right minus left principal point
    if results['side'] == 'right':
        offset = -offset
    transform = np.asarray(results['stereo_extrinsics'])
    disparities = match_all(results['img'], results['other_img'], results['side'])
    depths = disparities_to_depths(disparities, own[0, 0], abs(transform[0, 3]), offset)
    hint = fuse(
        _to_tensor(results['img']),
        _to_tensor(results['other_img']),
        torch.from_numpy(depths),
        torch.tensor(own, dtype=torch.float32),
        torch.tensor(transform, dtype=torch.float32),
        torch.tensor(other, dtype=torch.float32),
    )
    return hint.numpy()


def _to_tensor(img: np.ndarray) -> torch.Tensor:
    """Return an image (H, W, 3) uint8 as (3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(img.transpose(2, 0, 1).copy()).float() / 255


@TRANSFORMS.register_module()
class ComputeDepthHint(BaseTransform):
    """Compute ``depth_hint`` in the pipeline, for small images; hints are cached in memory.

    Belongs right after :class:`~depth.datasets.transforms.PairFromScene` or ``LoadPair``, before
    any augmentation.
    """

    def __init__(self) -> None:
        self.cache: dict[tuple[str, str], np.ndarray] = {}

    def transform(self, results: dict) -> dict:
        """Set ``depth_hint``."""
        require_unmoved(results, 'ComputeDepthHint')
        key = results['img_path'], results['side']
        if key not in self.cache:
            self.cache[key] = compute_hint(results)
        results['depth_hint'] = self.cache[key].copy()  # later transforms work in place
        return results


def _resize_step(width: int, height: int) -> dict:
    return dict(type='Resize', scale=(width, height), resize_depth=False, interpolation='lanczos')


def hint_steps(pipeline: Sequence[dict], width: int, height: int) -> tuple[list[dict], float]:
    """Return the pipeline that prepares a pair for matching, and the unit of the hint files.

    The pipeline uses the same camera as the training.

    Args:
        pipeline: A train pipeline with ``LoadDepthHint``; its ``NominalIntrinsics``, if it has one,
            is kept.
        width: Width at which views are matched, in pixels.
        height: Height, likewise.

    Raises:
        ValueError: If the pipeline reads no hints.
    """
    loader = next((step for step in pipeline if step['type'] == 'LoadDepthHint'), None)
    if loader is None:
        raise ValueError('the train pipeline has no LoadDepthHint, so nothing would read the hints')
    camera = [step for step in pipeline if step['type'] == 'NominalIntrinsics']
    steps = [dict(type='LoadPair'), _resize_step(width, height), *camera]
    return steps, float(loader.get('unit', 5.4))


def write_hint(sample: dict, steps: Sequence[dict], unit: float) -> None:
    """Compute the hint of one sample and write it as (1, H, W) float32 npy, in ``unit`` metres.

    The file appears whole or not at all.
    """
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    pipeline = Compose([TRANSFORMS.build(dict(step)) for step in steps])
    hint = compute_hint(pipeline(dict(sample))) / np.float32(unit)
    write_array(sample['depth_hint_path'], hint[None].astype(np.float32))
