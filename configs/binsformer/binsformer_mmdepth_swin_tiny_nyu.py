"""The mmdepth variant of BinsFormer on Swin-T, NYU Depth v2, 40 000 iterations.

Ours, the parity case. No results are published. Ours: not trained yet.
"""

_base_ = [
    '../_base_/models/binsformer_mmdepth_swin_tiny.py',
    '../_base_/datasets/nyu_mmdepth_416x544.py',
    '../_base_/schedules/mmdepth_40k.py',
    '../_base_/default_runtime.py',
]
model = dict(
    decode_head=dict(
        min_depth='${min_depth}',
        max_depth='${max_depth}',
        loss_decode=dict(max_depth='${max_depth}'),
    )
)
# Published batch: 6 images on each of 4 GPUs; the base has 6.
auto_scale_lr = dict(base_batch_size=24)
default_hooks = dict(checkpoint=dict(interval=2000))
