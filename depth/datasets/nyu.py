"""NYU Depth v2."""

import re

from depth.registry import DATASETS

from .base import BaseDepthDataset
from .cameras import pinhole
from .published import TOOLBOX_SPLITS, Archive, SplitFile


@DATASETS.register_module()
class NYUDataset(BaseDepthDataset):
    """NYU Depth v2: indoor, 480x640, 16-bit PNG depth in millimetres where 0 means not measured.

    ::

        data/nyu/
        ├── nyu_train.txt      "/SCENE/rgb_N.jpg /SCENE/sync_depth_N.png FOCAL" a line (24231 lines as published)
        ├── nyu_test.txt       654 lines, without the leading slash
        └── SCENE/
            ├── rgb_00001.jpg
            └── sync_depth_00001.png

    A list of one's own, for instance of all synchronised frames of the raw set, goes into
    ``ann_file``. The labelled set in its original file is :class:`NYULabeledDataset`.

    Reference: Indoor Segmentation and Support Inference from RGBD Images, ECCV 2012.
    """

    METAINFO = dict(dataset_name='nyu', min_depth=1e-3, max_depth=10.0)
    TYPICAL_DEPTH = (1.9, 3.8)
    DEPTH_SCALE = 1000.0
    # What comes before the first "_" of a scene's folder, numbered as in the published training
    # list.
    SCENE_CLASSES = (
        'kitchen living playroom bedroom furniture bookstore dining office reception basement nyu '
        'home classroom student bathroom printer study dinette cafe conference indoor computer '
        'excercise foyer laundry'
    ).split()
    # Pixels of the full frame, from the toolbox of the data set.
    CAM_INTRINSIC = pinhole(518.8579, 519.4696, 325.5824, 253.7362)

    LICENCE = 'none stated, research use with citation'
    PAGE = 'https://cs.nyu.edu/~fergus/datasets/nyu_depth_v2.html'
    SPLIT_FILES = {
        'nyu_train.txt': SplitFile(
            24231,
            24231,
            '11dcd508d3c669b2fed27eff2919a076484eea8ab6b1f889f32da6fc0a395354',
            f'{TOOLBOX_SPLITS}/nyu_train.txt',
            part='train',
        ),
        'nyu_test.txt': SplitFile(
            654,
            654,
            'e92c191d5835a22589b843c11b80cd7235d5bd0d4136e42a6debcea4511bf906',
            f'{TOOLBOX_SPLITS}/nyu_test.txt',
            part='test',
        ),
    }
    SCENE_OF = r'[^/]+(?=/rgb_)'
    RENDERED_SCENE = r'_9\d{3}/'  # the real set has no such numbers
    PREPARE_NAME = 'nyu'
    ROOT = 'data/nyu'
    CONFIGS = ('nyu.py', 'nyu_raw.py')
    # The test images are made from the labelled file, see NYULabeledDataset.
    ARCHIVES = (Archive('sync.zip', part='train'),)
    PARTS = {
        'test': '654 images from the labelled file',
        'train': '24231 images from sync.zip',
        'raw': 'nyu_raw_train.txt, a list of all synchronised frames that are there',
    }
    DEFAULT_PARTS = ('test', 'train')
    GET_BY_HAND = (
        'the synchronised training frames are shared by the authors of BTS '
        '(https://github.com/cleinc/bts, "sync.zip" in its NYU section)'
    )

    def parse_line(self, fields: list[str], where: str) -> dict | None:
        """Return the sample of one line with its camera, category and, if known, its class."""
        sample = super().parse_line(fields, where)
        if sample is None:
            return None
        sample.update(cam_intrinsic=self.CAM_INTRINSIC, scene=scene_category(fields[0]))
        first_word = fields[0].lstrip('/').split('_')[0]
        if first_word in self.SCENE_CLASSES:
            sample['scene_class'] = self.SCENE_CLASSES.index(first_word)
        return sample


def scene_category(path: str) -> str:
    """Return the category of a scene's folder: ``/living_room_0019/...`` -> ``living_room``."""
    return re.sub(r'_?\d.*$', '', path.lstrip('/').split('/')[0])
