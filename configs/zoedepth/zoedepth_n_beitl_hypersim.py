"""ZoeDepth, BEiT-L, Hypersim up to 20 m: the recipe of NYU on other data, ours. Not trained yet.

Images are cropped as everywhere on Hypersim, then stretched to the network's size. It starts from
BEiT of timm or from a file of MiDaS or ZoeDepth: load_from.
"""

_base_ = [
    '../_base_/models/zoedepth_beitl.py',
    '../_base_/datasets/hypersim.py',
    '../_base_/schedules/zoedepth_5e_nyu.py',
    '../_base_/default_runtime.py',
]
max_depth = 20.0
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
auto_scale_lr = dict(base_batch_size=16)
train_dataloader = dict(batch_size=4)
