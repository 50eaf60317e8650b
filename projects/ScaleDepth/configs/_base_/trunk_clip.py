"""CLIP's ConvNeXt-L trunk, all of it trained, with CLIP's colour normalisation.

The text tower is not built.
"""

_base_ = './scaledepth_head.py'
model = dict(
    data_preprocessor=dict(
        type='DepthDataPreprocessor',
        mean=(122.7709383, 116.7460125, 104.09373615),
        std=(68.5005327, 66.6321579, 70.32316305),
    ),
    backbone=dict(
        type='TimmBackbone',
        model_name='convnext_large_mlp.clip_laion2b_ft_soup_320',
        pretrained=True,
        model_args=dict(drop_path_rate=0.1),
    ),
)
