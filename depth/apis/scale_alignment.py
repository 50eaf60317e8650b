"""Alignment of the scale of depth maps along a video, from past frames only."""

import cv2
import numpy as np

FLOW_WIDTH = 192  # pixels of the frames of which the flow is computed
MAX_ROUND_TRIP = 1.0  # pixels by which flow there and back may miss the start
MIN_MATCHED = 0.2  # share of the pixels below which two frames show no common scene
MAX_CHANGE = np.log(1.5)  # change of log scale beyond which the scene is taken for a new one


class StreamScaleAligner:
    """Factor for each frame's depth that removes the flicker of the scale, causally.

    Optical flow matches each frame with the one before. The median change of log depth over the
    matched pixels is the change of the predicted scale plus that of the scene by the camera's
    motion. The latter is smooth, flicker is not: an alpha-beta filter (level and trend) follows the
    smooth course, and the factor moves the frame onto it. A cut, or a frame that matches too few
    pixels, starts anew with factor 1.

    Args:
        smoothing: Weight of a new frame in the filtered level, in (0, 1]; 1 changes nothing.

    Raises:
        ValueError: If the weight is out of range.

    References: the flow is that of Kroeger et al., https://arxiv.org/abs/1603.03590, as OpenCV has
        it; the filter and the choice of its second gain are those of Kalata, The tracking index: a
        generalized parameter for alpha-beta and alpha-beta-gamma target trackers, IEEE Transactions
        on Aerospace and Electronic Systems 20(2), 1984.
    """

    def __init__(self, smoothing: float = 0.2) -> None:
        if not 0 < smoothing <= 1:
            raise ValueError(f'smoothing is above 0 and at most 1, got {smoothing}')
        self.smoothing = smoothing
        self._flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._previous: tuple[np.ndarray, np.ndarray] | None = None
        self._start()

    def _start(self) -> None:
        # The filtered log scale minus that of the last prediction, its trend a frame, and the
        # number of frames in them.
        self._level, self._trend, self._count = 0.0, 0.0, 1

    def factor(self, img: np.ndarray, depth: np.ndarray) -> float:
        """Return the factor of the next frame's depth.

        Args:
            img: The frame, BGR uint8, (H, W, 3).
            depth: Its prediction at any size, depth or inverse depth, 0 = none.
        """
        height, width = img.shape[:2]
        small = (min(width, FLOW_WIDTH), max(round(height * min(1, FLOW_WIDTH / width)), 16))
        gray = cv2.resize(cv2.cvtColor(img, cv2.COLOR_BGR2GRAY), small, None, 0, 0, cv2.INTER_AREA)
        values = cv2.resize(depth, small, None, 0, 0, cv2.INTER_NEAREST)
        log_depth = np.log(np.where(values > 0, values, np.nan), dtype=np.float32)
        previous, self._previous = self._previous, (gray, log_depth)
        if previous is None or previous[0].shape != gray.shape:
            self._start()
            return 1.0
        change = self._scale_change(*previous, gray, log_depth)
        if change is None:
            self._start()
            return 1.0
        self._count += 1
        # The first frames have equal weights; their mean is the best guess of the level.
        gain = max(self.smoothing, 1 / self._count)
        expected = self._level + self._trend
        self._level = expected + gain * (change - expected) - change
        # The trend takes part once the level has settled.
        if gain == self.smoothing:
            self._trend += gain**2 / (2 - gain) * (change - expected)
        return float(np.exp(self._level))

    def _scale_change(
        self,
        previous_gray: np.ndarray,
        previous_log: np.ndarray,
        gray: np.ndarray,
        log_depth: np.ndarray,
    ) -> float | None:
        """Return the median change of log depth over matched pixels; None if the scene is new."""
        backward = self._flow.calc(gray, previous_gray, None)
        forward = self._flow.calc(previous_gray, gray, None)
        rows, columns = np.mgrid[: gray.shape[0], : gray.shape[1]].astype(np.float32)
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
        median = float(np.median(change[matched]))
        return median if abs(median) < MAX_CHANGE else None
