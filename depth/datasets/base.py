"""Base class of depth data sets on disk."""

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mmcv.transforms
import numpy as np
from mmengine.dataset import BaseDataset

from depth.registry import DATASETS, TRANSFORMS
from depth.structures import check_label_type

from .packs import below, packed_samples
from .published import Archive, SplitFile
from .samplers import SampleIndex
from .text_files import read_text

# mmcv's transforms that move the image: they know neither depth nor cameras. They are in mmengine's
# registry, from which a config could take them by mistake.
MMCV_GEOMETRY = (
    mmcv.transforms.CenterCrop,
    mmcv.transforms.MultiScaleFlipAug,
    mmcv.transforms.Pad,
    mmcv.transforms.RandomChoiceResize,
    mmcv.transforms.RandomFlip,
    mmcv.transforms.RandomResize,
    mmcv.transforms.Resize,
    mmcv.transforms.TestTimeAug,
)


def build_pipeline(pipeline: Sequence[dict | Callable]) -> list[Callable]:
    """Build transforms from this toolbox's registry, whatever mmengine's current scope is.

    Raises:
        ValueError: If a step is one of mmcv's that move the image, which know neither depth nor
            cameras.
    """
    steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
    for step in steps:
        if isinstance(step, MMCV_GEOMETRY):
            raise ValueError(
                f"{type(step).__name__} is mmcv's: it would move the image and leave depth and "
                'camera behind; use Resize, RandomFlip, RandomRotate, RandomCrop, KBCrop or '
                'NYUCrop of this toolbox, or write one (docs/customize.md)'
            )
    return steps


def sample_generator(index: int) -> np.random.RandomState:
    """Return the generator of a sample's augmentation, fresh if the sampler gave no key."""
    if isinstance(index, SampleIndex):
        return index.generator()
    return np.random.RandomState()


@DATASETS.register_module()
class BaseDepthDataset(BaseDataset):
    """Base of data sets on disk.

    A line of the split file names an image and, where there is ground truth, its depth map; further
    columns are ignored. Paths are relative to ``data_prefix`` below ``data_root``. A data set
    without split files overrides :meth:`find_samples`; one whose depth is no plain PNG, npy or tiff
    sets ``DEPTH_READER``, the name of a function in the ``READERS`` registry.

    Args:
        data_root: Folder of the data set.
        ann_file: Split file, relative to ``data_root`` or absolute.
        data_prefix: ``img_path`` and ``depth_path``: folders below ``data_root``.
        min_depth: Near end of the depth range in metres, the class's ``METAINFO`` by default.
        max_depth: Far end of the depth range in metres, likewise.
        depth_scale: Stored integers per metre, the class's ``DEPTH_SCALE`` by default.
        label_type: Meaning of the labels: ``'metric'`` (metres), ``'inverse_depth'`` (1/m), or
            known up to a factor or a factor and an offset of each image: ``'scale_invariant'``,
            ``'affine_invariant'`` depth, ``'disparity'``, ``'affine_invariant_disparity'``.
            Relative labels train the model's ``RelativeLabelLoss``.
        pack: Folder that ``tools/dataset_converters/pack.py`` wrote from this data set, read
            instead of its files, which are not needed then; the samples are those of ``ann_file``,
            or it is an error.
        **kwargs: Arguments of mmengine's ``BaseDataset`` (``pipeline``, ``test_mode``, ``indices``,
            ...).

    Raises:
        FileNotFoundError: If the root, the split file or the first sample is missing.
        ValueError: If a line is malformed, no sample is left, or ``depth_scale`` is not positive.
    """

    METAINFO = dict(dataset_name='depth', min_depth=1e-3, max_depth=10.0)
    DEPTH_SCALE = 1000.0
    DEPTH_READER: str | None = None
    # Attributes that choose the samples, in addition to ann_file and data_prefix.
    SELECTION: tuple[str, ...] = ()
    PREPARE_HINT = 'docs/dataset_prepare.md draws the expected layout'

    # Facts about the published release. They stand here alone: the data doctor, the preparers and
    # the table of docs/dataset_prepare.md read them. Without one of the next five the doctor names
    # the check that it leaves out.
    SPLIT_COUNTS: dict[str, int] = {}  # `split` or name of the split file: images with ground truth
    SCENE_OF: str | None = None  # regular expression: the drive or scene in an image's path
    TYPICAL_DEPTH: tuple[float, float] | None = None  # median over a whole set, metres
    CAMERA_HEIGHT: tuple[float, float] | None = None  # of a car's camera above the road, metres
    # fy / width, cy / height of nearly all images
    NOMINAL_CAMERA: tuple[float, float] | None = None
    SPLIT_FILES: dict[str, SplitFile] = {}  # published lists by file name
    RECORDINGS = ''  # data sets of one name here share their scenes; the data set's own by default
    SPLITS_SHARING_SCENES: tuple[str, ...] = ()  # roles whose published list has training scenes
    TEST_SET = ''  # name of the test set that the following scenes belong to
    TEST_SCENES: frozenset[str] = frozenset()  # scenes that no training list may have
    TEST_SET_IS_OWN = True  # False: the test set of another split of the same recordings
    RENDERED_SCENE: str | None = None  # regular expression: image path of a rendered stand-in
    LICENCE = ''
    PAGE = ''

    # Facts for tools/dataset_converters/prepare.py.
    PREPARE_NAME = ''  # NAME on its command line; '' if it cannot prepare this data set
    ROOT = ''  # folder that the configs read
    CONFIGS: tuple[str, ...] = ()  # base configs in configs/_base_/datasets that read it
    ARCHIVES: tuple[Archive, ...] = ()
    ARCHIVE_MEMBERS = ''  # regular expression of needed members; group 1: path below the root
    PARTS: dict[str, str] = {}  # name: description of a part that can be prepared alone
    DEFAULT_PARTS: tuple[str, ...] = ()
    GET_BY_HAND = ''  # instructions for archives without an address
    CONTENTS: dict[str, str] = {}  # glob below the root: name of the files that it counts

    def __init__(
        self,
        data_root: str = '',
        ann_file: str = '',
        data_prefix: dict | None = None,
        min_depth: float | None = None,
        max_depth: float | None = None,
        depth_scale: float | None = None,
        label_type: str = 'metric',
        pack: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_label_type(type(self).__name__, label_type)
        self.label_type = label_type
        self.depth_scale = float(self.DEPTH_SCALE if depth_scale is None else depth_scale)
        if not (math.isfinite(self.depth_scale) and self.depth_scale > 0):
            raise ValueError(
                f'{type(self).__name__}: depth_scale is the number of stored integers per metre '
                f'(1000 for millimetres, 256 for KITTI), which is positive; got {depth_scale!r}'
            )
        self.min_depth = float(self.METAINFO['min_depth'] if min_depth is None else min_depth)
        self.max_depth = float(self.METAINFO['max_depth'] if max_depth is None else max_depth)
        self.pack = pack
        metainfo = dict(
            kwargs.pop('metainfo', None) or {}, min_depth=self.min_depth, max_depth=self.max_depth
        )
        prefix = dict(img_path='', depth_path='') | dict(data_prefix or {})
        # mmengine would build the steps from the registry of its current scope.
        kwargs['pipeline'] = build_pipeline(kwargs.get('pipeline', ()))
        super().__init__(
            ann_file=ann_file, data_root=data_root, data_prefix=prefix, metainfo=metainfo, **kwargs
        )

    def load_data_list(self) -> list[dict]:
        """Return :meth:`list_samples`, checked at the start and not in a worker of the loader."""
        samples = self.list_samples()
        if not self.pack:
            self._check_first(samples[0])
        return samples

    def list_samples(self) -> list[dict]:
        """Return one dict per image with ground truth, in the order of :meth:`find_samples`.

        Raises:
            ValueError: If no image has ground truth.
        """
        if self.pack:
            return [self.complete(sample, where) for sample, where in packed_samples(self)]
        self._check_root()
        samples = [self.complete(sample, where) for sample, where in self.find_samples()]
        if not samples:
            raise ValueError(
                f'{type(self).__name__}: {self.ann_file or self.data_root} lists no image with '
                'ground truth'
            )
        return samples

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield each sample and where it stands: a line of the split file, in subclasses a folder.

        Raises:
            FileNotFoundError: If the split file does not exist.
        """
        split = Path(self.ann_file)
        if not split.is_file():
            raise FileNotFoundError(
                f'{type(self).__name__}: split file {split} does not exist; {self.PREPARE_HINT}'
            )
        for number, line in enumerate(read_text(split, 'split file').splitlines(), start=1):
            if not line.strip():
                continue
            where = f'{split}, line {number}'
            sample = self.parse_line(line.split(), where)
            if sample is not None:
                yield sample, where

    def parse_line(self, fields: Sequence[str], where: str) -> dict | None:
        """Return the sample of one line, None if it has no ground truth.

        Raises:
            ValueError: If the line does not name an image and a depth map.
        """
        if len(fields) < 2:
            raise ValueError(
                f'{type(self).__name__}: {where} should read "IMAGE DEPTH [...]", it has '
                f'{len(fields)} field: {" ".join(fields)!r}'
            )
        # The Eigen lists keep frames that the benchmark has no ground truth of.
        if fields[1] == 'None':
            return None
        # Published lines may begin with a slash, which would make the path absolute.
        image = Path(self.data_prefix['img_path'], fields[0].lstrip('/'))
        depth = Path(self.data_prefix['depth_path'], fields[1].lstrip('/'))
        return dict(img_path=str(image), depth_path=str(depth))

    def complete(self, sample: dict, where: str) -> dict:
        """Return a sample with the keys of all samples; ``where`` names the line that lists it."""
        defaults = dict(
            depth_scale=self.depth_scale,
            dataset=self.metainfo['dataset_name'],
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            listed_in=where,
        )
        if self.label_type != 'metric':
            defaults['label_type'] = self.label_type
        if self.DEPTH_READER:
            defaults['depth_reader'] = self.DEPTH_READER
        return defaults | sample

    def selection(self) -> dict:
        """Return the settings besides the split file that choose the samples, in plain values."""
        prefix = {}
        for key, folder in self.data_prefix.items():
            if folder:
                prefix[key] = below(folder, self.data_root)
        settings = dict(data_prefix=prefix)
        for key in self.SELECTION:
            settings[key] = getattr(self, key)
        # Through JSON and back, because the index of a pack, which has been there, is compared with
        # it: tuples become lists.
        return json.loads(json.dumps(settings))

    def split_name(self) -> str:
        """Return the name of the split in ``SPLIT_FILES`` or ``SPLIT_COUNTS``."""
        file_name = Path(self.ann_file or '').name
        if file_name in self.SPLIT_FILES or file_name in self.SPLIT_COUNTS:
            return file_name
        return str(getattr(self, 'split', '') or '') or file_name

    def published_count(self) -> int | None:
        """Return the published number of images with ground truth, None if the class has none."""
        name = self.split_name()
        if name in self.SPLIT_FILES:
            return self.SPLIT_FILES[name].usable
        return self.SPLIT_COUNTS.get(name)

    def add_details(self, sample: dict) -> dict:
        """Return the sample with what is read when it is used, such as a camera file of its own."""
        return sample

    def prepare_data(self, idx: int) -> dict:
        """Return sample ``idx`` after the pipeline.

        Its random numbers follow from the sampler's position.
        """
        sample = self.get_data_info(int(idx))
        # A pack holds the details.
        if not self.pack:
            sample = self.add_details(sample)
        sample['rng'] = sample_generator(idx)
        return self.pipeline(sample)

    def __getitem__(self, idx: int) -> dict:
        """Return the packed sample; unlike in mmengine a failure never gives another sample."""
        if not self._fully_initialized:
            self.full_init()
        return self.prepare_data(idx)

    def _check_root(self) -> None:
        if self.data_root and not Path(self.data_root).is_dir():
            raise FileNotFoundError(
                f'{type(self).__name__}: data_root {self.data_root} does not exist; '
                f'{self.PREPARE_HINT}, or set data_root in the config'
            )

    def _check_first(self, sample: dict) -> None:
        """Fail at the start, not in a worker, if the layout is not the expected one."""
        for key in ('img_path', 'depth_path'):
            path = sample.get(key)
            if path and not Path(path).is_file():
                raise FileNotFoundError(
                    f'{type(self).__name__}: {path} ({sample["listed_in"]}) does not exist; '
                    f'{self.PREPARE_HINT}'
                )

    def get_data_info(self, idx: int) -> dict:
        """Return a copy of the plain description of sample ``idx``."""
        return copy.deepcopy(super().get_data_info(idx))
