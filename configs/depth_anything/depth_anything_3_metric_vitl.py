"""Depth Anything 3, DINOv2-L (DA3METRIC-LARGE), metres from the focal length, tested on NYU.

Depth is focal * output / 300, with the focal length of the network's input: images need a camera.
"""

_base_ = ['./depth_anything_3_mono_vitl.py']
model = dict(decode_head=dict(type='DepthAnything3MetricHead'))
test_evaluator = dict(protocol='nyu_eigen_10')
