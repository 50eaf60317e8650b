"""Integrity checks of JPEG files, which decoders do not make.

libjpeg, and with it OpenCV and Pillow, decodes a damaged JPEG file to a picture that is partly grey
or garbled, and says so in a warning on the error stream at most. Two checks find the damage:

- :func:`structure_error` walks the markers of the file, without decoding (about 2 % of the decoding
  time).
- :func:`entropy_error` decodes three times and finds compressed data that end too early or too
  late.

Damage that leaves both right is not found: a few changed bits after which the decoder finds its way
back, with as many blocks as before.
"""

import io
import struct
from typing import NamedTuple

import numpy as np
from PIL import Image

SIGNATURE = b'\xff\xd8\xff'
FILL = 128  # every channel of a pixel for which the data lacked

# Marker codes, each written after a byte FF: start of scan, end of image, restart interval.
_SOS, _EOI, _DRI = 0xDA, 0xD9, 0xDD
_APP1, _EXIF_SIGNATURE = 0xE1, b'Exif\0\0'
# Segments with a length: tables (DHT, DAC), SOS to EXP, APP0 to APP15, comments.
_SEGMENTS = frozenset(range(0xDA, 0xF0)) | {0xC4, 0xCC, 0xFE}
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15
_PROGRESSIVE = frozenset([0xC2, 0xC6, 0xCA, 0xCE])
_STEP = 32  # bytes; a run of twice as many equal ones is found
_ORIENTATION = 0x0112
_TAIL = 16  # bytes at the end of the compressed data that are altered
_JUNK = bytes(np.random.RandomState(0).randint(0, 255, 64).tolist())  # without FF


def is_jpeg(content: bytes) -> bool:
    """Return whether a file's content is a JPEG file, whatever the file is called."""
    return content[:3] == SIGNATURE


def structure_error(content: bytes) -> str:
    """Return what is wrong with the markers of a JPEG file, '' if nothing is."""
    try:
        _walk(content)
    except _DamageError as error:
        return str(error)
    return ''


def entropy_error(content: bytes) -> str:
    """Return what is wrong with the compressed data of a JPEG file, '' if nothing is.

    Data appended to complete ones do not change the picture, and altering their last bytes does.
    The former is tried in every scan and restart interval, the latter in the last.
    """
    try:
        ends = _walk(content)
    except _DamageError as error:
        return str(error)
    try:
        pixels = _decoded(content)
    except (OSError, SyntaxError, ValueError) as error:
        return f'it cannot be decoded: {error}'
    pieces, start = [], 0
    for end in ends:
        pieces.append(content[start:end])
        start = end
    pieces.append(content[start:])
    # A decoder skips bytes between the data and a marker, unless it still waits for data.
    if not _is_decoded_to(_JUNK.join(pieces), pixels):
        return 'its compressed data end before the last pixel'
    # The codes of a picture of one colour may have a single symbol, then altered data do not change
    # it.
    is_flat = (pixels == pixels[0, 0]).all()
    if not is_flat and _is_decoded_to(_with_altered_end(content, ends[-1]), pixels):
        return 'its compressed data go on after the last pixel'
    return ''


def looks_damaged(content: bytes, img: np.ndarray) -> bool:
    """Return whether a JPEG file may be damaged, by a cheap test; :func:`entropy_error` settles it.

    Args:
        content: The file; its structure is right.
        img: What it was decoded to, (H, W, 3) uint8.
    """
    # libjpeg fills what is missing with grey, so the last block of the picture tells.
    is_grey = bool((img[-8:, -8:] == FILL).all())
    return is_grey or _has_run(content, content.find(b'\xff\xda'))


def exif_orientation(content: bytes) -> int:
    """Return the EXIF orientation of a JPEG file, 1 (upright) to 8; 1 if there is none.

    The segments before the compressed data are looked at, so a file without EXIF costs
    microseconds.
    """
    position = 2  # after FFD8, the start of the image
    while content[position : position + 1] == b'\xff' and len(content) >= position + 4:
        marker = content[position + 1]
        length = int.from_bytes(content[position + 2 : position + 4], 'big')
        if marker == _SOS:
            break
        segment = content[position + 4 : position + 2 + length]
        if marker == _APP1 and segment.startswith(_EXIF_SIGNATURE):
            return _orientation(segment[len(_EXIF_SIGNATURE) :])
        position += 2 + length
    return 1


class _DamageError(ValueError):
    """What is wrong with the markers of a JPEG file."""


def _walk(content: bytes) -> list[int]:
    """Return where the compressed data of each scan and restart interval end.

    Raises:
        _DamageError: If the markers are wrong.
    """
    markers = _marker_positions(content)
    position, interval, ends = 2, 0, []
    frame, missing_bits = None, {}
    while True:
        code, position = _marker_at(content, position)
        if code == _EOI:
            break
        if code not in _SEGMENTS and code not in _FRAMES:
            raise _DamageError(f'byte {position - 2} begins the impossible marker FF{code:02X}')
        length = int.from_bytes(content[position : position + 2], 'big')
        segment = content[position + 2 : position + length]
        if length < 2 or len(segment) != length - 2:
            raise _DamageError(f'its segment FF{code:02X} at byte {position - 2} is cut off')
        position += length
        if code in _FRAMES:
            frame = _Frame.parse(segment)
            # Progressive scans send the 64 coefficients of a block bit by bit; each has to reach
            # its last one.
            if code in _PROGRESSIVE:
                missing_bits = {component: np.ones(64, bool) for component in frame.components}
        elif code == _DRI:
            interval = int.from_bytes(segment[:2], 'big')
        elif code == _SOS:
            scan_ends = _scan_ends(content, markers, position, interval)
            ends += scan_ends
            position = scan_ends[-1]
            if missing_bits:
                _note_scan(segment, missing_bits)
            elif frame and interval and frame.units:
                # The number of units is that of a scan of all components.
                is_scan_of_all = segment[:1] == bytes([len(frame.components)])
                expected = -(-frame.units // interval)
                if is_scan_of_all and len(scan_ends) != expected:
                    raise _DamageError(
                        f'{len(scan_ends)} of {expected} restart intervals are there'
                    )
    if not ends:
        raise _DamageError('it holds no image data')
    if any(bits.any() for bits in missing_bits.values()):
        raise _DamageError('some of its progressive scans are missing')
    return ends


class _Frame(NamedTuple):
    """Header of a frame.

    Attributes:
        components: Their identifiers: luminance and two colour differences, as a rule.
        units: Number of units (blocks of 8x8 pixels, times the sampling factors) that a scan of all
            components has; 0 if the height is not known yet.
    """

    components: tuple[int, ...]
    units: int

    @classmethod
    def parse(cls, segment: bytes) -> '_Frame':
        if len(segment) < 6 or len(segment) < 6 + 3 * segment[5] or not segment[5]:
            raise _DamageError('its frame header is cut off')
        height, width = struct.unpack('>HH', segment[1:5])
        components = tuple(segment[6 + 3 * index] for index in range(segment[5]))
        factors = [segment[7 + 3 * index] for index in range(segment[5])]
        # The sampling factors of a single component have no effect, says the standard (A.2.2).
        if len(factors) == 1:
            factors = [0x11]
        # Horizontal and vertical factor share a byte.
        across = 8 * max(factor >> 4 for factor in factors)
        down = 8 * max(factor & 15 for factor in factors)
        if not across or not down:
            raise _DamageError('its frame header has no sampling factors')
        return cls(components, -(-width // across) * -(-height // down))


def _note_scan(segment: bytes, missing_bits: dict[int, np.ndarray]) -> None:
    """Note which coefficients of which components have their last bit after a progressive scan."""
    count = segment[0] if segment else 0
    if len(segment) < 4 + 2 * count:
        raise _DamageError('its scan header is cut off')
    # Coefficients first to last; the lower half of the third byte counts the bits that are left
    # out.
    first, last, approximation = segment[1 + 2 * count : 4 + 2 * count]
    for component in segment[1 : 1 + 2 * count : 2]:
        if component not in missing_bits:
            raise _DamageError(f'a scan names the component {component}, which it does not have')
        missing_bits[component][first : last + 1] = bool(approximation & 15)


def _marker_positions(content: bytes) -> np.ndarray:
    """Return the positions of markers: FF followed neither by 00 (data) nor by FF (fill byte)."""
    values = np.frombuffer(content, np.uint8)
    positions = np.flatnonzero(values[:-1] == 0xFF)
    following = values[positions + 1]
    return positions[(following != 0) & (following != 0xFF)]


def _marker_at(content: bytes, position: int) -> tuple[int, int]:
    """Return the code of the marker at ``position``, after fill bytes if any, and where it ends."""
    start = position
    while content[position : position + 2] == b'\xff\xff':
        position += 1
    if len(content) < position + 2:
        raise _DamageError('it has no end mark, it is cut off')
    if content[position] != 0xFF or content[position + 1] == 0:
        raise _DamageError(f'byte {start} is no marker, there is damage before it')
    return content[position + 1], position + 2


def _scan_ends(content: bytes, markers: np.ndarray, position: int, interval: int) -> list[int]:
    """Return where the restart intervals end of compressed data that begin at ``position``."""
    ends = []
    following = markers[np.searchsorted(markers, position) :].tolist()
    for number, marker in enumerate(following):
        code = content[marker + 1]
        ends.append(marker)
        # Restart markers are numbered 0 to 7 in turn; any other marker ends the scan.
        if not 0xD0 <= code <= 0xD7:
            return ends
        if not interval or code != 0xD0 + number % 8:
            raise _DamageError(f'byte {marker} is a restart marker out of turn')
    raise _DamageError('it has no end mark, it is cut off')


def _with_altered_end(content: bytes, end: int) -> bytes:
    """Return the file with other values in the last bytes of compressed data before ``end``."""
    start = end - _TAIL
    # FF 00 stands for one byte FF of data and stays a pair.
    if content[start - 1] == 0xFF:
        start += 1
    # At most FE, so that no marker comes into being.
    altered = bytes(min(byte ^ 0x55, 0xFE) for byte in content[start:end])
    return content[:start] + altered + content[end:]


def _has_run(content: bytes, start: int) -> bool:
    """Return whether 2 * ``_STEP`` bytes behind ``start`` are equal, rare in compressed data."""
    samples = np.frombuffer(content, np.uint8)[max(start, 0) :: _STEP]
    # Every 32nd byte is compared with the next one first: fast, and nearly always enough.
    candidates = np.flatnonzero(samples[1:] == samples[:-1]) * _STEP + max(start, 0)
    return any(len(set(content[index : index + _STEP + 1])) == 1 for index in candidates.tolist())


def _orientation(tiff: bytes) -> int:
    """Return the orientation in the first directory of TIFF data, 1 if it is not there."""
    # Intel or Motorola: the byte order of the numbers that follow.
    order = {b'II': '<', b'MM': '>'}.get(tiff[:2])
    if order is None or len(tiff) < 8:
        return 1
    (start,) = struct.unpack_from(f'{order}I', tiff, 4)
    if len(tiff) < start + 2:
        return 1
    (count,) = struct.unpack_from(f'{order}H', tiff, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(tiff) - 11), 12):
        tag, _kind, _count, value = struct.unpack_from(f'{order}HHIH', tiff, entry)
        if tag == _ORIENTATION and 1 <= value <= 8:
            return value
    return 1


def _decoded(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def _is_decoded_to(content: bytes, pixels: np.ndarray) -> bool:
    try:
        return np.array_equal(_decoded(content), pixels)
    except (OSError, SyntaxError, ValueError):
        return False
