"""NYU Depth v2, trained on a list built from the raw set; otherwise as nyu.py."""

_base_ = ['./nyu.py']
train_dataloader = dict(dataset=dict(ann_file='nyu_raw_train.txt'))
