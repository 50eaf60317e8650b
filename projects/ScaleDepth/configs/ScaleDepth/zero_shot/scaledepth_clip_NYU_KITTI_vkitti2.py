"""ScaleDepth-NK on Virtual KITTI 2, which it never saw. No results are published."""

_base_ = ['../../_base_/zero_shot.py', '../../../../../configs/_base_/datasets/vkitti2.py']
