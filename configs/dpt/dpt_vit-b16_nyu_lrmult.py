"""DPT, ViT-B/16, NYU Depth v2: the recipe that the published config intended.

Ours: not trained yet. The pre-trained backbone learns at a tenth of the head's rate, and its
LayerNorms are free of decay. In the published code the one-cycle policy overwrote the first, and
the second named layers that do not exist.
"""

_base_ = ['./dpt_vit-b16_nyu.py']
slow, slow_free = dict(lr_mult=0.1), dict(lr_mult=0.1, decay_mult=0.0)
optim_wrapper = dict(
    paramwise_cfg=dict(
        # The longest matching key decides: the keys without weight decay are longer than
        # 'backbone'.
        custom_keys={
            'backbone': slow,
            'pos_embed': slow_free,
            'cls_token': slow_free,
            '.norm1.weight': slow_free,
            '.norm1.bias': slow_free,
            '.norm2.weight': slow_free,
            '.norm2.bias': slow_free,
        }
    )
)
