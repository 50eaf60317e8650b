"""Synthetic rooms, each seen with three focal lengths in the test; the training has the middle one.

The focal lengths are 0.6, 0.85 and 1.2 image widths: 80, 61 and 45 degrees of horizontal view. The
rooms have no lamp near the camera, whose light would tell the distance without the focal length.
"""

_base_ = './synthetic_rooms.py'
image_size = (48, 64)  # height, width
focal_shares = [0.6, 0.85, 1.2]
train_pipeline = [
    # A narrower view without another focal length, as other cameras have it.
    dict(type='RandomCrop', crop_size=(32, 44)),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    num_workers=1,
    dataset=dict(num_scenes=600, even_light=True, cache=True, pipeline='${train_pipeline}'),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=dict(num_scenes=10, even_light=True, cache=True, focal_shares='${focal_shares}'),
)
test_dataloader = dict(num_workers=1, dataset=dict(even_light=True, focal_shares='${focal_shares}'))
val_evaluator = dict(protocol='rooms_focal_10')
test_evaluator = dict(protocol='rooms_focal_10')
