"""Colour scales: the assignment of colours to the values of a map, and its legend."""

import functools
import math
from dataclasses import dataclass

import cv2
import numpy as np

from .text import MIN_DIGIT_HEIGHT, draw_text, text_width, wrap_text

COLOR_MAPS = dict(
    turbo=cv2.COLORMAP_TURBO,
    viridis=cv2.COLORMAP_VIRIDIS,
    magma=cv2.COLORMAP_MAGMA,
    inferno=cv2.COLORMAP_INFERNO,
    plasma=cv2.COLORMAP_PLASMA,
    cividis=cv2.COLORMAP_CIVIDIS,
)
# BGR of pixels without a value, and of values beyond either end of the bar. No colour map has them.
NO_DEPTH_COLOR = (40, 40, 40)
NEARER_COLOR = (200, 60, 255)
FARTHER_COLOR = (205, 190, 180)
# A map that varies by less than this share of its mean is drawn in nearly one colour.
MIN_SPREAD = 0.1
# With colours by inverse depth, the near end of a scale from 0 is the far end divided by this.
INVERSE_RATIO = 20.0
MAX_TICKS = 7


@dataclass(frozen=True)
class ColorScale:
    """Colours of the values from ``low`` to ``high``.

    Args:
        low: Least value on the bar.
        high: Largest value on the bar.
        kind: ``'depth'`` (near is warm or bright), ``'inverse_depth'`` (large values are near) or
            ``'error'`` (large is bright).
        unit: Written behind each number, such as ``' m'``.
        colormap: Key of :data:`COLOR_MAPS`.
        by_inverse: Whether equal steps of colour are equal steps of the inverse value, so that near
            depths get most of the colours.

    Raises:
        ValueError: If the range is empty or not finite, a name is unknown, or ``by_inverse`` meets
            a range that touches 0.
    """

    low: float
    high: float
    kind: str = 'depth'
    unit: str = ' m'
    colormap: str = 'turbo'
    by_inverse: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(
                f'a colour range goes from a smaller to a larger finite number, got {self.low} to '
                f'{self.high}'
            )
        if self.colormap not in COLOR_MAPS:
            raise ValueError(
                f'unknown colour map {self.colormap!r}, there are {", ".join(COLOR_MAPS)}'
            )
        if self.kind not in ('depth', 'inverse_depth', 'error'):
            raise ValueError(f'unknown kind of colour scale {self.kind!r}')
        if self.by_inverse and (self.kind != 'depth' or self.low <= 0):
            raise ValueError(
                'colours by inverse depth need a map of depth and a near end above 0, got '
                f'{self.kind} from {self.low}'
            )

    def share(self, values: np.ndarray) -> np.ndarray:
        """Return the position of values on the bar, 0 at ``low`` and 1 at ``high``; not clipped."""
        if not self.by_inverse:
            return (values - self.low) / (self.high - self.low)
        inverse = np.divide(1, values, out=np.zeros(np.shape(values)), where=np.asarray(values) > 0)
        return (1 / self.low - inverse) / (1 / self.low - 1 / self.high)

    def colorize(self, values: np.ndarray, valid_mask: np.ndarray | None = None) -> np.ndarray:
        """Return the colours of a map as BGR uint8 (H, W, 3).

        Values beyond the bar have colours of their own; errors beyond it have its last colour.

        Args:
            values: (H, W).
            valid_mask: Pixels that have a value, (H, W) bool; by default the positive ones of depth
                and the finite ones of other kinds.
        """
        if valid_mask is None:
            valid_mask = values > 0 if self.kind == 'depth' else np.isfinite(values)
        shares = np.where(valid_mask, self.share(np.where(valid_mask, values, self.high)), 0)
        colors = self._map_colors(shares)
        if self.kind != 'error':
            # Rounding of float32 puts no value beyond the bar.
            colors[shares < -1e-5] = self.colors_beyond[0]
            colors[shares > 1 + 1e-5] = self.colors_beyond[1]
        colors[~valid_mask] = NO_DEPTH_COLOR
        return colors

    @property
    def colors_beyond(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """BGR of values below ``low`` and above ``high``."""
        if self.kind == 'inverse_depth':
            return FARTHER_COLOR, NEARER_COLOR
        return NEARER_COLOR, FARTHER_COLOR

    def ticks(self, max_count: int = MAX_TICKS) -> list[tuple[float, str]]:
        """Return two to ``max_count`` round values on the bar, with their labels.

        All labels differ.
        """
        if self.by_inverse:
            return self._inverse_ticks(max_count)
        max_count = max(max_count, 2)
        step = _round_step((self.high - self.low) / (max_count - 1))
        first = math.ceil(self.low / step - 1e-6)
        last = math.floor(self.high / step + 1e-6)
        if last <= first:
            # No two round values on the bar: its ends, with as many digits as distinguish them.
            decimals = max(0, 1 - math.floor(math.log10(self.high - self.low)))
            return [(value, f'{value:.{decimals}f}{self.unit}') for value in (self.low, self.high)]
        ticks = []
        for number in range(first, last + 1):
            ticks.append((number * step, f'{_format(number * step, step)}{self.unit}'))
        return ticks

    def _inverse_ticks(self, max_count: int) -> list[tuple[float, str]]:
        """Return the ends and round values (1, 2, 5 times a power of ten) in between."""
        candidates = []
        for exponent in range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high))):
            for digit in (1, 2, 5):
                candidates.append(digit * 10.0**exponent)
        chosen = [self.low, self.high]
        gap = 1 / max(max_count, 2)
        for value in candidates:
            positions = self.share(np.asarray(chosen))
            position = float(self.share(np.asarray(value)))
            if 0 < position < 1 and np.abs(positions - position).min() >= gap:
                chosen.append(value)
        return [(value, f'{value:.3g}{self.unit}') for value in sorted(chosen)]

    def _map_colors(self, shares: np.ndarray) -> np.ndarray:
        """Return BGR uint8 of positions on the bar (H, W), clipped to it."""
        warmth = 1 - shares if self.kind == 'depth' else shares
        codes = np.rint(np.clip(warmth, 0, 1) * 255).astype(np.uint8)
        return cv2.applyColorMap(codes, COLOR_MAPS[self.colormap])


def fit_scale(
    values: np.ndarray,
    kind: str = 'depth',
    unit: str = ' m',
    colormap: str = 'turbo',
    by_inverse: bool = False,
) -> ColorScale:
    """Return a scale whose bar spans the values of a map, from one round number to another.

    The bar leaves out the lowest and highest hundredth, so that a single far pixel does not make
    all others one colour. It spans at least a tenth of the values' mean: the noise of a constant
    map is not stretched over all colours.

    Args:
        values: Any shape; of depth, only positive values count.
        kind: As in :class:`ColorScale`.
        unit: As there.
        colormap: As there.
        by_inverse: As there.
    """
    values = values[values > 0] if kind == 'depth' else values[np.isfinite(values)]
    low, high = np.percentile(values, (1, 99)).tolist() if values.size else (0.0, 1.0)
    center = (low + high) / 2
    half = max((high - low) / 2, MIN_SPREAD / 2 * abs(center), 1e-9)
    low, high = center - half, center + half
    step = _round_step((high - low) / (MAX_TICKS - 1))
    low, high = math.floor(low / step + 1e-6) * step, math.ceil(high / step - 1e-6) * step
    if kind == 'depth':
        low = max(low, 0.0)
    if by_inverse:
        low = max(low, high / INVERSE_RATIO)
    return ColorScale(low, high, kind, unit, colormap, by_inverse)


@functools.lru_cache(maxsize=64)
def draw_legend(
    scale: ColorScale, height: int, digit_height: int = MIN_DIGIT_HEIGHT, caption: str = ''
) -> np.ndarray:
    """Draw the vertical legend of a scale, BGR uint8 (H, W, 3), white behind; read-only.

    ``low`` is at the top. Values beyond the bar have a field of their own at its ends.

    Args:
        scale: The scale.
        height: Least height in pixels; a legend that needs more is higher.
        digit_height: Pixels of a digit.
        caption: Text above the bar, one word a line.
    """
    line = round(1.5 * digit_height)
    below, above = _labels_beyond(scale)
    lines = wrap_text(caption, 0, digit_height)
    head = len(lines) * line
    # Half a line beyond the ends of the bar, because the labels of ticks are centred on them.
    top = head + round(line * (1.5 if below else 0.5))
    foot = round(line * (1.5 if above else 0.5))
    height = max(height, top + foot + 2 * line)
    bottom = height - foot  # one behind the bar
    bar_width, left = round(1.3 * digit_height), digit_height // 3
    text_left = left + bar_width + round(0.8 * digit_height)
    ticks = scale.ticks(min(MAX_TICKS, max(2, int((bottom - top) / (1.6 * line)))))
    texts = [text for _, text in ticks] + [below, above]
    width = text_left + max(text_width(text, digit_height) for text in texts)
    width = max([width] + [left + text_width(text, digit_height) for text in lines])
    legend = np.full((height, width + digit_height // 2, 3), 255, np.uint8)
    for number, text in enumerate(lines):
        draw_text(legend, text, left, round((number + 0.5) * line), digit_height)
    right = left + bar_width
    shares = np.linspace(0, 1, bottom - top)[:, None].repeat(bar_width, axis=1)
    legend[top:bottom, left:right] = scale._map_colors(shares)
    for color, text, cap_top in (
        (scale.colors_beyond[0], below, top - round(1.25 * line)),
        (scale.colors_beyond[1], above, bottom + line // 2),
    ):
        if text:
            cap = slice(cap_top, cap_top + line - line // 4)
            legend[cap, left:right] = color
            draw_text(legend, text, text_left, (cap.start + cap.stop) // 2, digit_height)
    for value, text in ticks:
        row = top + round(float(scale.share(np.asarray(value))) * (bottom - top - 1))
        thickness = max(1, digit_height // 8)
        cv2.line(legend, (right, row), (text_left - 3, row), (30, 30, 30), thickness)
        draw_text(legend, text, text_left, row, digit_height)
    legend.setflags(write=False)
    return legend


def _labels_beyond(scale: ColorScale) -> tuple[str, str]:
    """Return the labels of values below and above the bar, '' where there can be none."""
    if scale.kind == 'error':
        return '', ''
    step = (scale.high - scale.low) / 100
    below = f'< {_format(scale.low, step)}{scale.unit}' if scale.low > 0 else ''
    return below, f'> {_format(scale.high, step)}{scale.unit}'


def _round_step(least: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is at least ``least``."""
    power = 10.0 ** math.floor(math.log10(least))
    for digit in (1, 2, 5):
        if digit * power >= least * (1 - 1e-9):
            return digit * power
    return 10 * power


def _format(value: float, step: float) -> str:
    """Return a number with the digits that a step needs, without zeros behind a point."""
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    if decimals > 5:
        return f'{value:.3g}'
    text = f'{value:.{decimals}f}'
    if '.' in text:
        text = text.rstrip('0').rstrip('.')
    return '0' if text == '-0' else text
