"""ZoeDepth, ZoeD-M12-NK: BEiT-L, metric bins for NYU and for KITTI, and a classifier between them.

Batches of NYU and KITTI come in turn, 5 epochs. Published result (release page): abs_rel 0.077 on
NYU (flip averaged). Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/zoedepth_beitl.py',
    '../_base_/datasets/nyu_kitti_mixed.py',
    '../_base_/pipelines/zoedepth.py',
    '../_base_/default_runtime.py',
    '../_base_/schedules/zoedepth_5e_nyu_kitti.py',
]
model = dict(
    decode_head=dict(
        type='ZoeDepthDomainsHead',
        # Far end of each set's ground truth, in metres.
        domains=dict(nyu=10.0, kitti=80.0),
        num_attractors=(16, 16, 16, 16),
        hidden_channels=64,
        seed_channels=64,
        bottleneck_factor=4,
        with_relative_depth=False,
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_domain=dict(type='SceneClassLoss', loss_weight=100.0),
    )
)
nyu_train_pipeline = '${zoedepth_nyu_pipeline}'
kitti_train_pipeline = '${zoedepth_kitti_pipeline}'
# The published rate is for a batch of 16 in all: 4 images on each of 4 GPUs.
auto_scale_lr = dict(base_batch_size=16)
# A batch holds images of one set, whose size is not that of the other's.
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type='AlternatingSetSampler'),
    dataset=dict(one_set_a_batch=True),
)
default_hooks = dict(checkpoint=dict(interval='${val_interval}'))
