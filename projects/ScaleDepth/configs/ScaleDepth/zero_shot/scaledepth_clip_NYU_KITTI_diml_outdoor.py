"""ScaleDepth-NK on DIML outdoor, which it never saw. No results are published."""

_base_ = ['../../_base_/zero_shot.py', '../../../../../configs/_base_/datasets/diml_outdoor.py']
