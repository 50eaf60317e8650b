"""ZoeDepth, BEiT-L, Virtual KITTI 2 up to 80 m: the recipe of KITTI on other data, ours. Not trained yet.

The head is that of N: centres of bins in metres. It starts from BEiT of timm or from a file of
MiDaS or ZoeDepth: load_from.
"""

_base_ = [
    '../_base_/models/zoedepth_beitl.py',
    '../_base_/datasets/vkitti2.py',
    '../_base_/schedules/zoedepth_5e_kitti.py',
    '../_base_/pipelines/zoedepth.py',
    '../_base_/default_runtime.py',
]
network_size = (384, 768)  # height, width
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_pipeline = '${zoedepth_kitti_pipeline}'
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=4)
