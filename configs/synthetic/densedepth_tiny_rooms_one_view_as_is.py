"""Test of densedepth_tiny_rooms_one_view on images that keep the focal length of their camera."""

_base_ = './densedepth_tiny_rooms_one_view.py'
test_pipeline = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
