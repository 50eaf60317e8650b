"""ZoeDepth, ZoeD-M12-K: BEiT-L, KITTI Eigen split, 5 epochs.

Published result: none for KITTI on the release page. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/zoedepth_beitl.py',
    '../_base_/datasets/kitti_eigen.py',
    '../_base_/pipelines/zoedepth.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/zoedepth_5e_kitti.py',
]
network_size = (384, 768)  # height, width
model = dict(
    # Bin centres are shares of the depth range, unlike those of the other two.
    decode_head=dict(bin_centers='normed', min_depth='${min_depth}', max_depth='${max_depth}')
)
train_pipeline = '${zoedepth_kitti_pipeline}'
# The published rate is for a batch of 16 in all: 4 images on each of 4 GPUs.
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=4)
default_hooks = dict(checkpoint=dict(interval='${val_interval}'))
