"""Procedural scenes as a data set: nothing to download, ground truth exact by construction."""

from collections.abc import Callable, Sequence

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

from depth.registry import DATASETS

from .base import build_pipeline, sample_generator
from .scenes import WORLDS, camera_matrix, render_scene


@DATASETS.register_module()
class SyntheticDataset(Dataset):
    """Scenes rendered on demand; scene i depends on (world, split, seed, i) alone.

    Args:
        world: ``rooms`` (0.5 to 10 m), ``streets`` (1 to 80 m) or ``desks`` (0.15 to 3 m).
        num_scenes: How many scenes the data set has.
        seed: Another seed gives other scenes.
        split: ``train``, ``val`` or ``test``; no scene is in two of them, whatever the seeds.
        image_size: (height, width) in pixels.
        focal_shares: Focal lengths as shares of the image's width. Every scene is seen with each of
            them, from the same place, so that the data set has ``num_scenes`` images a focal
            length. By default that of the world's camera.
        pipeline: Transforms after rendering.
        even_light: Rooms without the lamp near the camera, see
            :func:`~depth.datasets.scenes.render_scene`.
        noise: Standard deviation of the sensor noise, as a share of full scale.
        stereo: Also render the view ``baseline`` metres to the right.
        lidar: Ground truth on 64 scan lines only.
        cache: Keep rendered scenes in memory (60 kB for one of 96x128), for several passes over few
            scenes.
        min_depth: Near end of the depth range in metres; the world's by default.
        max_depth: Far end of the depth range in metres; the world's by default. Farther depth is no
            ground truth.
        test_mode: Accepted for the configs' sake, rendering is the same.

    Raises:
        ValueError: If the world, the split or the number of scenes makes no sense.
    """

    def __init__(
        self,
        world: str = 'rooms',
        num_scenes: int = 1000,
        seed: int = 0,
        split: str = 'train',
        image_size: Sequence[int] = (96, 128),
        focal_shares: Sequence[float] | None = None,
        pipeline: Sequence[dict | Callable] = (),
        even_light: bool = False,
        noise: float = 0.01,
        stereo: bool = False,
        lidar: bool = False,
        cache: bool = False,
        min_depth: float | None = None,
        max_depth: float | None = None,
        test_mode: bool = False,
    ) -> None:
        if world not in WORLDS:
            raise ValueError(
                f'SyntheticDataset: unknown world {world!r}, there are {", ".join(WORLDS)}'
            )
        if num_scenes < 1:
            raise ValueError(f'SyntheticDataset: num_scenes must be at least 1, got {num_scenes}')
        near, far = WORLDS[world].depth_range
        if focal_shares is not None and (not focal_shares or min(focal_shares) <= 0):
            raise ValueError(
                f'SyntheticDataset: focal_shares are numbers above 0, got {focal_shares}'
            )
        self.num_scenes = num_scenes
        self.cameras = [camera_matrix(world, image_size, share) for share in focal_shares or [None]]
        self.options = dict(
            world=world,
            seed=seed,
            split=split,
            image_size=tuple(image_size),
            even_light=even_light,
            noise=noise,
            stereo=stereo,
            lidar=lidar,
        )
        self.min_depth = float(near if min_depth is None else min_depth)
        self.max_depth = float(far if max_depth is None else max_depth)
        self.metainfo = dict(
            dataset_name=f'synthetic_{world}', min_depth=self.min_depth, max_depth=self.max_depth
        )
        self.pipeline = Compose(build_pipeline(pipeline))
        self.test_mode = test_mode
        self.keeps_scenes = cache
        self.cache: dict[int, dict] = {}

    def __len__(self) -> int:
        return self.num_scenes * len(self.cameras)

    def __getitem__(self, index: int) -> dict:
        """Return image ``index`` after the pipeline; neighbours are focal lengths of a scene."""
        if not 0 <= index < len(self):
            raise IndexError(f'scene {int(index)} of {len(self)}')
        scene = self._render(int(index))
        shape = scene['img'].shape[:2]
        name = '{world}_{split}_{seed}'.format(**self.options)
        results = dict(
            scene,
            img_path=f'{name}/{int(index):05d}.png',
            depth_path=None,
            depth_scale=1.0,
            dataset=self.metainfo['dataset_name'],
            scene=WORLDS[self.options['world']].category,
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            img_shape=shape,
            ori_shape=shape,
            ori_cam_intrinsic=scene['cam_intrinsic'],
            sample_idx=int(index),
            rng=sample_generator(index),
        )
        return self.pipeline(results)

    def _render(self, index: int) -> dict:
        """Return a fresh copy of the rendered arrays."""
        scene = self.cache.get(index)
        if scene is None:
            number, camera = divmod(index, len(self.cameras))
            scene = render_scene(index=number, intrinsic=self.cameras[camera], **self.options)
            scene['gt_depth'][scene['gt_depth'] > self.max_depth] = 0
            if self.keeps_scenes:
                self.cache[index] = scene
        # Transforms write into their arrays; those of the cache stay as they were rendered.
        copies = {}
        for name, value in scene.items():
            copies[name] = value.copy() if isinstance(value, np.ndarray) else value
        return copies
