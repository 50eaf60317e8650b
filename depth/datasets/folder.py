"""Any folder of images and depth maps."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from depth.cameras import pinhole_matrix
from depth.registry import DATASETS

from .base import BaseDepthDataset
from .text_files import read_text

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
DEPTH_SUFFIXES = ('.png', '.npy', '.npz', '.tif', '.tiff')


@DATASETS.register_module()
class FolderDepthDataset(BaseDepthDataset):
    """Images and depth maps that are paired by their stems.

    ::

        data_root/
        ├── images/            any common image type; sub-folders are searched too
        ├── depth/             16-bit PNG (``depth_scale`` integers a metre), npy, npz, tiff; float files hold metres
        └── intrinsics.json    optional: {"fx": ..., "fy": ..., "cx": ..., "cy": ...} in pixels for all images,
                               or such an entry for each stem

    Args:
        data_root: The folder.
        data_prefix: Other names for the two sub-folders: ``img_path``, ``depth_path``.
        **kwargs: See :class:`BaseDepthDataset`. ``ann_file`` is a text file with one stem
            (``sub/name``) a line, for a part of the folder; all pairs without it.

    Raises:
        FileNotFoundError: If a folder is missing.
        ValueError: If there are no images, an image has no depth map, or ``ann_file`` names one
            that does not exist.
    """

    METAINFO = dict(dataset_name='folder', min_depth=1e-3, max_depth=10.0)
    PREPARE_HINT = 'it should hold images/ and depth/ with equal stems'

    def __init__(self, data_root: str, data_prefix: dict | None = None, **kwargs: Any) -> None:
        prefix = dict(img_path='images', depth_path='depth') | dict(data_prefix or {})
        super().__init__(data_root=data_root, data_prefix=prefix, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the images with their depth maps, sorted by path."""
        images = self._list('img_path', IMAGE_SUFFIXES)
        depths = self._list('depth_path', DEPTH_SUFFIXES)
        if not images:
            raise ValueError(
                f'{self.data_prefix["img_path"]} holds no image ({", ".join(IMAGE_SUFFIXES)})'
            )
        if self.ann_file:
            images = self._listed(images)
        unpaired = [stem for stem in images if stem not in depths]
        if unpaired:
            raise ValueError(
                f'{len(unpaired)} of {len(images)} images in {self.data_prefix["img_path"]} have '
                f'no depth map of the same stem in {self.data_prefix["depth_path"]}, the first: '
                f'{images[unpaired[0]].name}'
            )
        cameras = self._cameras()
        for stem, image in images.items():
            sample = dict(img_path=str(image), depth_path=str(depths[stem]))
            # A file may have one camera for all images, which has the stem ''.
            sample |= cameras.get(stem, cameras.get('', {}))
            yield sample, self.data_root

    def _listed(self, images: dict[str, Path]) -> dict[str, Path]:
        """Return the images whose stems the split file names, in its order."""
        lines = read_text(self.ann_file, 'split file').splitlines()
        stems = [line.strip() for line in lines if line.strip()]
        absent = [stem for stem in stems if stem not in images]
        if not stems:
            raise ValueError(f'{self.ann_file} names no stem')
        if absent:
            raise ValueError(
                f'{self.ann_file} names {len(absent)} stems without an image, the first: '
                f'{absent[0]}'
            )
        return {stem: images[stem] for stem in stems}

    def _list(self, key: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
        """Return the files below a folder by their stems, ``sub/name``, sorted by path."""
        folder = Path(self.data_prefix[key])
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{type(self).__name__}: folder {folder} does not exist; {self.PREPARE_HINT}'
            )
        paths = sorted(path for path in folder.rglob('*') if path.suffix.lower() in suffixes)
        stems: dict[str, Path] = {}
        for path in paths:
            stem = path.relative_to(folder).with_suffix('').as_posix()
            if stem in stems:
                raise ValueError(
                    f'{stems[stem]} and {path} have the same stem, so it is not clear which one is '
                    'meant'
                )
            stems[stem] = path
        return stems

    def _cameras(self) -> dict[str, dict]:
        """Return ``cam_intrinsic`` by stem, nothing where the folder has no camera file."""
        path = Path(self.data_root, 'intrinsics.json')
        if not path.is_file():
            return {}
        cameras = {}
        for stem, matrix in read_cameras(path).items():
            cameras[stem] = dict(cam_intrinsic=matrix)
        return cameras


class OtherCamerasError(ValueError):
    """An ``intrinsics.json`` that holds something else, such as another program's cameras."""


def read_cameras(path: Path) -> dict[str, list[list[float]]]:
    """Return the pinhole matrices (3, 3) of an ``intrinsics.json`` by stem, '' for all images.

    Raises:
        OtherCamerasError: If the file does not hold ``fx fy cx cy``.
        ValueError: If it is no JSON, or a value cannot be one of a camera.
    """
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise ValueError(f'{path} cannot be read as JSON: {error}') from error
    expected = (
        f'{path} should hold {{"fx", "fy", "cx", "cy"}} in pixels, for all images or one entry a '
        'stem'
    )
    if not isinstance(content, dict):
        raise OtherCamerasError(f'{expected}; it holds a {type(content).__name__}')
    entries = {'': content} if 'fx' in content else content
    numbers = {}
    for stem, entry in entries.items():
        lacking = [name for name in ('fx', 'fy', 'cx', 'cy') if name not in _as_dict(entry)]
        if lacking:
            where = f'the entry {stem!r}' if stem else 'it'
            raise OtherCamerasError(f'{expected}; {where} has no {", ".join(lacking)}')
        numbers[stem] = (entry['fx'], entry['fy'], entry['cx'], entry['cy'])
    matrices = {}
    for stem, (fx, fy, cx, cy) in numbers.items():
        source = f'{path}, entry {stem!r}' if stem else str(path)
        matrices[stem] = pinhole_matrix(fx, fy, cx, cy, source).tolist()
    return matrices


def _as_dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}
