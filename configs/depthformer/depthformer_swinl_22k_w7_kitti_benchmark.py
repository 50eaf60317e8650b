"""DepthFormer, Swin-L (ImageNet-22k), KITTI depth benchmark, 38400 iterations.

The test set has no ground truth. No results are published for it. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/depthformer_swinl_22k_w7.py',
    '../_base_/datasets/kitti_benchmark_test.py',
    '../_base_/schedules/adamw_38k_cosine.py',
    '../_base_/default_runtime.py',
]
# As published, predictions end at 80 m. Training and validation still use ground truth up to 88 m.
max_depth = 80.0
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
# The published rate is for a batch of 16: 2 images on each of 8 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=2)
# The validation set keeps its own range, and its protocol scores up to 88 m.
val_dataloader = dict(dataset=dict(max_depth=None))
optim_wrapper = dict(optimizer=dict(lr=1e-4))
train_cfg = dict(val_interval=800)
default_hooks = dict(checkpoint=dict(interval=800))
