"""The published recipe, which ScaleDepth shares with Plane2Depth."""

_base_ = '../../../../configs/_base_/schedules/mmdepth_40k_free_norms.py'
