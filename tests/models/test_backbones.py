import pytest
import torch

from depth.models.backbones import DepthFormerBackbone, TimmBackbone

TINY_SWIN = dict(
    model_name='swin_tiny_patch4_window7_224', model_args=dict(embed_dim=8, depths=(2, 2, 1, 1), num_heads=(1, 1, 2, 2))
)


def test_swin_takes_odd_sizes_and_gives_the_published_ones():
    backbone = TimmBackbone(**TINY_SWIN, out_norm='LN').eval()
    feats = backbone(torch.randn(1, 3, 61, 77))
    assert [tuple(feat.shape[-2:]) for feat in feats] == [(16, 20), (8, 10), (4, 5), (2, 3)]
    assert [feat.shape[1] for feat in feats] == backbone.out_channels == [8, 16, 32, 64]
    assert backbone.out_strides == [4, 8, 16, 32]


def test_dense_swin_is_timms_own_where_windows_fit():
    torch.manual_seed(0)
    backbone = TimmBackbone(**TINY_SWIN).eval()
    image = torch.randn(1, 3, 224, 224)
    dense = backbone(image)
    for module in backbone.modules():
        module.__dict__.pop('_attn', None)  # back to timm's own method
        if hasattr(module, 'dynamic_mask'):
            module.dynamic_mask = True
    for ours, theirs in zip(dense, backbone(image), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)


def test_depthformer_puts_its_stem_in_front():
    backbone = DepthFormerBackbone(dict(type='TimmBackbone', **TINY_SWIN), stem_channels=4)
    feats = backbone(torch.randn(1, 3, 64, 64))
    assert [feat.shape[1] for feat in feats] == backbone.out_channels == [4, 8, 16, 32, 64]
    assert [64 // feat.shape[-1] for feat in feats] == backbone.out_strides


def test_frozen_norms_stay_in_eval_mode():
    backbone = TimmBackbone('resnet10t', frozen_norm=True).train()
    norms = [module for module in backbone.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert norms
    assert not any(norm.training for norm in norms)


def test_local_weights_are_loaded_or_refused(tmp_path):
    source = TimmBackbone('resnet10t')
    torch.save(source.net.state_dict(), tmp_path / 'a.pth')
    loaded = TimmBackbone('resnet10t', checkpoint=str(tmp_path / 'a.pth'))
    assert all(torch.equal(a, b) for a, b in zip(source.parameters(), loaded.parameters(), strict=True))
    with pytest.raises(ValueError, match='does not hold the weights of resnet18'):
        TimmBackbone('resnet18', checkpoint=str(tmp_path / 'a.pth'))
    with pytest.raises(ValueError, match='does not exist'):
        TimmBackbone('resnet10t', checkpoint=str(tmp_path / 'b.pth'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(model_name='resnet5O'), 'resnet50'),
        (dict(model_name='resnet10t', out_indices=(0, 9)), r'levels \(0, 9\)'),
        (dict(model_name='resnet10t', out_norm='BN'), "None or 'LN'"),
        (dict(model_name='resnet10t', pretrained=True, checkpoint='a'), 'not both'),
    ],
)
def test_wrong_arguments_are_answered_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(**arguments)
