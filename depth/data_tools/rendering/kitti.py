"""Rendered streets in the layout of KITTI with the depth benchmark's ground truth."""

from pathlib import Path

import numpy as np

from depth.atomic_write import write_atomically
from depth.datasets.kitti import KITTIDataset
from depth.datasets.scenes import WORLDS
from depth.datasets.scenes.render import lidar_mask

from .layouts import (
    Layout,
    write_depth,
    write_lines,
    write_picture,
)

DAY = '2011_09_26'
FOCAL, CX, CY = KITTIDataset.CAMERAS[DAY]
# Numbers that the real data set does not use.
FIRST_DRIVE = {'train': 9000, 'val': 9300, 'test': 9500}
FRAMES_A_DRIVE = 10
CROP = (352, 1216)  # of the benchmark's test images


def drive_and_frame(split: str, index: int) -> tuple[str, str]:
    """Return ``DATE_drive_NNNN_sync`` and the frame's ten digits."""
    drive, frame = divmod(index, FRAMES_A_DRIVE)
    return f'{DAY}_drive_{FIRST_DRIVE[split] + drive:04d}_sync', f'{frame:010d}'


class KITTILayout(Layout):
    """``input/``, ``gt_depth/`` on scan lines, Eigen and benchmark lists, ``benchmark_test/``."""

    WORLD = 'streets'
    IMAGE_SIZE = (375, 1242)
    INTRINSIC = (FOCAL, FOCAL, CX, CY)
    DEPTH_SCALE = 256.0
    OPTIONS = dict(lidar=True)

    @staticmethod
    def _names(split: str, index: int) -> tuple[str, str]:
        drive, frame = drive_and_frame(split, index)
        return (
            f'{DAY}/{drive}/image_02/data/{frame}.png',
            f'{drive}/proj_depth/groundtruth/image_02/{frame}.png',
        )

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Write image and depth, of a test scene also the benchmark's cut image with its camera."""
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
            # The Eigen test frames stand for the validation frames of the benchmark too.
            name = 'train' if split == 'train' else 'val'
            write_lines(root / f'kitti_benchmark_{name}.txt', lines)
        if 'test' in counts:
            images = [f'{index:010d}.png' for index in range(counts['test'])]
            write_lines(root / 'kitti_benchmark_test.txt', images)


LISTS = {'train': 'eigen_full_train', 'val': 'eigen_full_val', 'test': 'eigen_test'}
LEFT_OFFSET = 0.06  # metres from camera 0 to camera 2, which is on its left
# Camera 0 before rectification to after it: a turn by about half a degree, as real calibrations
# have it.
R_RECT = np.array(
    [[0.99995, 0.0098, -0.0020], [-0.0098, 0.99995, 0.0030], [0.0020, -0.0030, 0.99999]]
)
# Laser axes (x forward, y left, z up) to camera axes (x right, y down, z forward).
VELO_TO_CAM = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
VELO_SHIFT = np.array([0.0, -0.08, -0.27])  # metres: the scanner stands above and behind the camera


def rectifying_rotation() -> np.ndarray:
    """Return the rotation (3, 3) nearest to ``R_RECT``."""
    # The digits above are rounded, and only the transpose of a true rotation is its inverse.
    u, _, vt = np.linalg.svd(R_RECT)
    return u @ vt


class KITTIRawStereoLayout(KITTILayout):
    """KITTI raw: images of both cameras, laser points, calibrations and ``splits/``.

    ``DATE/DRIVE/image_02|image_03/data/N.png``, ``DATE/DRIVE/velodyne_points/data/N.bin``.
    """

    SPLITS = ('train', 'val', 'test')
    OPTIONS = dict(stereo=True)

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Write both images and the scan."""
        scene, (drive, frame) = self.render(split, index), drive_and_frame(split, index)
        folder = root / DAY / drive
        write_picture(folder / 'image_02/data' / f'{frame}.png', scene['img'])
        write_picture(folder / 'image_03/data' / f'{frame}.png', scene['img_right'])
        scan = self.scan(scene['gt_depth'])
        write_atomically(folder / 'velodyne_points/data' / f'{frame}.bin', scan.tobytes())

    def scan(self, gt_depth: np.ndarray) -> np.ndarray:
        """Return laser points (M, 4) on 64 lines, metres: x forward, y left, z up; reflectance."""
        rows, columns = np.nonzero((gt_depth > 0) & lidar_mask(self.intrinsic, self.image_size))
        pixels = np.stack([columns, rows, np.ones_like(rows)], axis=1).astype(np.float64)
        camera_2 = pixels @ np.linalg.inv(self.intrinsic).T * gt_depth[rows, columns, None]
        rectified = camera_2 - [LEFT_OFFSET, 0, 0]
        camera_0 = rectified @ rectifying_rotation()  # the inverse of a rotation, applied to rows
        points = (camera_0 - VELO_SHIFT) @ VELO_TO_CAM
        return np.concatenate([points, np.full((len(points), 1), 0.5)], axis=1).astype(np.float32)

    def write_lists(self, root: Path, counts: dict[str, int]) -> None:
        """Write calibrations and split files, with both views of training and validation scenes."""
        self._write_calibration(root / DAY)
        for split, count in counts.items():
            sides = 'l' if split == 'test' else 'lr'
            lines = []
            for index in range(count):
                drive, frame = drive_and_frame(split, index)
                for side in sides:
                    lines.append(f'{DAY}/{drive} {int(frame)} {side}')
            write_lines(root / 'splits' / f'{LISTS[split]}.txt', lines)

    def _write_calibration(self, folder: Path) -> None:
        height, width = self.image_size
        lines = [
            'calib_time: 09-Jan-2012 13:57:47',
            f'R_rect_00: {_numbers(rectifying_rotation())}',
        ]
        # P = K [I | t] with t = (offset, 0, 0), so its last column holds focal length times offset.
        for camera, offset in ((2, LEFT_OFFSET), (3, LEFT_OFFSET - WORLDS[self.world].baseline)):
            shift = np.array([[self.intrinsic[0, 0] * offset], [0], [0]])
            projection = np.concatenate([self.intrinsic, shift], axis=1)
            lines += [f'S_rect_{camera:02d}: {_numbers([width, height])}']
            lines += [f'P_rect_{camera:02d}: {_numbers(projection)}']
        write_lines(folder / 'calib_cam_to_cam.txt', lines)
        velodyne = [
            'calib_time: 15-Mar-2012 11:37:16',
            f'R: {_numbers(VELO_TO_CAM)}',
            f'T: {_numbers(VELO_SHIFT)}',
        ]
        write_lines(folder / 'calib_velo_to_cam.txt', velodyne)


def _numbers(values: np.ndarray | list[float]) -> str:
    return ' '.join(f'{value:.12e}' for value in np.ravel(values))
