"""What the splits of a config list, without opening a sample."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from depth.datasets.base import BaseDepthDataset
from depth.datasets.scenes import rooms, streets
from depth.registry import DATASETS

from ..rendering import MARKER

# Rendered scenes of these data sets have numbers from 9000 on.
RENDERED_NAMES = dict.fromkeys(('kitti', 'kitti_benchmark', 'kitti_raw'), r'_drive_9\d{3}_|benchmark_test')
RENDERED_NAMES['nyu'] = r'_9\d{3}/'
# World of rendered scenes: the median depth and the camera height that it has.
WORLDS = {
    'rooms': (rooms.TYPICAL_DEPTH, None),
    'streets': (streets.TYPICAL_DEPTH, (0.85 * streets.CAMERA_HEIGHT, 1.18 * streets.CAMERA_HEIGHT)),
}
LOADERS = {'train': 'train_dataloader', 'val': 'val_dataloader', 'test': 'test_dataloader'}


@dataclass
class Split:
    """One list of samples.

    Attributes:
        name: ``train``, ``val``, ``test``; of a mixed data set with the set's number, ``train[1]``.
        dataset: Name of the data set, ``nyu``.
        samples: Plain descriptions as the data set gives them, with absolute or working paths.
        ann_file: The split file, '' if folders are the split.
        root: Folder of the data set.
        partition: The data set's own name of the split (``val`` of DIODE), '' if it has none.
        max_depth: Far end of the range in metres.
        typical: (low, high) in metres of the median over a whole set of this kind, None if it is not known.
        camera_height: (low, high) in metres of the camera above the road, likewise.
        rendered: Whether the samples are rendered stand-ins, whose numbers are nobody's.
        marker: What the marker of rendered data says, empty if there is none.
        problem: Why nothing could be listed, '' if it could.
    """

    name: str
    dataset: str = ''
    samples: list[dict] = field(default_factory=list)
    ann_file: str = ''
    root: str = ''
    partition: str = ''
    max_depth: float = 0.0
    typical: tuple[float, float] | None = None
    camera_height: tuple[float, float] | None = None
    rendered: bool = False
    marker: dict = field(default_factory=dict)
    problem: str = ''

    @property
    def role(self) -> str:
        """``train``, ``val`` or ``test``."""
        return self.name.partition('[')[0]


def list_splits(cfg: dict) -> list[Split]:
    """Return the splits of a config; a test split that is the validation split is listed once, as ``test``.

    Args:
        cfg: With ``train_dataloader``, ``val_dataloader``, ``test_dataloader``, each as far as there.
    """
    configs = {name: (cfg.get(loader) or {}).get('dataset') for name, loader in LOADERS.items()}
    if configs['val'] is not None and _key(configs['val']) == _key(configs['test']):
        del configs['val']
    return [split for name, config in configs.items() if config is not None for split in _splits(name, config)]


def _key(config: dict | None) -> str:
    return json.dumps({} if config is None else dict(config, pipeline=[]), sort_keys=True, default=str)


def _splits(name: str, config: dict) -> Iterator[Split]:
    """Yield the split of a data set, or those of the sets it is made of."""
    parts = config.get('datasets')
    if parts:
        for number, part in enumerate(parts):
            yield from _splits(f'{name}[{number}]', part)
    elif config.get('dataset'):
        yield from _splits(name, config['dataset'])
    else:
        yield _split(name, dict(config))


def _split(name: str, config: dict) -> Split:
    root = str(config.get('data_root', ''))
    try:
        dataset = DATASETS.build(dict(config, pipeline=[], lazy_init=True))
    except TypeError:
        return Split(name, root=root, problem=f'{config.get("type")} is no data set on disk, there is nothing to check')
    except Exception as error:
        return Split(name, root=root, problem=str(error))
    if not isinstance(dataset, BaseDepthDataset):
        return Split(name, root=root, problem=f'{config.get("type")} is no data set on disk, there is nothing to check')
    split = Split(
        name,
        dataset=dataset.metainfo['dataset_name'],
        ann_file=str(dataset.ann_file or ''),
        root=root,
        partition=str(config.get('split', '')),
        max_depth=dataset.max_depth,
        typical=dataset.TYPICAL_DEPTH,
        camera_height=dataset.CAMERA_HEIGHT,
        marker=_read_marker(root),
    )
    dataset._check_first = lambda sample: None  # a missing first file is a finding like any other
    try:
        split.samples = dataset.load_data_list()
    except (FileNotFoundError, ValueError, ImportError, OSError) as error:
        split.problem = str(error)
    nominal = dict(nominal_camera=dataset.NOMINAL_CAMERA) if dataset.NOMINAL_CAMERA else {}
    split.samples = [nominal | _detailed(dataset, sample) for sample in split.samples]
    if split.marker and _can_be_rendered(split):
        split.rendered = True
        split.typical, split.camera_height = WORLDS.get(split.marker.get('world'), (None, None))
    return split


def _read_marker(root: str) -> dict:
    """Return the marker of rendered data in the root or above it, empty if there is none."""
    for folder in (Path(root), *Path(root).parents[:1]) if root else ():
        if (folder / MARKER).is_file():
            try:
                content = json.loads((folder / MARKER).read_text(encoding='utf-8'))
            except ValueError:
                content = {}
            return dict(content, path=str(folder / MARKER)) if isinstance(content, dict) else {}
    return {}


def _can_be_rendered(split: Split) -> bool:
    """Return whether the names are not those of the real data set, whatever the marker says."""
    pattern = RENDERED_NAMES.get(split.dataset)
    return pattern is None or all(re.search(pattern, sample['img_path']) for sample in split.samples)


def _detailed(dataset: BaseDepthDataset, sample: dict) -> dict:
    """Add what the data set reads only when a sample is used, such as its camera file."""
    try:
        return dataset.add_details(sample)
    except (FileNotFoundError, ValueError, OSError) as error:
        return dict(sample, details_error=str(error))
