"""Keys of a sample that hold maps or cameras, and how geometric operations change each of them.

``SPATIAL_KEYS`` is the only list: every spatial transform goes through :func:`flip`, :func:`crop`,
:func:`rotate` or :func:`resize`, which change all keys of the sample by their rules. Rules of
further keys come with the sample (``results['spatial_keys'] = {'flow': dict(kind='vectors')}``). An
array of the image's size under a key without a rule is an error, so that no map is forgotten.

Pixel centres are at whole numbers; a resize scales pixel areas, so a centre at x goes to (x + 0.5)
* s - 0.5.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image
from torch import Tensor

from depth.datasets.velodyne import place_points, resize_nearest

KINDS = ('image', 'nearest', 'nearest_floor', 'points', 'vectors', 'camera', 'camera_transform')
GRIDS = ('image', 'ground_truth', 'own')
INTERPOLATIONS = ('bilinear', 'lanczos')
# Further ones, of OpenCV, for the transforms that reproduce published preprocessings.
OPENCV_INTERPOLATIONS = dict(bilinear=cv2.INTER_LINEAR, cubic=cv2.INTER_CUBIC, area=cv2.INTER_AREA)
# Between fx and fy, up to which a rotation takes pixels for square ones, as published code does.
MAX_SQUARE_ERROR = 0.01
MIRROR = np.diag([-1.0, 1.0, 1.0, 1.0])


@dataclass(frozen=True)
class SpatialRule:
    """Rule by which one key of a sample follows geometric operations.

    Args:
        kind: ``'image'``: (H, W) or (H, W, 3), interpolated. ``'nearest'``: (H, W) or (H, W, C)
            whose values are never mixed (depth, classes); the output pixel takes the input pixel in
            which its centre lies. ``'nearest_floor'``: likewise, but resized by OpenCV's
            ``INTER_NEAREST``, which takes the pixel of the upper left corner and so moves the map
            by up to half an output pixel. ``'points'``: (H, W) float32 depth of single points, 0 =
            none; each point moves to the pixel in which it comes to lie, so that none is doubled
            and none lost but behind a nearer one. ``'vectors'``: (H, W, 3), nearest; x and y turn
            with the image (normals). ``'camera'``: intrinsics (3, 3). ``'camera_transform'``:
            (4, 4), from one camera of the sample to another.
        grid: On which pixels the map lies, or to which a camera belongs. ``'image'``: those of
            ``img``. ``'ground_truth'``: those of ``ori_shape``, the image's unless a transform
            resized the image alone. ``'own'``: any number of pixels over the same view, until a
            resize brings it to the image's.
        rotates: Whether a rotation of the image in its plane leaves the key meaningful.

    Raises:
        ValueError: If the kind or the grid is unknown.
    """

    kind: str
    grid: str = 'image'
    rotates: bool = True

    def __post_init__(self) -> None:
        for name, choices in (('kind', KINDS), ('grid', GRIDS)):
            value = getattr(self, name)
            if value not in choices:
                raise ValueError(
                    f'SpatialRule: {name} is one of {", ".join(choices)}, got {value!r}',
                )

    @property
    def is_map(self) -> bool:
        """Whether the key is an array of pixels."""
        return self.kind not in ('camera', 'camera_transform')


SPATIAL_KEYS = dict(
    img=SpatialRule('image'),
    other_img=SpatialRule('image'),
    clean_img=SpatialRule('image'),
    clean_other_img=SpatialRule('image'),
    # A right view without extrinsics is to the right of the left one; a rotation would move it
    # elsewhere.
    img_right=SpatialRule('image', rotates=False),
    gt_depth=SpatialRule('nearest', 'ground_truth'),
    gt_depth_right=SpatialRule('nearest', 'ground_truth', rotates=False),
    semantic=SpatialRule('nearest', 'ground_truth'),
    normals=SpatialRule('vectors', 'ground_truth'),
    gt_sky=SpatialRule('nearest', 'ground_truth'),
    gt_planes=SpatialRule('nearest', 'ground_truth'),
    # The published resize of depth hints, which recorded values fix.
    depth_hint=SpatialRule('nearest_floor', 'own'),
    sparse_depth=SpatialRule('points'),
    cam_intrinsic=SpatialRule('camera'),
    other_cam_intrinsic=SpatialRule('camera'),
    ori_cam_intrinsic=SpatialRule('camera', 'ground_truth'),
    stereo_extrinsics=SpatialRule('camera_transform'),
)


def flip(results: dict, transform: str) -> dict:
    """Mirror a sample left and right in place; ``transform`` names the caller in messages."""
    image_shape(results, transform)
    for key, rule in _spatial_items(results, transform):
        width = _grid_shape(results, key, rule)[1]
        if rule.is_map:
            results[key] = _mirrored(results[key])
            if rule.kind == 'vectors':
                results[key][..., 0] *= -1
        elif rule.kind == 'camera':
            # Only the principal point moves: a mirrored camera keeps fx > 0.
            matrix = np.array(results[key], np.float64)
            matrix[0, 2] = width - 1 - matrix[0, 2]
            results[key] = matrix
        else:
            results[key] = MIRROR @ np.asarray(results[key], np.float64) @ MIRROR
    results.setdefault('moved_by', transform)
    return results


def crop(results: dict, top: int, left: int, height: int, width: int, transform: str) -> dict:
    """Cut a window out of a sample in place; the crop becomes the image (``ori_shape``).

    The windows are views: the next step that writes pixels, packing at the latest, copies what is
    left.

    Args:
        results: The sample.
        top: First row of the window, in pixels.
        left: First column.
        height: Rows; those beyond the image are left out.
        width: Columns, likewise.
        transform: Caller, for messages.

    Raises:
        ValueError: If a map has another size than the image, or the window is empty.
    """
    shape = image_shape(results, transform)
    if not (0 <= top < shape[0] and 0 <= left < shape[1] and height > 0 and width > 0):
        raise ValueError(
            f'{transform}: the window of {height}x{width} pixels from row {top} and column {left} '
            f'on does not lie in {_name(results)} of {shape[0]}x{shape[1]}',
        )
    items = _spatial_items(results, transform)
    follows_image = _ground_truth_shape(results) == shape
    if not follows_image and _has_ground_truth(items):
        raise ValueError(
            f'{transform}: {_name(results)} was resized to {_size(shape)}, its ground truth was '
            f'not ({_size(_ground_truth_shape(results))}), so one window does not fit both; put '
            f'{transform} in front of the resize, or resize both (Resize with resize_depth=True)',
        )
    shift = np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    for key, rule in items:
        if rule.is_map:
            if results[key].shape[:2] != shape:  # of grid "own"
                raise ValueError(
                    f'{transform}: {key} of {_name(results)} is {_size(results[key].shape)}, the '
                    f'image {_size(shape)}, so one window does not fit both; resize in front of '
                    f'{transform}',
                )
            results[key] = results[key][top : top + height, left : left + width]
        elif rule.kind == 'camera':
            results[key] = shift @ np.asarray(results[key], np.float64)
    # Nothing is left of the size before the resize.
    if not follows_image and 'cam_intrinsic' in results:
        results['ori_cam_intrinsic'] = results['cam_intrinsic']
    outer_top, outer_left = results.get('crop_box', (0, 0, 0, 0))[:2]
    shape = results['img'].shape[:2]
    results.update(
        img_shape=shape,
        ori_shape=shape,
        crop_box=(outer_top + top, outer_left + left, *shape),
    )
    results.setdefault('moved_by', transform)
    return results


def rotate(results: dict, angle: float, transform: str) -> dict:
    """Rotate a sample about the image's middle in place, by ``angle`` degrees, clockwise.

    A rotation in the image is a roll of the camera about its axis, which leaves depth as it is.
    Principal points turn with the image; focal lengths stay. Where fx and fy differ by more than
    ``MAX_SQUARE_ERROR``, as behind a resize that keeps no ratio, the pixels are not square: the
    rotation is then one of the rays, an ellipse in pixels. What comes from outside is 0.

    Raises:
        ValueError: If the sample holds a key that cannot be rotated.
    """
    height, width = image_shape(results, transform)
    # Height of a pixel over its width.
    aspect = _pixel_aspect(results.get('cam_intrinsic'))
    center = (width - 1) * 0.5, (height - 1) * 0.5 * aspect
    rotation = np.eye(3)
    rotation[:2] = cv2.getRotationMatrix2D(center, -angle, 1.0)
    roll = np.eye(4)
    roll[:2, :2] = rotation[:2, :2]
    # To square pixels, rotate there, and back.
    square = np.diag([1.0, aspect, 1.0])
    matrix = np.linalg.inv(square) @ rotation @ square
    for key, rule in _spatial_items(results, transform):
        if not rule.rotates:
            raise ValueError(
                f'{transform}: {key} of {_name(results)} cannot be rotated; PairFromScene, in '
                'front of it, makes a pair that can',
            )
        shape = _grid_shape(results, key, rule)
        moved = matrix
        # A map on another grid: to the image's pixels, rotate there, and back.
        if shape != (height, width):
            to_grid = _scaling((height, width), shape)
            moved = to_grid @ matrix @ np.linalg.inv(to_grid)
        if rule.is_map:
            results[key] = _warped(results[key], moved[:2], rule)
            if rule.kind == 'vectors':
                results[key][..., :2] = results[key][..., :2] @ roll[:2, :2].T
        elif rule.kind == 'camera':
            intrinsic = np.array(results[key], np.float64)
            center = np.append(intrinsic[:2, 2], 1.0)
            intrinsic[:2, 2] = moved[:2] @ center
            results[key] = intrinsic
        else:
            results[key] = roll @ np.asarray(results[key], np.float64) @ roll.T
    results.setdefault('moved_by', transform)
    return results


def resize(
    results: dict,
    size: tuple[int, int],
    transform: str,
    interpolation: str = 'bilinear',
    with_ground_truth: bool = True,
) -> dict:
    """Resize a sample in place; sets ``img_shape`` and ``ori_shape``.

    Args:
        results: The sample.
        size: (height, width) in pixels.
        transform: Caller, for messages.
        interpolation: Of images: ``'bilinear'``, ``'cubic'``, ``'area'`` or ``'lanczos'``
            (antialiased).
        with_ground_truth: Also resize the maps of the ground truth's grid, where there are any, and
            its camera.
    """
    height, width = size
    shape, gt_shape = image_shape(results, transform), _ground_truth_shape(results)
    items = _spatial_items(results, transform)
    with_ground_truth = with_ground_truth and _has_ground_truth(items)
    for key, rule in items:
        if rule.grid == 'ground_truth' and not with_ground_truth:
            continue
        # A pose is in metres, whatever the size of the image.
        if rule.kind == 'camera_transform':
            continue
        if rule.kind == 'camera':
            old_shape = gt_shape if rule.grid == 'ground_truth' else shape
            results[key] = _scaling(old_shape, size) @ np.asarray(results[key], np.float64)
        elif rule.kind == 'nearest_floor':
            # OpenCV takes the pixel floor(x * ratio), half a pixel up and left of the nearest.
            results[key] = cv2.resize(
                results[key],
                (width, height),
                interpolation=cv2.INTER_NEAREST,
            )
        elif rule.kind == 'points':
            results[key] = _moved_points(results[key], _scaling(shape, size), size)
        elif rule.kind != 'image':
            results[key] = resize_nearest(results[key], size)
        elif interpolation == 'lanczos':
            resized = Image.fromarray(results[key]).resize(
                (width, height),
                Image.Resampling.LANCZOS,
            )
            results[key] = np.asarray(resized)
        else:
            results[key] = cv2.resize(
                results[key],
                (width, height),
                interpolation=OPENCV_INTERPOLATIONS[interpolation],
            )
    results['img_shape'] = (height, width)
    # A size that nobody stated is the image's: state it before the image leaves it.
    results['ori_shape'] = (height, width) if with_ground_truth else gt_shape
    return results


def pad(
    results: dict, borders: tuple[int, int, int, int], value: Sequence[int], transform: str
) -> dict:
    """Pad the image of a sample in place; ground truth keeps its own pixels (``ori_shape``).

    Sets ``img_shape``, and ``content_box`` (top, left, height, width), the image in the padded one.

    Args:
        results: The sample.
        borders: Rows above and below, columns left and right.
        value: Colour of the border of images, in their channel order; other maps get 0.
        transform: Caller, for messages.
    """
    top, bottom, left, right = borders
    height, width = image_shape(results, transform)
    results['ori_shape'] = _ground_truth_shape(results)
    shift = np.array([[1.0, 0.0, left], [0.0, 1.0, top], [0.0, 0.0, 1.0]])
    for key, rule in _spatial_items(results, transform):
        if rule.grid != 'image':
            continue
        if rule.kind == 'camera':
            results[key] = shift @ np.asarray(results[key], np.float64)
        elif rule.is_map:
            color = tuple(value) if rule.kind == 'image' else 0
            results[key] = cv2.copyMakeBorder(
                results[key], top, bottom, left, right, cv2.BORDER_CONSTANT, value=color
            )
    results['img_shape'] = results['img'].shape[:2]
    results['content_box'] = (top, left, height, width)
    return results


def place_ground_truth(results: dict, depth: np.ndarray) -> dict:
    """Set ``gt_depth`` (H, W), and ``ori_shape`` and ``ori_cam_intrinsic`` to its pixels.

    Args:
        results: The sample; its image has been resized at most.
        depth: Metres, of the whole view, at any size.
    """
    old_shape = _ground_truth_shape(results)
    if depth.shape != old_shape and results.get('ori_cam_intrinsic') is not None:
        scaling = _scaling(old_shape, depth.shape)
        results['ori_cam_intrinsic'] = scaling @ np.asarray(
            results['ori_cam_intrinsic'],
            np.float64,
        )
    results.update(gt_depth=depth, ori_shape=depth.shape)
    return results


def image_shape(results: dict, transform: str) -> tuple[int, int]:
    """Return (height, width) of ``img``.

    Raises:
        ValueError: If the sample has no image yet.
    """
    if 'img' not in results:
        raise ValueError(
            f'{transform}: {_name(results)} is not loaded yet; put {transform} behind LoadImage or '
            'LoadPair',
        )
    return results['img'].shape[:2]


def require_unmoved(results: dict, transform: str) -> None:
    """Raise an error if the image was mirrored, cropped or rotated before a map is loaded.

    Raises:
        ValueError: If it was; the message names both transforms.
    """
    if 'moved_by' in results:
        raise ValueError(
            f'{transform}: what it loads would not fit the image of {_name(results)}, which '
            f'{results["moved_by"]} moved; put {transform} in front of {results["moved_by"]}',
        )


def _spatial_items(results: dict, transform: str) -> list[tuple[str, SpatialRule]]:
    """Return the keys that a geometric transform has to change, and their rules.

    Raises:
        ValueError: If the image was padded, an array of the size of the image or of its ground
            truth has no rule, or a map does not have the size that its rule says.
    """
    if 'content_box' in results:
        raise ValueError(
            f'{transform}: {_name(results)} was padded on all sides, and its place in the padding '
            f'would not follow; put {transform} in front of what pads (FitToCanvas)'
        )
    rules = SPATIAL_KEYS | _own_rules(results, transform)
    shapes = {results['img'].shape[:2], _ground_truth_shape(results)}
    items = []
    for key, value in results.items():
        if value is None:
            continue
        if key not in rules:
            _refuse_image_like(results, key, value, shapes, transform)
            continue
        rule = rules[key]
        _check_kind(results, key, rule, transform)
        expected = _grid_shape(results, key, rule)
        if rule.is_map and rule.grid != 'own' and value.shape[:2] != expected:
            raise ValueError(
                f'{transform}: {key} of {_name(results)} is {_size(value.shape)}, expected '
                f'{_size(expected)}, the size of its {rule.grid.replace("_", " ")}',
            )
        items.append((key, rule))
    return items


def _has_ground_truth(items: list[tuple[str, SpatialRule]]) -> bool:
    return any(rule.is_map and rule.grid == 'ground_truth' for _, rule in items)


def _own_rules(results: dict, transform: str) -> dict[str, SpatialRule]:
    """Return the rules that came with the sample.

    Raises:
        ValueError: If one is none.
    """
    rules = {}
    given = results.get('spatial_keys') or {}
    try:
        for key, rule in given.items():
            rules[key] = rule if isinstance(rule, SpatialRule) else SpatialRule(**rule)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            f'{transform}: spatial_keys of {_name(results)} is {given!r}, it should be rules by '
            f"key, such as {{'flow': dict(kind='vectors')}}: {error}"
        ) from error
    return rules


def _check_kind(results: dict, key: str, rule: SpatialRule, transform: str) -> None:
    """Raise an error if a value cannot be of the kind that its rule says.

    Raises:
        ValueError: If it has another shape or type of numbers.
    """
    value = results[key]
    shape = np.shape(value)
    if rule.kind == 'camera':
        fits, expected = shape == (3, 3), 'a matrix (3, 3)'
    elif rule.kind == 'camera_transform':
        fits, expected = shape == (4, 4), 'a matrix (4, 4)'
    elif rule.kind == 'vectors':
        fits, expected = len(shape) == 3 and shape[2] in (2, 3), 'an array (H, W, 3) or (H, W, 2)'
    else:
        fits, expected = len(shape) in (2, 3), 'an array (H, W) or (H, W, C)'
    if rule.is_map and not isinstance(value, np.ndarray):
        fits = False
    # OpenCV interpolates no other types.
    elif rule.kind == 'image' and value.dtype not in (np.uint8, np.uint16, np.float32, np.float64):
        fits, expected = False, "uint8, uint16 or float, others are of the kind 'nearest'"
    if not fits:
        held = f'{type(value).__name__} {shape} {getattr(value, "dtype", "")}'.strip()
        raise ValueError(
            f'{transform}: {key} of {_name(results)} is of the kind {rule.kind!r}, which is '
            f'{expected}, but it is {held}'
        )


def _refuse_image_like(
    results: dict,
    key: str,
    value: object,
    shapes: set[tuple[int, int]],
    transform: str,
) -> None:
    """Raise an error if a value without a rule holds arrays of the image's size."""
    for shape in _array_shapes(value):
        # Rows and columns may stand anywhere: (N, C, H, W), (N, H, W, C).
        if any(shape[axis : axis + 2] in shapes for axis in range(len(shape) - 1)):
            raise ValueError(
                f'{transform}: {key!r} of {_name(results)} has shape {shape}, as large '
                f'as the image, but no rule says how it follows geometry; give the sample one '
                f"(results['spatial_keys'] = {{{key!r}: dict(kind='nearest')}}, kinds: "
                f'{", ".join(KINDS)}), or remove the key in front of {transform}',
            )


def _array_shapes(value: object) -> Iterator[tuple[int, ...]]:
    """Yield the shapes of the arrays, tensors and pictures in a value, also in lists and dicts."""
    if isinstance(value, np.ndarray | Tensor):
        yield tuple(value.shape)
    elif isinstance(value, Image.Image):
        yield value.size[::-1]
    elif isinstance(value, dict):
        for item in value.values():
            yield from _array_shapes(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _array_shapes(item)


def _grid_shape(results: dict, key: str, rule: SpatialRule) -> tuple[int, int]:
    """Return (height, width) of the pixels on which a key lies."""
    if rule.grid == 'own':
        return results[key].shape[:2]
    if rule.grid == 'image':
        return results['img'].shape[:2]
    return _ground_truth_shape(results)


def _ground_truth_shape(results: dict) -> tuple[int, int]:
    return tuple(results.get('ori_shape') or results['img'].shape[:2])


def _scaling(old: tuple[int, int], new: tuple[int, int]) -> np.ndarray:
    """Return the resize from ``old`` to ``new`` (h, w) as a matrix (3, 3) on pixels (x, y, 1)."""
    sx, sy = new[1] / old[1], new[0] / old[0]
    # x goes to (x + 0.5) * sx - 0.5: pixel centres are at whole numbers.
    return np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])


def _moved_points(depth: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Move points (H, W) by an affine matrix on pixels (x, y, 1) into a map of ``size``."""
    rows, columns = np.nonzero(depth > 0)
    x = matrix[0, 0] * columns + matrix[0, 1] * rows + matrix[0, 2]
    y = matrix[1, 0] * columns + matrix[1, 1] * rows + matrix[1, 2]
    return place_points(np.floor(y + 0.5), np.floor(x + 0.5), depth[rows, columns], size)


def _pixel_aspect(camera: np.ndarray | None) -> float:
    """Return a pixel's height over its width by a camera (3, 3); 1 if nearly so or unknown."""
    if camera is None:
        return 1.0
    camera = np.asarray(camera, np.float64)
    aspect = float(camera[0, 0] / camera[1, 1])
    return 1.0 if abs(aspect - 1) <= MAX_SQUARE_ERROR else aspect


def _mirrored(array: np.ndarray) -> np.ndarray:
    # OpenCV is ten times faster than the copy of a reversed view, for the types that it supports.
    if array.dtype in (np.uint8, np.uint16, np.float32):
        return cv2.flip(array, 1)
    return np.ascontiguousarray(array[:, ::-1])


def _warped(array: np.ndarray, matrix: np.ndarray, rule: SpatialRule) -> np.ndarray:
    """Warp a map by an affine matrix (2, 3) on pixel coordinates; 0 outside."""
    if rule.kind == 'points':
        return _moved_points(array, matrix, array.shape[:2])
    size = array.shape[1::-1]
    if rule.kind != 'image':
        if array.dtype in (np.uint8, np.uint16, np.float32):
            return cv2.warpAffine(array, matrix, size, flags=cv2.INTER_NEAREST)
        # OpenCV warps neither booleans nor long integers, and rounds positions of float64 maps
        # differently: warp the numbers of the pixels and look the values up.
        rows, columns = array.shape[:2]
        numbers = np.arange(1, rows * columns + 1, dtype=np.float32).reshape(rows, columns)
        sources = cv2.warpAffine(numbers, matrix, size, flags=cv2.INTER_NEAREST).astype(np.int64)
        moved = array.reshape(rows * columns, *array.shape[2:])[np.maximum(sources - 1, 0)]
        moved[sources == 0] = 0
        return moved
    if array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8:
        # With a fourth channel OpenCV is twice as fast.
        padded = cv2.cvtColor(array, cv2.COLOR_BGR2BGRA)
        return cv2.cvtColor(
            cv2.warpAffine(padded, matrix, size, flags=cv2.INTER_LINEAR),
            cv2.COLOR_BGRA2BGR,
        )
    return cv2.warpAffine(array, matrix, size, flags=cv2.INTER_LINEAR)


def _name(results: dict) -> str:
    return str(results.get('img_path', 'the image'))


def _size(shape: tuple[int, ...]) -> str:
    return f'{shape[0]}x{shape[1]}'
