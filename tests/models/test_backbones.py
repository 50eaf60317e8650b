import copy

import pytest
import timm
import torch

from depth.models.backbones import DepthFormerBackbone, TimmBackbone

TINY_SWIN = dict(
    model_name='swin_tiny_patch4_window7_224',
    model_args=dict(embed_dim=8, depths=(2, 2, 1, 1), num_heads=(1, 1, 2, 2)),
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
    assert all(
        torch.equal(a, b) for a, b in zip(source.parameters(), loaded.parameters(), strict=True)
    )
    with pytest.raises(ValueError, match='does not hold the weights of resnet18'):
        TimmBackbone('resnet18', checkpoint=str(tmp_path / 'a.pth'))
    with pytest.raises(ValueError, match='does not exist'):
        TimmBackbone('resnet10t', checkpoint=str(tmp_path / 'b.pth'))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(model_name='resnet5O'), 'resnet50'),
        (dict(model_name='resnet10t', out_indices=(0, 9)), r'levels \(0, 9\)'),
        (dict(model_name='resnet10t', model_args=dict(blok=1)), 'blok'),
        (dict(model_name='resnet10t', out_norm='BN'), "None or 'LN'"),
        (dict(model_name='resnet10t', pretrained=True, checkpoint='a'), 'not both'),
    ],
)
def test_wrong_arguments_are_answered_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(**arguments)


@pytest.mark.parametrize(
    ('name', 'model_args'),
    [
        ('resnet10t', None),
        ('convnext_atto', None),
        ('swin_tiny_patch4_window7_224', TINY_SWIN['model_args']),
        ('vit_tiny_patch16_224', dict(img_size=32, embed_dim=24, num_heads=2)),
    ],
)
def test_recomputing_activations_gives_the_same_gradients(name, model_args):
    torch.manual_seed(0)
    plain = TimmBackbone(name, model_args=model_args).eval()
    saving = TimmBackbone(name, model_args=model_args, grad_checkpointing=True).eval()
    saving.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 32, 32)
    for backbone in (plain, saving):
        sum(feat.square().mean() for feat in backbone(image)).backward()
    pairs = [(a.grad, b.grad) for a, b in zip(plain.parameters(), saving.parameters(), strict=True)]
    assert any(a is not None for a, _ in pairs)
    for a, b in pairs:
        assert (a is None) == (b is None)
        assert a is None or torch.allclose(a, b, atol=1e-6)


def test_a_network_that_cannot_recompute_is_named():
    # timm's HRNet has no recomputation; on the meta device no weights are made.
    with torch.device('meta'), pytest.raises(ValueError, match='cannot recompute hrnet_w18_small'):
        TimmBackbone('hrnet_w18_small', grad_checkpointing=True)


@pytest.mark.parametrize('name', ['resnet10t', 'convnext_atto', 'vit_tiny_patch16_224'])
def test_weights_of_the_whole_timm_model_fill_the_features(name, tmp_path):
    whole = timm.create_model(name)
    torch.save(dict(state_dict=whole.state_dict()), tmp_path / 'whole.pth')
    backbone = TimmBackbone(name, checkpoint=str(tmp_path / 'whole.pth'))
    theirs = {parameter.sum().item() for parameter in whole.parameters()}
    assert all(parameter.sum().item() in theirs for parameter in backbone.parameters())


def test_weights_of_the_original_swin_release_are_renamed(tmp_path):
    source = TimmBackbone(**TINY_SWIN)
    state = timm.create_model(TINY_SWIN['model_name'], **TINY_SWIN['model_args']).state_dict()
    state |= {
        name.replace('layers_', 'layers.'): value for name, value in source.net.state_dict().items()
    }
    for stage in (1, 2, 3):  # the release counts a merging to the stage before it
        for name in [name for name in state if name.startswith(f'layers.{stage}.downsample.')]:
            state[name.replace(f'.{stage}.', f'.{stage - 1}.', 1)] = state.pop(name)
    torch.save(dict(model=state), tmp_path / 'swin.pth')
    loaded = TimmBackbone(**TINY_SWIN, checkpoint=str(tmp_path / 'swin.pth'))
    assert all(
        torch.equal(a, b) for a, b in zip(source.parameters(), loaded.parameters(), strict=True)
    )


def test_files_that_are_no_weights_are_refused_in_words(tmp_path):
    (tmp_path / 'text.pth').write_text('hello')
    (tmp_path / 'text.safetensors').write_text('hello')
    torch.save(dict(state_dict={}, runner=pytest.Config), tmp_path / 'objects.pth')
    torch.save([1], tmp_path / 'list.pth')
    for name in ('text.pth', 'text.safetensors', 'objects.pth'):
        with pytest.raises(ValueError, match=f'{name} is no file of plain weights'):
            TimmBackbone('resnet10t', checkpoint=str(tmp_path / name))
    with pytest.raises(ValueError, match='holds a list'):
        TimmBackbone('resnet10t', checkpoint=str(tmp_path / 'list.pth'))


def test_a_vit_takes_sizes_that_are_no_multiple_of_its_patch():
    tiny = dict(embed_dim=24, num_heads=2)
    feats = TimmBackbone('vit_tiny_patch16_224', model_args=dict(dynamic_img_size=True, **tiny))(
        torch.randn(1, 3, 33, 48)
    )
    assert [tuple(feat.shape) for feat in feats] == [(1, 24, 3, 3)] * 3
    with pytest.raises(ValueError, match=r'33x48 does not fit .* dynamic_img_size'):
        TimmBackbone('vit_tiny_patch16_224', model_args=tiny)(torch.randn(1, 3, 33, 48))


def test_a_copy_of_swin_runs_its_own_blocks_and_trains_after_inference():
    torch.manual_seed(0)
    backbone = TimmBackbone(**TINY_SWIN).eval()
    image = torch.randn(1, 3, 61, 77)
    with torch.inference_mode():
        before = backbone(image)  # masks are cached here, as tensors without gradient
    copied = copy.deepcopy(backbone)  # as the moving average of the weights does
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.zero_()
    assert all(torch.allclose(a, b) for a, b in zip(before, copied(image), strict=True))
    sum(feat.sum() for feat in copied(image)).backward()
    assert all(parameter.grad is not None for parameter in copied.parameters())


def test_the_last_convolution_is_timms_own(tmp_path):
    full = timm.create_model('tf_efficientnet_lite0').eval()
    torch.save(full.state_dict(), tmp_path / 'full.pth')
    backbone = TimmBackbone(
        'tf_efficientnet_lite0', last_conv=True, checkpoint=str(tmp_path / 'full.pth')
    ).eval()
    assert backbone.out_channels[-1] == full.num_features == 1280
    recorded = {}
    full.conv_head.register_forward_hook(
        lambda _, inputs, output: recorded.update(conv_head=output)
    )
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        full(image)
        feats = backbone(image)
    assert torch.equal(feats[-1], recorded['conv_head'])
    assert [feat.shape[1] for feat in feats] == backbone.out_channels


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(model_name='resnet10t'), 'it has no conv_head'),
        (
            dict(model_name='tf_efficientnet_lite0', out_indices=(0, 1)),
            'the coarsest level has 24 channels',
        ),
    ],
)
def test_a_network_without_a_last_convolution_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        TimmBackbone(**arguments, last_conv=True)
