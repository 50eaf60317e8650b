"""Depth completion by a prompt on synthetic rooms and streets, beside a frozen model of images.

Start: --cfg-options load_from=CHECKPOINT of dinov3_dpt_tiny_rooms_streets.py. Only the prompt's
layers are trained, so that the model without points stays the one it started from, bit for bit.

Trained on a mixture of patterns of 0.5 to 2 % of the pixels, tested on random points of 1 %. Other
patterns of the test by --cfg-options: test_pattern.weights=[0,1,0,0] for LiDAR lines, [0,0,1,0] for
tracks, [0,0,0,1] for time of flight; test_pattern.no_points=1 for none.
"""

_base_ = './dinov3_dpt_tiny_rooms_streets.py'
model = dict(
    backbone=dict(freeze=True),
    decode_head=dict(
        prompt=dict(type='PromptFusion', hidden_channels=16, guide_channels=16, train_alone=True),
        loss_decode=dict(_delete_=True, type='LogL1Loss'),
    ),
)
# The new layers are small and start at zero.
optim_wrapper = dict(optimizer=dict(lr=3e-3))
train_pattern = dict(
    type='ChoosePattern',
    patterns=[
        dict(type='RandomPoints', share=(0.005, 0.02)),
        dict(type='LidarLines', num_lines=(4, 16), share=(0.005, 0.02)),
        dict(type='FeatureTracks', share=(0.005, 0.02)),
        dict(type='LowResolutionToF', share=0.01),
    ],
)
test_pattern = dict(
    type='ChoosePattern',
    seed=0,
    patterns=[
        dict(type='RandomPoints', share=0.01),
        dict(type='LidarLines', num_lines=8, share=0.01),
        dict(type='FeatureTracks', share=0.01),
        dict(type='LowResolutionToF', share=0.01),
    ],
    weights=[1, 0, 0, 0],
    no_points=0.0,
)
train_pipeline = [
    dict(type='RandomFlip', prob=0.5),
    '${train_pattern}',
    dict(type='PackDepthInputs'),
]
test_pipeline = [dict(type='LoadImage'), '${test_pattern}', dict(type='PackDepthInputs')]
