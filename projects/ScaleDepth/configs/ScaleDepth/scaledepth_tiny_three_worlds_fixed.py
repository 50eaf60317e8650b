"""The tiny ScaleDepth on three worlds without a scale: bins over one fixed range of 80 m."""

_base_ = './scaledepth_tiny_three_worlds.py'
model = dict(decode_head=dict(with_scale=False, min_depth='${min_depth}', max_depth='${max_depth}'))
