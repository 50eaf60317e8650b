"""DenseDepth on rooms of three focal lengths, with output scaled by them (Depth Anything 3)."""

_base_ = './densedepth_tiny_rooms_three_focals_labels.py'
model = dict(canonical_camera=dict(scaled='output'))
