"""Stability of depth along a video with known depth and camera: flicker of scale, and consistency.

For frame t with prediction p_t, ground truth g_t and valid pixels x, the scale of a frame is

    s_t = exp(median_x log(p_t(x) / g_t(x)))

**Flicker of scale** is the mean of |log s_t - log s_(t-1)| over the frames: 0.01 means that the
whole map jumps by about 1 % from frame to frame. A constant wrong scale has none.

That median is over what each frame shows: where the error differs from surface to surface, it also
changes by what comes into view. Two metrics leave that out. With the flow w and the pixels that
both frames see, as below, the scale of the surfaces that stay in view changes by

    c_t = median_x (log(p_t(x) / g_t(x)) - log(p_(t-1)(w(x)) / g_(t-1)(w(x))))

**Change of surfaces** is the mean of |c_t|, **flicker of surfaces** that of
|c_t - c_(t-1)| / sqrt(3). A steady drift is a change without flicker. For independent normal errors of the frames all
three metrics have the same expectation.

**Inconsistency** compares the same surface points in both frames. Ground truth and poses give the
flow w from t to t-1 exactly; over the pixels visible in both frames,

    e_t = mean_x |log(p_t(x) / g_t(x)) - log(p_(t-1)(w(x)) / g_(t-1)(w(x)))|

is the mean change of the relative error at a surface point, a warping error (Lai et al.,
https://arxiv.org/abs/1808.00449) of the ratio of prediction to truth. In the ratio, the change of
depth by the camera's motion cancels.

**TAE**, the temporal alignment error of Video Depth Anything (https://arxiv.org/abs/2501.12375), in
percent: with f the projection of a depth map into the other frame by the known pose, the mean over
the frames of (AbsRel(f(p_(t-1)), p_t) + AbsRel(f(p_t), p_(t-1))) / 2. It contains the error of the
translation that a wrong scale makes, as published. Pixels are matched by the exact flow here, where
the publication projects each predicted point.
"""

import numpy as np

# Relative difference of depth up to which a point of one frame is the one seen in the other.
SAME_POINT = 0.02
TEMPORAL_METRICS = (
    'scale_flicker',
    'surface_change',
    'surface_flicker',
    'inconsistency',
    'tae',
    'abs_rel',
)


class TemporalMetrics:
    """Accumulator of the temporal metrics of one video; holds one frame.

    Also averages ``abs_rel`` over the frames, to compare stability at equal accuracy.
    """

    def __init__(self) -> None:
        self._previous: dict | None = None
        self._previous_scale = np.nan
        self._previous_change = np.nan
        self._values: dict[str, list[float]] = {name: [] for name in TEMPORAL_METRICS}

    def update(
        self,
        pred_depth: np.ndarray,
        gt_depth: np.ndarray,
        intrinsics: np.ndarray,
        cam_to_world: np.ndarray,
    ) -> None:
        """Add the next frame.

        Args:
            pred_depth: Metres, (H, W); only positive values count.
            gt_depth: Metres, (H, W), 0 = none.
            intrinsics: (3, 3), pixels.
            cam_to_world: Pose (4, 4), metres.

        Raises:
            ValueError: If the sizes differ.
        """
        if pred_depth.shape != gt_depth.shape:
            raise ValueError(
                f'prediction {pred_depth.shape} and ground truth {gt_depth.shape} differ in size'
            )
        valid = (gt_depth > 0) & (pred_depth > 0)
        ratio = np.divide(pred_depth, gt_depth, out=np.ones(valid.shape), where=valid)
        log_ratio = np.where(valid, np.log(ratio), np.nan)
        frame = dict(
            pred=np.where(valid, pred_depth, np.nan).astype(np.float64),
            gt=gt_depth,
            log_ratio=log_ratio,
            K=np.asarray(intrinsics, np.float64),
            pose=np.asarray(cam_to_world, np.float64),
        )
        scale = np.nan
        if valid.any():
            scale = float(np.median(log_ratio[valid]))
            self._values['abs_rel'].append(float(np.abs(ratio[valid] - 1).mean()))
        if self._previous is not None:
            self._compare(self._previous, frame)
            if np.isfinite(scale) and np.isfinite(self._previous_scale):
                self._values['scale_flicker'].append(abs(scale - self._previous_scale))
        self._previous, self._previous_scale = frame, scale

    def _compare(self, earlier: dict, frame: dict) -> None:
        """Add the metrics of two successive frames, if they have points in common."""
        errors = []
        for source, target in ((earlier, frame), (frame, earlier)):
            rows, columns, visible = exact_flow(
                target['gt'], source['gt'], frame['K'], target['pose'], source['pose']
            )
            change = target['log_ratio'] - source['log_ratio'][rows, columns]
            visible &= np.isfinite(change)
            if not visible.any():
                self._previous_change = np.nan
                return
            if target is frame:
                self._add_surface_change(float(np.median(change[visible])))
                self._values['inconsistency'].append(float(np.abs(change[visible]).mean()))
            # The source's prediction of the matched points, moved into the target's camera.
            pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).astype(np.float64)
            points = pixels @ np.linalg.inv(frame['K']).T * source['pred'][rows, columns][..., None]
            to_target = np.linalg.inv(target['pose']) @ source['pose']
            projected = (points @ to_target[:3, :3].T + to_target[:3, 3])[..., 2]
            error = np.abs(projected - target['pred']) / target['pred']
            errors.append(float(error[visible].mean()))
        self._values['tae'].append(100 * sum(errors) / 2)

    def _add_surface_change(self, change: float) -> None:
        """Add the change of scale of the surfaces that two successive frames see."""
        self._values['surface_change'].append(abs(change))
        if np.isfinite(self._previous_change):
            flicker = abs(change - self._previous_change) / np.sqrt(3)
            self._values['surface_flicker'].append(float(flicker))
        self._previous_change = change

    def compute(self) -> dict[str, float]:
        """Return the mean of each metric over the frames.

        Raises:
            ValueError: If no three successive frames have common points.
        """
        for name, values in self._values.items():
            if not values:
                raise ValueError(
                    f'{name} has no value: it needs three successive frames with common points '
                    'that have prediction and ground truth'
                )
        return {name: float(np.mean(values)) for name, values in self._values.items()}


def exact_flow(
    depth: np.ndarray,
    other_depth: np.ndarray,
    intrinsics: np.ndarray,
    cam_to_world: np.ndarray,
    other_to_world: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return where each pixel's surface point is seen in another frame, to the nearest pixel.

    Args:
        depth: Exact depth of the frame, metres, (H, W), 0 = none.
        other_depth: That of the other frame, same shape.
        intrinsics: (3, 3), pixels, of both frames.
        cam_to_world: Pose (4, 4) of the frame, metres.
        other_to_world: That of the other frame.

    Returns:
        Row and column (H, W) in the other frame, 0 where there is none; and the mask (H, W) of
        pixels that are seen there: not outside, and not hidden.
    """
    height, width = depth.shape
    K = np.asarray(intrinsics, np.float64)
    rows, columns = np.mgrid[:height, :width]
    pixels = np.stack([columns, rows, np.ones_like(rows)], axis=-1).astype(np.float64)
    points = pixels @ np.linalg.inv(K).T * depth[..., None]
    to_other = np.linalg.inv(other_to_world) @ cam_to_world
    moved = points @ to_other[:3, :3].T + to_other[:3, 3]
    in_front = (depth > 0) & (moved[..., 2] > 1e-6)
    moved[~in_front] = [0, 0, 1]
    projected = moved @ K.T
    other_columns = np.rint(projected[..., 0] / projected[..., 2]).astype(int)
    other_rows = np.rint(projected[..., 1] / projected[..., 2]).astype(int)
    inside = in_front & (other_rows >= 0) & (other_rows < height)
    inside &= (other_columns >= 0) & (other_columns < width)
    other_rows, other_columns = np.where(inside, other_rows, 0), np.where(inside, other_columns, 0)
    seen = other_depth[other_rows, other_columns]
    same = np.abs(seen - moved[..., 2]) <= SAME_POINT * moved[..., 2]
    return other_rows, other_columns, inside & (seen > 0) & same
