"""DenseDepth on rooms of three focal lengths, with labels scaled to a canonical camera (Metric3D)."""

_base_ = './densedepth_tiny_rooms_three_focals.py'
model = dict(
    # Focal lengths in pixels: 0.6, 0.85 and 1.2 of a width of 64.
    canonical_camera=dict(focal=54.4, focal_range=(38.4, 76.8), scaled='labels')
)
