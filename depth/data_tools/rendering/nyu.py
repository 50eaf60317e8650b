"""Rendered rooms in the layout of NYU Depth v2."""

from pathlib import Path

from depth.datasets.nyu import NYUDataset

from .base import Layout, write_depth, write_lines, write_picture

(_FX, _, _CX), (_, _FY, _CY) = NYUDataset.CAM_INTRINSIC[:2]
# Kinds of rooms, so that methods which learn the kind find a label; the picture does not depend on it.
KINDS = ('kitchen', 'living_room', 'bedroom', 'office', 'dining_room', 'bathroom', 'study', 'classroom')
FIRST_SCENE = {'train': 9000, 'test': 9500}  # numbers that the real data set does not use


class NYULayout(Layout):
    """``SCENE/rgb_N.jpg``, ``SCENE/sync_depth_N.png``, ``nyu_train.txt`` and ``nyu_test.txt``; NYU's camera."""

    IMAGE_SIZE = (480, 640)
    INTRINSIC = (_FX, _FY, _CX, _CY)

    @staticmethod
    def _names(split: str, index: int) -> tuple[str, str]:
        scene = f'{KINDS[index % len(KINDS)]}_{FIRST_SCENE[split] + index // 4:04d}'
        return f'{scene}/rgb_{index:05d}.jpg', f'{scene}/sync_depth_{index:05d}.png'

    def write_scene(self, root: Path, split: str, index: int) -> None:
        """Write image and depth."""
        scene, (image, depth) = self.render(split, index), self._names(split, index)
        write_picture(root / image, scene['img'])
        write_depth(root / depth, scene['gt_depth'], self.DEPTH_SCALE)

    def write_lists(self, root: Path, counts: dict[str, int]) -> None:
        """Write the split files; as published, the lines of the training list begin with a slash."""
        for split, count in counts.items():
            slash = '/' if split == 'train' else ''
            names = (self._names(split, index) for index in range(count))
            lines = [f'{slash}{image} {slash}{depth} {_FX}' for image, depth in names]
            write_lines(root / f'nyu_{split}.txt', lines)
