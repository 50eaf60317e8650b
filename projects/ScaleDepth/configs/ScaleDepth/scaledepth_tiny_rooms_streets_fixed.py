"""The tiny ScaleDepth without a scale, for comparison: bins over one fixed range of 80 m."""

_base_ = './scaledepth_tiny_rooms_streets.py'
model = dict(decode_head=dict(with_scale=False, min_depth='${min_depth}', max_depth='${max_depth}'))
