"""Depth Anything 3, DINOv2-S (a size of ours), depth up to a factor, tested on NYU Depth v2.

No training code was published. Scores need a protocol that fits the factor.
"""

_base_ = [
    '../_base_/models/depth_anything_3_vits.py',
    '../_base_/datasets/nyu_test.py',
    '../_base_/default_runtime.py',
]
input_size = 504  # pixels of the long side
test_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='ResizeThenSnap', size='${input_size}', side='long', resize_depth=False),
    dict(type='PackDepthInputs'),
]
test_evaluator = dict(protocol='scale_depth_lsq_10')
load_published = dict(method='depth_anything_3')
