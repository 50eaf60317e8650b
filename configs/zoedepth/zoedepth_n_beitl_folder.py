"""ZoeDepth, BEiT-L, any folder of images and depth (docs/get_started.md): our own fine-tuning.

Images are stretched to the network's size. It starts from BEiT of timm; load_from takes the
transformer and the decoder of relative depth of a file of MiDaS or ZoeDepth, with
load_published.parts=[] all of a file of ZoeD_M12_N. Set max_depth to the far end of your data.
"""

_base_ = [
    '../_base_/models/zoedepth_beitl.py',
    '../_base_/datasets/folder.py',
    '../_base_/schedules/slow_encoder_10k.py',
    '../_base_/pipelines/zoedepth.py',
    '../_base_/default_runtime.py',
]
model = dict(decode_head=dict(min_depth='${min_depth}', max_depth='${max_depth}'))
train_pipeline = '${zoedepth_nyu_pipeline}'
train_dataloader = dict(batch_size=8)
