"""ScaleDepth-NK with three corrections of the published code. Not trained yet.

The class loss takes logits (published: probabilities, so softmax twice), the scene vector is
normalised to length 1, and no norm of the trunk decays.
"""

_base_ = './scaledepth_clip_NYU_KITTI_352x512.py'
model = dict(decode_head=dict(normalize_similarity=True, loss_class=dict(type='SceneClassLoss')))
norms = [
    'stem_1',
    *(f'stages_{i}.blocks.{j}.norm' for i, depth in enumerate((3, 3, 27, 3)) for j in range(depth)),
    *(f'stages_{i}.downsample.0' for i in (1, 2, 3)),
]
trunk_norms = {f'backbone.net.{name}': dict(lr_mult=0.1, decay_mult=0.0) for name in norms}
optim_wrapper = dict(paramwise_cfg=dict(custom_keys=trunk_norms))
