"""Depth Anything V2, DINOv2-S: inverse depth up to a factor and an offset, tested on NYU Depth v2.

Published weights, no recipe: the training code was not published. Scores need a protocol that fits
factor and offset; the one here fits them in inverse depth.
"""

_base_ = [
    '../_base_/models/depth_anything_v2_vits.py',
    '../_base_/datasets/nyu_test.py',
    '../_base_/default_runtime.py',
]
input_size = 518  # pixels of the short side
model = dict(decode_head=dict(type='DepthAnythingRelativeHead'))
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='ResizeShortSide', size='${input_size}', resize_depth=False),
    dict(type='PackDepthInputs'),
]
load_published = dict(method='depth_anything_v2')
