"""A tiny DPT on rooms with the labels of a teacher (tools/pseudo_label.py), validated on true depth.

docs/finetune.md has the commands that render the images and label them.
"""

_base_ = './dpt_tiny_rooms.py'
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='PseudoLabelDataset',
        data_root='data/rooms_labels',
        max_depth='${max_depth}',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='LoadDepth'),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackDepthInputs'),
        ],
    ),
)
