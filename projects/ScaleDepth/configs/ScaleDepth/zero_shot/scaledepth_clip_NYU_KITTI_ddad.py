"""ScaleDepth-NK on DDAD, which it never saw. No results are published."""

_base_ = ['../../_base_/zero_shot.py', '../../../../../configs/_base_/datasets/ddad.py']
