"""ScaleDepth-NK on DIODE outdoor, which it never saw. No results are published."""

_base_ = ['../../_base_/zero_shot.py', '../../../../../configs/_base_/datasets/diode_outdoor.py']
