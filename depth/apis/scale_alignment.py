"""Alignment of the scale of depth maps along a video, from past frames only."""

import cv2
import numpy as np

FLOW_WIDTH = 192  # pixels of the frames of which the flow is computed
MAX_ROUND_TRIP = 1.0  # pixels by which flow there and back may miss the start
MIN_MATCHED = 0.2  # share of the pixels below which two frames show no common scene
MAX_CHANGE = np.log(1.5)  # change of log scale beyond which the scene is taken for a new one
# Horizontal field of view, in degrees, of cameras that nobody states. Only rotations depend on it:
# a motion along the axis moves pixels by shares of their distance to the centre.
FIELD_OF_VIEW = 60.0
FIT_STEPS = 6  # of the robust fit of the camera's motion
NOISE = 0.3  # pixels of error of the flow up to which the robust fit weighs all pixels alike
MOTION_WEIGHT = 0.5  # of a new frame in the mean of the camera's motion, whose fit is noisy


class StreamScaleAligner:
    """Factor for each frame's depth that removes the flicker of the scale, causally.

    Optical flow matches each frame with the one before. The change of log depth of a matched point
    is the change of the predicted scale plus that by the camera's motion. The motion follows from
    the flow and the predicted depth (:func:`depth_change_of_motion`), in the unit of the
    prediction, so that no pose and no true scale is needed; as a camera moves smoothly, its mean
    over some frames is taken. The median of what is left is the change of the scale. The factor
    moves each frame onto an exponential mean of the scales so far.
    A cut, or a frame that matches too few pixels, starts anew with factor 1.

    Args:
        smoothing: Weight of a new frame in the mean, in (0, 1]; 1 changes nothing.
        fov: Horizontal field of view of the camera in degrees; a rough value will do.

    Raises:
        ValueError: If an argument is out of range.

    Reference: the flow is that of Kroeger et al., https://arxiv.org/abs/1603.03590, as OpenCV has
        it.
    """

    def __init__(self, smoothing: float = 0.05, fov: float = FIELD_OF_VIEW) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(f'smoothing is above 0 and at most 1, got {smoothing}')
        if not 0 < fov < 180:
            raise ValueError(f'fov is an angle between 0 and 180 degrees, got {fov}')
        self.smoothing = smoothing
        self._tangent = np.tan(np.radians(fov) / 2)
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._previous: tuple[np.ndarray, np.ndarray] | None = None
        self._start()

    def _start(self) -> None:
        # The mean log scale minus that of the last prediction, and the number of frames in it.
        self._level, self._count = 0.0, 1
        # Mean change of log depth by the camera's motion, a frame.
        self._motion: float | None = None

    def factor(self, img: np.ndarray, depth: np.ndarray, is_inverse: bool = False) -> float:
        """Return the factor of the next frame's map.

        Args:
            img: The frame, BGR uint8, (H, W, 3).
            depth: Its prediction at any size, depth or inverse depth, 0 = none.
            is_inverse: Whether the prediction is inverse depth.
        """
        height, width = img.shape[:2]
        small = (min(width, FLOW_WIDTH), max(round(height * min(1, FLOW_WIDTH / width)), 16))
        gray = cv2.resize(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY), small, None, 0, 0, cv2.INTER_AREA)
        values = cv2.resize(depth, small, None, 0, 0, cv2.INTER_NEAREST)
        log_depth = np.log(np.where(values > 0, values, np.nan), dtype=np.float32)
        if is_inverse:
            log_depth = -log_depth
        previous, self._previous = self._previous, (gray, log_depth)
        change = None
        if previous is not None and previous[0].shape == gray.shape:
            change = self._scale_change(*previous, gray, log_depth)
        if change is None:
            self._start()
            return 1.0
        self._count += 1
        # The first frames have equal weights; their mean is the best guess of the level.
        gain = max(self.smoothing, 1 / self._count)
        self._level = (1 - gain) * (self._level - change)
        return float(np.exp(-self._level if is_inverse else self._level))

    def _scale_change(
        self,
        previous_gray: np.ndarray,
        previous_log: np.ndarray,
        gray: np.ndarray,
        log_depth: np.ndarray,
    ) -> float | None:
        """Return the change of log scale from one frame to the next; None if the scene is new."""
        backward = self._flow.calc(gray, previous_gray, None)
        forward = self._flow.calc(previous_gray, gray, None)
        height, width = gray.shape
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        source_x, source_y = columns + backward[..., 0], rows + backward[..., 1]
        returned = cv2.remap(forward, source_x, source_y, cv2.INTER_LINEAR, None, 0, np.inf)
        round_trip = np.linalg.norm(backward + returned, axis=2)
        # Depth is not interpolated across its edges.
        outside = cv2.BORDER_CONSTANT
        warped = cv2.remap(
            previous_log, source_x, source_y, cv2.INTER_NEAREST, None, outside, np.nan
        )
        change = log_depth - warped
        matched = np.isfinite(change) & (round_trip < MAX_ROUND_TRIP)
        if matched.mean() < MIN_MATCHED:
            return None
        # Half way between both frames the motion is known best: errors of second order vanish.
        pixel = 2 * self._tangent / width
        x = (columns + backward[..., 0] / 2 - (width - 1) / 2) * pixel
        y = (rows + backward[..., 1] / 2 - (height - 1) / 2) * pixel
        nearness = np.exp(-(log_depth + warped) / 2)
        motion = depth_change_of_motion(
            x[matched], y[matched], -pixel * backward[matched], nearness[matched], NOISE * pixel
        )
        typical = float(np.median(motion))
        if self._motion is None:
            self._motion = typical
        self._motion += MOTION_WEIGHT * (typical - self._motion)
        scale = float(np.median(change[matched] - motion)) + typical - self._motion
        return scale if abs(scale) < MAX_CHANGE else None


def depth_change_of_motion(
    x: np.ndarray, y: np.ndarray, flow: np.ndarray, inverse_depth: np.ndarray, noise: float
) -> np.ndarray:
    """Return the change of log depth of a rigid scene's points, by the motion that the flow shows.

    Translation T and rotation w of the camera between two frames are fitted to the motion field

        u = r (x Tz - Tx) + x y wx - (1 + x^2) wy + y wz
        v = r (y Tz - Ty) + (1 + y^2) wx - x y wy - x wz

    by iterated weighted least squares with the weights of the absolute error, so that things that
    move by themselves count little. T is in the unit of 1 / r, and the change of log depth,
    -r Tz - y wx + x wy, has none: an unknown scale of the depth cancels.

    Args:
        x: Horizontal image coordinate of each point over the focal length, (P,), 0 at the centre.
        y: Vertical one, (P,), downwards.
        flow: Motion (u, v) of each point in the image, over the focal length, (P, 2).
        inverse_depth: r of each point, (P,), any unit.
        noise: Error of the flow below which points have equal weights, over the focal length.

    Reference: H. C. Longuet-Higgins and K. Prazdny, The interpretation of a moving retinal image,
        Proceedings of the Royal Society B 208, 1980, https://doi.org/10.1098/rspb.1980.0057
    """
    x, y, flow = x.astype(np.float64), y.astype(np.float64), flow.astype(np.float64)
    r = inverse_depth / np.median(inverse_depth)  # for the condition of the equations
    zero = np.zeros_like(x)
    # Columns: Tx, Ty, Tz, wx, wy, wz.
    horizontal = np.stack([-r, zero, r * x, x * y, -(1 + x**2), y], axis=1)
    vertical = np.stack([zero, -r, r * y, 1 + y**2, -x * y, -x], axis=1)
    weight = np.ones_like(x)
    for _ in range(FIT_STEPS):
        weighted_h, weighted_v = weight[:, None] * horizontal, weight[:, None] * vertical
        matrix = weighted_h.T @ horizontal + weighted_v.T @ vertical
        vector = weighted_h.T @ flow[:, 0] + weighted_v.T @ flow[:, 1]
        # Least norm: a scene of one depth does not tell a shift from a turn.
        motion = np.linalg.lstsq(matrix, vector, rcond=1e-9)[0]
        error = np.hypot(flow[:, 0] - horizontal @ motion, flow[:, 1] - vertical @ motion)
        weight = noise / np.maximum(error, noise)
    return -r * motion[2] - y * motion[3] + x * motion[4]
