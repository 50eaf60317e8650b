"""Any folder of rectified stereo pairs."""

import json
from collections.abc import Iterator
from pathlib import Path

from depth.registry import DATASETS

from .cameras import pinhole
from .folder import DEPTH_SUFFIXES, IMAGE_SUFFIXES, FolderDepthDataset

_OPTIONAL = {'depth_path': DEPTH_SUFFIXES, 'disparity_path': ('.npy', '.npz', '.tif', '.tiff')}


@DATASETS.register_module()
class StereoFolderDataset(FolderDepthDataset):
    """Rectified pairs of equal stems: column in the left image = column in the right + disparity.

    ::

        data_root/
        ├── left/ right/       images of equal stems
        ├── intrinsics.json    one entry a stem, or one for all: fx, fy, cx, cy in pixels (or below "intrinsics"),
        │                      baseline_m in metres, and doffs_px (column of the right principal point minus that of
        │                      the left) if it is not 0
        ├── disp/              optional ground truth of the left view: npy, npz or tiff, pixels
        ├── depth/             or depth: 16-bit PNG (``depth_scale``), npy, npz or tiff
        └── depth_hints/image_02|03/   optional, see ``hint_root``

    A sample has ``img_path``, ``other_img_path``, ``side``, ``baseline``, both intrinsics, and the
    paths of what else there is.

    Args:
        data_root: The folder.
        sides: Which views are targets: ``('left',)``, or both.
        hint_root: Folder of depth hints below ``data_root`` or absolute; None for none.
        **kwargs: See :class:`~depth.datasets.BaseDepthDataset`.

    Raises:
        FileNotFoundError: If a folder or ``intrinsics.json`` is missing.
        ValueError: If a left image has no right one, or no camera.
    """

    METAINFO = dict(dataset_name='stereo_folder', min_depth=1e-3, max_depth=80.0)
    SELECTION = ('sides', 'hint_root')
    DEPTH_SCALE = 256.0
    PREPARE_HINT = 'it should hold left/, right/ with equal stems and intrinsics.json'

    def __init__(
        self,
        data_root: str,
        sides: tuple[str, ...] = ('left',),
        hint_root: str | None = None,
        **kwargs,
    ) -> None:
        prefix = dict(
            img_path='left', other_img_path='right', depth_path='depth', disparity_path='disp'
        )
        self.sides = tuple(sides)
        self.hint_root = hint_root
        prefix |= dict(kwargs.pop('data_prefix', None) or {})
        super().__init__(data_root=data_root, data_prefix=prefix, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the pairs, each once a side, sorted by path."""
        left = self._list('img_path', IMAGE_SUFFIXES)
        right = self._list('other_img_path', IMAGE_SUFFIXES)
        if not left:
            raise ValueError(
                f'{self.data_prefix["img_path"]} holds no image ({", ".join(IMAGE_SUFFIXES)})'
            )
        optional = {}
        for key, suffixes in _OPTIONAL.items():
            if Path(self.data_prefix[key]).is_dir():
                optional[key] = self._list(key, suffixes)
        rigs = self._rigs()
        for stem in left:
            rig = rigs.get(stem, rigs.get(''))
            if stem not in right or rig is None:
                lacks = 'no right image' if stem not in right else 'no entry in intrinsics.json'
                raise ValueError(f'{left[stem]} has {lacks}; {self.PREPARE_HINT}')
            truth = {key: str(paths[stem]) for key, paths in optional.items() if stem in paths}
            views = dict(left=str(left[stem]), right=str(right[stem]))
            for side in self.sides:
                yield self._side(views, rig, truth, stem, side), self.data_root

    def _side(self, views: dict, rig: dict, truth: dict, stem: str, side: str) -> dict:
        # Folders of hints have the names of KITTI's cameras, as the published tool writes them.
        other, hint_folder = ('right', 'image_02') if side == 'left' else ('left', 'image_03')
        sample = dict(
            img_path=views[side],
            other_img_path=views[other],
            side=side,
            baseline=rig['baseline'],
            cam_intrinsic=rig[side],
            other_cam_intrinsic=rig[other],
        )
        # Ground truth is that of the left view.
        if side == 'left':
            sample.update(truth)
        if self.hint_root is not None:
            sample['depth_hint_path'] = str(
                Path(self.data_root, self.hint_root, hint_folder, f'{stem}.npy')
            )
        return sample

    def _rigs(self) -> dict[str, dict]:
        """Return both cameras and the baseline by stem; the key '' stands for all."""
        path = Path(self.data_root, 'intrinsics.json')
        if not path.is_file():
            raise FileNotFoundError(
                f'{path} does not exist; a stereo folder needs the cameras and their baseline'
            )
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
            entries = {'': content} if 'baseline_m' in content else content
            return {stem: _rig(entry) for stem, entry in entries.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f'{path} should hold fx, fy, cx, cy (pixels) and baseline_m (metres), for all '
                f'images or one entry a stem; it does not: {type(error).__name__}: {error}'
            ) from error


def _rig(entry: dict) -> dict:
    camera = entry.get('intrinsics', entry)
    left = pinhole(camera['fx'], camera['fy'], camera['cx'], camera['cy'])
    # Middlebury's calibrations have principal points that differ between the views.
    right = pinhole(camera['fx'], camera['fy'], camera['cx'], camera['cy'])
    right[0][2] += float(entry.get('doffs_px', 0))
    return dict(left=left, right=right, baseline=float(entry['baseline_m']))
