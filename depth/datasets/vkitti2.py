"""Virtual KITTI 2."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .cameras import pinhole
from .published import Archive
from .transforms.loading import read_uint16

SCENES = ('Scene01', 'Scene02', 'Scene06', 'Scene18', 'Scene20')
SERVER = 'https://download.europe.naverlabs.com//virtual_kitti_2.0.3'
SKY = 65535  # 655.35 m, the farthest value


@READERS.register_module(name='vkitti2')
def read_vkitti2_depth(sample: dict) -> np.ndarray:
    """Return depth, float32 metres (H, W), from centimetres; the sky becomes 0.

    Raises:
        ValueError: If the file is no 16-bit image.
    """
    stored = read_uint16(sample['depth_path'])
    return np.where(stored == SKY, 0, stored).astype(np.float32) / np.float32(100)


@DATASETS.register_module()
class VirtualKITTI2Dataset(BaseDepthDataset):
    """Virtual KITTI 2: five rendered streets, ten variations, 375x1242, 16-bit centimetres.

    ::

        data/vkitti2/
        └── Scene01|02|06|18|20/VARIATION/frames/
            ├── rgb/Camera_0|1/rgb_NNNNN.jpg
            └── depth/Camera_0|1/depth_NNNNN.png      65535 = sky: no ground truth

    VARIATION: 15-deg-left, 15-deg-right, 30-deg-left, 30-deg-right, clone, fog, morning, overcast,
        rain, sunset. There
    are 21260 pairs of cameras 0 and 1.

    Args:
        scenes: Which scenes.
        variations: Which variations; all that are there by default.
        cameras: Which cameras: 0 left, 1 right.
        step: Take every ``step``-th frame of a sequence.
        **kwargs: See :class:`BaseDepthDataset`. Lines "IMAGE ..." of an ``ann_file``, relative to
            ``data_root``, choose the images instead; the path of the depth map follows.

    Raises:
        FileNotFoundError: If a scene is missing.
        ValueError: If nothing is left.

    Reference: Virtual KITTI 2, https://arxiv.org/abs/2001.10773
    """

    METAINFO = dict(dataset_name='vkitti2', min_depth=1e-3, max_depth=80.0)
    SELECTION = ('scenes', 'variations', 'cameras', 'step')
    DEPTH_READER = 'vkitti2'
    CAM_INTRINSIC = pinhole(725.0087, 725.0087, 620.5, 187.0)  # pixels, of both cameras
    PREPARE_HINT = 'it should hold Scene01/ to Scene20/ of the published rgb and depth archives'

    LICENCE = 'CC BY-NC-SA 3.0'
    PAGE = 'https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/'
    PREPARE_NAME = 'vkitti2'
    ROOT = 'data/vkitti2'
    CONFIGS = ('vkitti2.py',)
    ARCHIVES = (
        Archive('vkitti_2.0.3_rgb.tar', f'{SERVER}/vkitti_2.0.3_rgb.tar', 'about 8 GB'),
        Archive('vkitti_2.0.3_depth.tar', f'{SERVER}/vkitti_2.0.3_depth.tar', 'about 8 GB'),
    )
    ARCHIVE_MEMBERS = (
        r'^(Scene\d\d/[^/]+/frames/(?:rgb|depth)/Camera_[01]/(?:rgb|depth)_\d{5}\.(?:jpg|png))$'
    )
    CONTENTS = {
        'Scene*/*/frames/rgb/*/*.jpg': 'images of 42520',
        'Scene*/*/frames/depth/*/*.png': 'depth maps of 42520',
    }

    def __init__(
        self,
        data_root: str = '',
        scenes: Sequence[str] = SCENES,
        variations: Sequence[str] | None = None,
        cameras: Sequence[int] = (0, 1),
        step: int = 1,
        **kwargs,
    ) -> None:
        if step < 1:
            raise ValueError(f'VirtualKITTI2Dataset: step is 1 or more, got {step}')
        self.scenes, self.cameras = tuple(scenes), tuple(cameras)
        self.variations = variations
        self.step = step
        super().__init__(data_root=data_root, **kwargs)

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the listed images, or the chosen frames by scene, variation, camera and frame."""
        if self.ann_file:
            yield from super().find_samples()
            return
        for scene in self.scenes:
            folder = Path(self.data_root, scene)
            if not folder.is_dir():
                raise FileNotFoundError(
                    f'{type(self).__name__}: folder {folder} does not exist; {self.PREPARE_HINT}'
                )
            for variation in self.variations or _list_folders(folder):
                for camera in self.cameras:
                    frames = folder / variation / 'frames' / 'rgb' / f'Camera_{camera}'
                    # Neighbouring frames are nearly equal; the step thins each sequence, not the
                    # list.
                    for image in sorted(frames.glob('rgb_*.jpg'))[:: self.step]:
                        yield self._sample(image), str(frames)

    def parse_line(self, fields: list[str], where: str) -> dict:
        """Return the sample of an image relative to ``data_root``."""
        return self._sample(Path(self.data_root, fields[0]))

    def _sample(self, image: Path) -> dict:
        frames, camera = image.parents[2], image.parent.name
        number = image.stem.removeprefix('rgb_')
        depth = frames / 'depth' / camera / f'depth_{number}.png'
        return dict(
            img_path=str(image),
            depth_path=str(depth),
            cam_intrinsic=self.CAM_INTRINSIC,
            scene='outdoor_scene',
        )


def _list_folders(folder: Path) -> list[str]:
    """Return the names of the folders in a folder, sorted."""
    return sorted(path.name for path in folder.iterdir() if path.is_dir())
