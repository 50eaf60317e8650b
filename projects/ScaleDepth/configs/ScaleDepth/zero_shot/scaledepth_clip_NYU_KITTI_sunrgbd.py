"""ScaleDepth-NK on SUN RGB-D, which it never saw. No results are published."""

_base_ = ['../../_base_/zero_shot.py', '../../../../../configs/_base_/datasets/sunrgbd.py']
