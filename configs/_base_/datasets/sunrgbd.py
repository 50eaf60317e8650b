"""SUN RGB-D, 5050 images, evaluation only.

The data set states no depth range, so a model of any range can be tested. ``max_depth`` is that of
NYU models.
"""

_base_ = './ibims.py'
dataset_type = 'SUNRGBDDataset'
data_root = 'data/sunrgbd'
val_dataloader = dict(dataset=dict(ann_file='SUNRGBD_val_splits.txt'))
test_dataloader = dict(dataset=dict(ann_file='SUNRGBD_val_splits.txt'))
val_evaluator = dict(protocol='sunrgbd_8')
test_evaluator = dict(protocol='sunrgbd_8')
