"""Test of densedepth_tiny_rooms_one_view without its cure: images keep the camera's focal length."""

_base_ = './densedepth_tiny_rooms_one_view.py'
test_pipeline = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
