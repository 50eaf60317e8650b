"""DenseDepth on rooms with metric labels and streets with relative ones, in one run.

The labels of the streets are inverse depth without scale and shift, as from a relative teacher, so
streets are scored after an alignment of each image. docs/finetune.md has the scores of a short run.
"""

_base_ = '../densedepth/densedepth_r18_synthetic_mixed.py'
relative_pipeline = [
    dict(type='MakeLabelsRelative', label_type='affine_invariant_disparity'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDepthInputs'),
]
scenes = dict(
    type='SyntheticDataset',
    split='train',
    num_scenes=600,
    image_size='${image_size}',
    cache=True,
)
train_dataloader = dict(
    dataset=dict(
        datasets=[
            dict(scenes, world='rooms', pipeline='${train_pipeline}'),
            dict(scenes, world='streets', pipeline='${relative_pipeline}'),
        ],
    ),
)
val_evaluator = dict(protocols=dict(synthetic_streets='midas_disparity_lsq'))
test_evaluator = dict(protocols=dict(synthetic_streets='midas_disparity_lsq'))
model = dict(extra_losses=dict(relative=dict(type='RelativeLabelLoss')))
