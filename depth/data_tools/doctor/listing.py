"""Splits of a config: their samples, the facts of their data sets, and findings about both."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from depth.datasets.base import BaseDepthDataset
from depth.datasets.scenes import WORLDS
from depth.integrity import sha256_of
from depth.registry import DATASETS

from ..rendering import MARKER
from .report import Finding

CAMERA_HEIGHTS = (0.85, 1.18)  # least and greatest plausible, as shares of a world's
FAR_RANGE = 60.0  # metres; sets with a longer range show roads
LOADERS = {'train': 'train_dataloader', 'val': 'val_dataloader', 'test': 'test_dataloader'}


@dataclass
class Split:
    """One list of samples.

    Attributes:
        name: ``train``, ``val``, ``test``; of a mixed data set with the set's number, ``train[1]``.
        role: ``train``, ``val`` or ``test``.
        source: The data set, whose class states the facts; None if it could not be built.
        samples: Plain descriptions as the data set gives them, with absolute or working paths.
        ann_file: The split file, '' if folders are the split.
        root: Folder of the data set.
        max_depth: Far end of the range in metres.
        typical: (low, high) in metres of the median over a whole set of this kind, None if it is
            not known.
        camera_height: (low, high) in metres of the camera above the road, likewise.
        rendered: Whether the samples are rendered stand-ins, which no published numbers are about.
        marker: Content of the marker of rendered data, empty if there is none.
        problem: Reason why nothing could be listed, '' if it could.
        is_in_memory: Whether the samples are no files, so that there is nothing to check.
    """

    name: str
    role: str
    source: BaseDepthDataset | None = None
    samples: list[dict] = field(default_factory=list)
    ann_file: str = ''
    root: str = ''
    max_depth: float = 0.0
    typical: tuple[float, float] | None = None
    camera_height: tuple[float, float] | None = None
    rendered: bool = False
    marker: dict = field(default_factory=dict)
    problem: str = ''
    is_in_memory: bool = False

    @property
    def dataset(self) -> str:
        """Name of the data set, ``nyu``."""
        return '' if self.source is None else self.source.metainfo['dataset_name']

    @property
    def label_type(self) -> str:
        """Meaning of the labels, see ``BaseDepthDataset``."""
        return 'metric' if self.source is None else self.source.label_type

    @property
    def class_name(self) -> str:
        """Name of the data set's class."""
        return type(self.source).__name__

    @property
    def recordings(self) -> str:
        """Name that data sets of the same drives or scenes share."""
        return '' if self.source is None else self.source.RECORDINGS or self.dataset

    def missing_facts(self) -> dict[str, str]:
        """Return the attributes that the class lacks, each with the check that needs it."""
        if self.source is None or self.rendered or not self.samples:
            return {}
        missing = {}
        if self.source.published_count() is None:
            split_name = self.source.split_name()
            missing['SPLIT_COUNTS'] = 'number of images'
            if split_name:
                missing['SPLIT_COUNTS'] += f' of {split_name}'
        if self.source.SCENE_OF is None:
            missing['SCENE_OF'] = 'drives or scenes in two splits'
        if self.label_type != 'metric':
            # What follows is about metres.
            return missing
        if self.typical is None:
            missing['TYPICAL_DEPTH'] = 'median depth, beyond what max_depth allows'
        if self.camera_height is None and self.max_depth >= FAR_RANGE:
            missing['CAMERA_HEIGHT'] = 'height above the road, beyond that of any car'
        has_cameras = any('cam_intrinsic' in sample for sample in self.samples)
        if self.source.NOMINAL_CAMERA is None and not has_cameras:
            missing['NOMINAL_CAMERA'] = 'height above road or floor'
        return missing


def list_splits(cfg: dict) -> list[Split]:
    """Return the splits of a config; one for validation and test is listed once, as ``test``.

    Args:
        cfg: With ``train_dataloader``, ``val_dataloader``, ``test_dataloader``, each as far as
            there.
    """
    configs = {}
    for name, loader in LOADERS.items():
        configs[name] = (cfg.get(loader) or {}).get('dataset')
    if configs['val'] is not None and _key(configs['val']) == _key(configs['test']):
        del configs['val']
    splits: list[Split] = []
    for name, config in configs.items():
        if config is not None:
            splits += _splits(name, name, config)
    return splits


def _key(config: dict | None) -> str:
    """Return a text that is equal for configs of the same samples, whatever their pipelines do."""
    samples_only = {} if config is None else dict(config, pipeline=[])
    return json.dumps(samples_only, sort_keys=True, default=str)


def _splits(name: str, role: str, config: dict) -> Iterator[Split]:
    """Yield the split of a data set, or those of the sets it is made of."""
    members = config.get('datasets')
    if members:
        for number, member in enumerate(members):
            yield from _splits(f'{name}[{number}]', role, member)
    elif config.get('dataset'):
        yield from _splits(name, role, config['dataset'])
    else:
        yield _split(name, role, dict(config))


def _split(name: str, role: str, config: dict) -> Split:
    root = str(config.get('data_root', ''))
    kind = config.get('type')
    dataset_class = kind
    if not isinstance(kind, type):
        dataset_class = DATASETS.get(str(kind))
    is_class = isinstance(dataset_class, type)
    if is_class and not issubclass(dataset_class, BaseDepthDataset):
        problem = f'{kind} is no data set on disk, there is nothing to check'
        return Split(name, role, root=root, problem=problem, is_in_memory=True)
    try:
        # Lazy: a data set that lists itself at once would raise at the first missing file.
        dataset = DATASETS.build(dict(config, pipeline=[], lazy_init=True))
    except Exception as error:
        return Split(name, role, root=root, problem=str(error))
    split = Split(
        name,
        role,
        source=dataset,
        ann_file=str(dataset.ann_file or ''),
        root=root,
        max_depth=dataset.max_depth,
        typical=dataset.TYPICAL_DEPTH,
        camera_height=dataset.CAMERA_HEIGHT,
        marker=_read_marker(root),
    )
    try:
        # Without the check of the first sample: a missing file is a finding like any other.
        split.samples = dataset.list_samples()
    except (FileNotFoundError, ValueError, ImportError, OSError) as error:
        split.problem = str(error)
    nominal = {}
    if dataset.NOMINAL_CAMERA:
        nominal['nominal_camera'] = dataset.NOMINAL_CAMERA
    split.samples = [nominal | _detailed(dataset, sample) for sample in split.samples]
    if split.marker and _can_be_rendered(split):
        split.rendered = True
        split.typical = split.camera_height = None
        world = WORLDS.get(split.marker.get('world'))
        if world is not None:
            split.typical = world.typical_depth
            if world.camera_height is not None:
                low, high = CAMERA_HEIGHTS
                split.camera_height = low * world.camera_height, high * world.camera_height
    return split


def _read_marker(root: str) -> dict:
    """Return the marker of rendered data in the root or above it, empty if there is none."""
    if not root:
        return {}
    # Above it, because a layout of folders has one marker for `train/` and `val/`.
    for folder in (Path(root), Path(root).parent):
        path = folder / MARKER
        if not path.is_file():
            continue
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except ValueError:
            content = {}
        if not isinstance(content, dict):
            return {}
        return dict(content, path=str(path))
    return {}


def _can_be_rendered(split: Split) -> bool:
    """Return whether the names are not those of the real data set, whatever the marker says."""
    pattern = split.source.RENDERED_SCENE
    if pattern is None:
        return True
    return all(re.search(pattern, sample['img_path']) for sample in split.samples)


def _detailed(dataset: BaseDepthDataset, sample: dict) -> dict:
    """Add what the data set reads only when a sample is used, such as its camera file."""
    try:
        return dataset.add_details(sample)
    except (FileNotFoundError, ValueError, OSError) as error:
        return dict(sample, details_error=str(error))


def nothing_listed(split: Split) -> Iterator[Finding]:
    """Report why a split lists nothing."""
    if not split.problem:
        return
    if split.is_in_memory:
        yield Finding('note', 'listing', split.name, split.problem, 'nothing to do')
    else:
        advice = 'put it right first, the other checks of this split need it'
        yield Finding('error', 'listing', split.name, split.problem, advice)


def labels_without_metres(split: Split) -> Iterator[Finding]:
    """Say that labels are not metres, and which checks that leaves out."""
    if split.label_type == 'metric' or not split.samples:
        return
    meaning = 'have no unit'
    if split.label_type == 'inverse_depth':
        meaning = 'are 1/m'
    yield Finding(
        'note',
        'labels',
        split.name,
        f'label_type is {split.label_type!r}: the labels {meaning}, the values above are as stored',
        'scale, depth range, typical depth and height of the camera do not apply and are not '
        'checked',
        len(split.samples),
    )


def split_count(split: Split) -> Iterator[Finding]:
    """Compare the number of samples, and the split file, with the published ones."""
    if split.rendered or not split.samples:
        return
    published = split.source.SPLIT_FILES.get(split.source.split_name())
    expected = split.source.published_count()
    if expected is None:
        return
    if expected != len(split.samples):
        path = split.ann_file or split.root
        counts = f'{len(split.samples)} images with ground truth in {path}'
        yield Finding(
            # Anybody may train on a part of a list. A test on a part is compared with nobody.
            'warning' if split.role == 'train' else 'error',
            'count',
            split.name,
            f'{counts}, the published split has {expected}',
            'numbers are comparable with published ones on the whole split only; fetch the list '
            'again with prepare.py, or give your own list another name',
            abs(expected - len(split.samples)),
        )
    elif published and sha256_of(split.ann_file) != published.sha256:
        yield Finding(
            'note',
            'count',
            split.name,
            f'{split.ann_file} has the published number of lines but is not the published file '
            'byte for byte',
            'harmless if only the line ends or the order differ; prepare.py fetches the published '
            'file',
        )
