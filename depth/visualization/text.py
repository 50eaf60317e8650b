"""Text in pictures, of a size that stays legible when a picture is fitted to a screen."""

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

TEXT_COLOR = (30, 30, 30)
SCREEN_SIDE = 1280  # pixels of the longer side to which a viewer fits a picture
MIN_DIGIT_HEIGHT = 12  # pixels of a digit on such a screen
# A legend makes the picture wider than what it is drawn beside.
_LEGEND_SHARE = 0.86


def legible_digit_height(height: int, width: int) -> int:
    """Return the height of digits, in pixels, for legends beside pictures of a size.

    Fitted to 1280 pixels, picture and legend show digits of at least 12 pixels.

    Args:
        height: Height of what is drawn, without the legend.
        width: Its width.
    """
    fit = max(1.0, max(height, width) / (SCREEN_SIDE * _LEGEND_SHARE))
    return math.ceil(MIN_DIGIT_HEIGHT * fit)


def draw_text(
    canvas: np.ndarray,
    text: str,
    left: int,
    middle: int,
    digit_height: int,
) -> None:
    """Write one line into an image, in place.

    Args:
        canvas: BGR uint8, (H, W, 3).
        text: The line.
        left: First column.
        middle: Row of the middle of the digits.
        digit_height: Pixels of a digit.
    """
    font = _font(digit_height)
    _, top, _, bottom = font.getbbox('0')
    picture = Image.fromarray(canvas)
    position = (left, middle - (top + bottom) / 2)
    ImageDraw.Draw(picture).text(position, text, fill=TEXT_COLOR, font=font)
    canvas[:] = np.asarray(picture)


def text_width(text: str, digit_height: int) -> int:
    """Return the width of a line in pixels."""
    return math.ceil(_font(digit_height).getlength(text))


def wrap_text(text: str, width: int, digit_height: int) -> list[str]:
    """Break a text at spaces into lines of at most ``width`` pixels; long words stay whole."""
    lines = []
    for word in text.split():
        longer = f'{lines[-1]} {word}' if lines else word
        if lines and text_width(longer, digit_height) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@functools.lru_cache(maxsize=32)
def _font(digit_height: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's own font in the smallest size whose digits have the height."""
    size = digit_height
    while True:
        font = ImageFont.load_default(size)
        _, top, _, bottom = font.getbbox('0')
        if bottom - top >= digit_height:
            return font
        size += 1
