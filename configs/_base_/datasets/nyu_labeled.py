"""NYU Depth v2 in its original file: 795 labelled training images, 654 test images.

Otherwise as nyu.py.

Training reads the filled depth. The test reads the depth as measured, as ``nyu_eigen_10`` and the
published numbers do; the protocol of the filled depth (``raw_depth=False``) is ``nyu_filled_10``.
"""

_base_ = './nyu.py'
dataset_type = 'NYULabeledDataset'
data_root = 'data/nyu_labeled'
# The original file has no list files: a split is chosen by name, so the data sets are written anew.
train_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='${dataset_type}',
        data_root='${data_root}',
        split='train',
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        pipeline='${train_pipeline}',
    )
)
val_dataloader = dict(
    dataset=dict(
        _delete_=True,
        type='${dataset_type}',
        data_root='${data_root}',
        split='test',
        raw_depth=True,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        test_mode=True,
        pipeline='${test_pipeline}',
    )
)
test_dataloader = val_dataloader
