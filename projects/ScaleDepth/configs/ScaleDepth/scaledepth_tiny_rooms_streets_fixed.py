"""The tiny ScaleDepth without a scale: bins share out one fixed range of 80 m. To compare with."""

_base_ = './scaledepth_tiny_rooms_streets.py'
model = dict(decode_head=dict(with_scale=False, min_depth='${min_depth}', max_depth='${max_depth}'))
