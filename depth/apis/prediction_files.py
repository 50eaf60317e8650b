"""Files of predictions of any model, matched with images by their names."""

import math
from collections.abc import Iterator
from pathlib import Path, PurePath

import numpy as np

from depth.array_files import NUMPY_ERRORS
from depth.evaluation.map_files import read_map, read_side_car, read_side_car_type, unreadable

SUFFIXES = ('.png', '.npy', '.npz')


class PredictionFiles:
    """Predictions in a folder or in one file.

    A folder is searched with its sub-folders for 16-bit PNG, npy and npz (first array), one map
    each. A file is an npz with one map a key, or an npy or npz with one array (N, H, W) in the data
    set's order.

    The name of a map is its path below the folder, or its key, without suffix. It belongs to an
    image if the name equals one of these, taken from the path of the image or of its ground truth;
    the longest name counts:

    - the end of the path: ``scene/0001`` or ``0001`` for ``.../scene/0001.jpg``;
    - one of the folders and the last part, without the folders between them:
      ``2011_09_26_drive_0002_sync/0000000069`` for
      ``2011_09_26_drive_0002_sync/image_02/data/0000000069.png``.

    The parts may be joined by ``_`` instead of ``/``, as ``tools/test.py --out`` does.

    Floating point files hold the unit itself. Integers (every PNG, and npy or npz of an integer
    type) are divided by a scale: the argument, or the ``depth_scale`` in the side-car ``NAME.json``
    of a single map, as the toolbox writes it. Values of other types (complex numbers, texts,
    objects) are an error.

    Args:
        path: Folder or file.
        depth_scale: Stored values per unit; overrides side-cars.

    Raises:
        FileNotFoundError: If there is no such path or no prediction in it.
        ValueError: If a file has another type or is damaged.
    """

    def __init__(self, path: str | Path, depth_scale: float | None = None) -> None:
        self.path = Path(path)
        self.depth_scale = depth_scale
        self.ordered: np.ndarray | None = None
        self.paths: dict[str, Path | str] = {}
        if depth_scale is not None and not 0 < depth_scale < math.inf:
            raise ValueError(f'depth_scale must be above 0 and finite, got {depth_scale}')
        if self.path.is_dir():
            self._list_folder()
        elif self.path.is_file():
            self._open_file()
        else:
            raise FileNotFoundError(f'predictions {path} do not exist')

    def _list_folder(self) -> None:
        """List the maps of a folder by their names."""
        files = sorted(file for file in self.path.rglob('*') if file.suffix.lower() in SUFFIXES)
        if not files:
            raise FileNotFoundError(f'{self.path} holds no prediction ({", ".join(SUFFIXES)})')
        for file in files:
            name = file.relative_to(self.path).with_suffix('').as_posix()
            if name in self.paths:
                raise ValueError(
                    f'{self.paths[name]} and {file} have the same name, so it is not clear which '
                    'one counts'
                )
            self.paths[name] = file

    def _open_file(self) -> None:
        """Open a file of many maps: by key, or in the order of the data set."""
        if self.path.suffix not in ('.npy', '.npz'):
            raise ValueError(
                f'{self.path}: one file of predictions is npy or npz; give a folder for single maps'
            )
        try:
            loaded = np.load(self.path, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                self.ordered = loaded
            # An npz of one stack of maps, as `np.savez` without names writes it.
            elif len(loaded.files) == 1 and loaded[loaded.files[0]].ndim > 2:
                self.ordered = loaded[loaded.files[0]]
            else:
                self.archive = loaded
                self.paths = {PurePath(key).as_posix(): key for key in loaded.files}
        except NUMPY_ERRORS as error:
            raise ValueError(unreadable(f'{self.path}', error)) from error
        if self.ordered is None and not self.paths:
            raise ValueError(
                f'{self.path} holds no array; save one map a key, or one array (N, H, W)'
            )
        if self.ordered is not None:
            # (N, 1, H, W) and (N, H, W, 1) are accepted too.
            if self.ordered.ndim == 4 and 1 in (self.ordered.shape[1], self.ordered.shape[3]):
                channel_axis = 1 if self.ordered.shape[1] == 1 else 3
                self.ordered = self.ordered.squeeze(channel_axis)
            if self.ordered.ndim != 3:
                raise ValueError(
                    f'{self.path} has shape {self.ordered.shape}, expected (N, H, W), one map an '
                    'image'
                )
            self.paths = {str(index): str(index) for index in range(len(self.ordered))}

    def match(self, images: list[tuple[str | None, ...]]) -> list[str | None]:
        """Return the name of each image's prediction, None where there is none.

        Args:
            images: For each image of the data set the paths by which it is known: image, ground
                truth.

        Raises:
            ValueError: If one prediction would belong to several images, or an array has another
                number of maps.
        """
        if self.ordered is not None:
            if len(self.ordered) != len(images):
                raise ValueError(
                    f'{self.path} holds {len(self.ordered)} maps, the data set {len(images)} images'
                )
            return list(self.paths)
        owners: dict[str, str] = {}
        names = []
        for paths in images:
            name = self._find_name(paths)
            if name is not None and owners.get(name) == paths[0]:
                raise ValueError(
                    f'the data set lists {paths[0]} twice, which would count twice; list it once'
                )
            if name is not None and name in owners:
                raise ValueError(
                    f'{self.path}: prediction {name!r} would belong to both {owners[name]} and '
                    f"{paths[0]}; keep the images' folders in the predictions' names "
                    '(scene/0001.png or scene_0001.png)'
                )
            owners[name] = paths[0]
            names.append(name)
        return names

    def _find_name(self, paths: tuple[str | None, ...]) -> str | None:
        """Return the prediction of an image that has several paths; the first match counts."""
        for path in filter(None, paths):
            for candidate in _candidate_names(path):
                if candidate in self.paths:
                    return candidate
        return None

    def read(self, name: str) -> np.ndarray:
        """Return one map (h, w) float32, divided by the scale.

        Raises:
            ValueError: If it cannot be read, is no single map of numbers, or holds integers without
                a scale.
        """
        path = None
        if self.ordered is not None:
            stored, where = self.ordered[int(name)], f'{self.path}[{name}]'
        elif isinstance(self.paths[name], str):
            where = f'{self.path}[{name!r}]'
            try:
                stored = self.archive[self.paths[name]]
            except NUMPY_ERRORS as error:
                raise ValueError(unreadable(f'prediction {where}', error)) from error
        else:
            path = self.paths[name]
            stored, where = read_map(path), str(path)
        stored = np.squeeze(stored)
        if stored.ndim != 2 or not stored.size:
            raise ValueError(
                f'prediction {where} has shape {stored.shape}, expected one map (H, W)'
            )
        scale = self._scale(stored.dtype, where, path)
        return stored.astype(np.float32) / np.float32(scale)

    def stated_type(self) -> str | None:
        """Return the prediction type that the first map's side-car states, None without one."""
        for path in self.paths.values():
            if isinstance(path, Path) and path.with_suffix('.json').is_file():
                return read_side_car_type(path.with_suffix('.json'))
            break
        return None

    def _scale(self, dtype: np.dtype, where: str, path: Path | None) -> float:
        """Return the divisor of stored values of a type; ``path`` is the file of a single map."""
        if dtype.kind not in 'fui':
            raise ValueError(
                f'prediction {where} holds values of type {dtype}, which are no depth; save '
                'float32 in metres, or integers with --depth-scale'
            )
        if dtype.kind != 'f' and dtype.itemsize == 1:
            raise ValueError(
                f'prediction {where} holds 8-bit integers, which cannot hold depth; save float32 '
                'in metres'
            )
        if self.depth_scale is not None:
            return self.depth_scale
        if dtype.kind == 'f':
            return 1.0
        # Integers without a scale are refused: a guess would be wrong by a factor of 4 or 256.
        missing = '--depth-scale does not say'
        if path is not None:
            side_car = path.with_suffix('.json')
            if side_car.is_file():
                return read_side_car(side_car)
            missing = f'neither {side_car.name} beside it nor --depth-scale says'
        raise ValueError(
            f'prediction {where} holds integers, and {missing} how many make a metre (1000 for '
            'millimetres, 256 for KITTI)'
        )


def _candidate_names(path: str) -> Iterator[str]:
    """Yield the names that a prediction of an image may have, longest first."""
    folders = []
    for folder in PurePath(path).parent.parts:
        if folder not in ('/', '.', '..'):
            folders.append(folder)
    stem = [PurePath(path).stem]  # a list, as the folders are
    # The end of the path, from long to short; then single folders, from the image outwards.
    parents = [folders[start:] for start in range(len(folders))]
    parents += [[folder] for folder in reversed(folders)]
    parents.append([])
    for parent in parents:
        for separator in ('/', '_'):
            yield separator.join(parent + stem)
