"""Rendered streets in the layout of KITTI with the depth benchmark's ground truth."""

from pathlib import Path

import numpy as np

from depth.datasets.kitti import KITTIDataset

from .base import Layout, write_depth, write_lines, write_picture

DAY = '2011_09_26'
FOCAL, CX, CY = KITTIDataset.CAMERAS[DAY]
FIRST_DRIVE = {'train': 9000, 'val': 9300, 'test': 9500}  # numbers that the real data set does not use
FRAMES_A_DRIVE = 10
CROP = (352, 1216)  # of the benchmark's test images


def drive_and_frame(split: str, index: int) -> tuple[str, str]:
    """Return ``DATE_drive_NNNN_sync`` and the frame's ten digits."""
    return f'{DAY}_drive_{FIRST_DRIVE[split] + index // FRAMES_A_DRIVE:04d}_sync', f'{index % FRAMES_A_DRIVE:010d}'


class KITTILayout(Layout):
    """``input/``, ``gt_depth/`` with depth on scan lines, the Eigen and benchmark lists, and ``benchmark_test/``."""

    WORLD = 'streets'
    IMAGE_SIZE = (375, 1242)
    INTRINSIC = (FOCAL, FOCAL, CX, CY)
    DEPTH_SCALE = 256.0
    OPTIONS = dict(lidar=True)

    @staticmethod
    def _names(split: str, index: int) -> tuple[str, str]:
        drive, frame = drive_and_frame(split, index)
        return f'{DAY}/{drive}/image_02/data/{frame}.png', f'{drive}/proj_depth/groundtruth/image_02/{frame}.png'

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Write image and depth, of a test scene also its image as the benchmark cuts it, with the camera."""
        scene, (image, depth) = self.render(split, index), self._names(split, index)
        write_picture(root / 'input' / image, scene['img'])
        write_depth(root / 'gt_depth' / depth, scene['gt_depth'], self.DEPTH_SCALE)
        if split == 'test':
            self._write_benchmark_image(root, index, scene['img'])

    def _write_benchmark_image(self, root: Path, index: int, img: np.ndarray) -> None:
        height, width = min(CROP[0], img.shape[0]), min(CROP[1], img.shape[1])
        top, left = img.shape[0] - height, (img.shape[1] - width) // 2
        write_picture(root / 'benchmark_test' / f'{index:010d}.png', img[top:, left : left + width])
        camera = self.intrinsic - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        numbers = ' '.join(f'{number:.6f}' for number in camera.ravel())
        write_lines(root / 'benchmark_test_cam' / f'{index:010d}.txt', [numbers])

    def write_lists(self, root: Path, counts: dict[str, int]) -> None:
        """Write the split files."""
        for split, count in counts.items():
            lines = [' '.join(self._names(split, index)) for index in range(count)]
            write_lines(root / f'kitti_eigen_{split}.txt', [f'{line} {FOCAL}' for line in lines])
            name = 'train' if split == 'train' else 'val'
            write_lines(root / f'kitti_benchmark_{name}.txt', lines)
        images = [f'{index:010d}.png' for index in range(counts.get('test', 0))]
        if images:
            write_lines(root / 'kitti_benchmark_test.txt', images)
