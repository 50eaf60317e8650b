"""DenseDepth on rooms of three focal lengths, with labels scaled to a canonical camera (Metric3D)."""

_base_ = './densedepth_tiny_rooms_three_focals.py'
model = dict(
    # Focal lengths in pixels: 0.6, 0.85 and 1.2 of a width of 128; crops do not change them.
    canonical_camera=dict(focal=108.8, focal_range=(76.8, 153.6), scaled='labels')
)
