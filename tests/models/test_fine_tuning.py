"""Freezing, LoRA and the order of layers, for transformers and convolutional backbones."""

import copy

import pytest
import torch
import torch.nn.functional as F
from timm.models.eva import EvaAttention
from torch import nn

from depth.engine.checkpoint import load_model_state
from depth.engine.config_check import check_config
from depth.engine.errors import ConfigError
from depth.models.backbones.fine_tuning import build_backbone, parameter_layers
from depth.models.layers.lora import add_lora, has_lora, merge_lora
from depth.registry import MODELS
from tests.shared import SEED

VIT = dict(
    type='TimmBackbone',
    model_name='vit_tiny_patch16_224',
    out_indices=(0, 1, 2, 3),
    model_args=dict(embed_dim=24, depth=4, num_heads=2, img_size=32),
)
SWIN = dict(
    type='TimmBackbone',
    model_name='swin_tiny_patch4_window7_224',
    out_norm='LN',
    model_args=dict(embed_dim=8, depths=(1, 1, 2, 1), num_heads=(1, 2, 2, 4), window_size=4),
)
RESNET = dict(type='TimmBackbone', model_name='resnet10t')
CONVNEXT = dict(
    type='TimmBackbone',
    model_name='convnext_atto',
    model_args=dict(depths=(1, 1, 2, 1), dims=(8, 16, 24, 32)),
)
DEPTHFORMER = dict(type='DepthFormerBackbone', stem_channels=8, backbone=SWIN)
BACKBONES = dict(vit=VIT, swin=SWIN, resnet=RESNET, convnext=CONVNEXT, depthformer=DEPTHFORMER)


def images(count=2):
    generator = torch.Generator().manual_seed(SEED)
    return torch.randn(count, 3, 32, 32, generator=generator)


def trained_names(module):
    return [name for name, parameter in module.named_parameters() if parameter.requires_grad]


def randomize_updates(module):
    """Give the updates of LoRA a size at which they change the features."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in module.named_parameters():
        if name.endswith('lora_up'):
            parameter.data.normal_(std=0.1, generator=generator)


def features(backbone):
    backbone.eval()
    with torch.no_grad():
        return torch.cat([feat.flatten() for feat in backbone(images())])


@pytest.mark.parametrize('name', BACKBONES)
def test_lora_starts_at_the_network_and_equals_it_once_merged(name):
    torch.manual_seed(SEED)
    plain = build_backbone(BACKBONES[name])
    before = features(plain)
    names = set(plain.state_dict())
    adapted = copy.deepcopy(plain)
    add_lora(adapted, rank=2, alpha=4)
    assert torch.equal(features(adapted), before)
    assert trained_names(adapted)
    assert all(name.endswith(('lora_down', 'lora_up')) for name in trained_names(adapted))
    randomize_updates(adapted)
    unmerged = features(adapted)
    assert (unmerged - before).norm() > 1e-3 * before.norm()
    merged = merge_lora(adapted, adapted.state_dict())
    assert set(merged) == names
    plain.load_state_dict(merged)
    assert (features(plain) - unmerged).norm() < 1e-6 * unmerged.norm()


def test_networks_that_read_the_weight_see_the_update():
    """timm's EVA (DINOv3) multiplies with ``qkv.weight`` and never calls ``qkv``."""
    attention = EvaAttention(16, num_heads=2, norm_layer=nn.LayerNorm).eval()
    tokens = torch.randn(1, 5, 16, generator=torch.Generator().manual_seed(0))
    plain = copy.deepcopy(attention)
    before = attention(tokens)
    add_lora(attention, rank=2, targets=['qkv'])
    assert torch.equal(attention(tokens), before)
    randomize_updates(attention)
    after = attention(tokens)
    assert (after - before).norm() > 1e-2 * before.norm()
    plain.load_state_dict(merge_lora(attention, attention.state_dict()))
    assert (plain(tokens) - after).norm() < 1e-6 * after.norm()
    after.sum().backward()
    assert attention.qkv.lora_up.grad.abs().sum() > 0


@pytest.mark.parametrize('groups', [1, 2])
def test_a_convolution_with_lora_is_one_with_the_sum_of_both_weights(groups):
    conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, padding_mode='reflect', groups=groups)
    network = nn.Sequential(conv)
    if groups == 2:
        with pytest.raises(ValueError, match='ungrouped convolution'):
            add_lora(network, rank=2)
        return
    add_lora(network, rank=2, alpha=3)
    randomize_updates(network)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    update = torch.einsum('or,rihw->oihw', conv.lora_up[:, :, 0, 0], conv.lora_down)
    weight = conv._parameters['weight'] + 1.5 * update
    padded = F.pad(x, (1, 1, 1, 1), mode='reflect')
    expected = F.conv2d(padded, weight, conv.bias, stride=2)
    assert torch.allclose(conv(x), expected, atol=1e-6)
    assert torch.allclose(conv.weight, weight)


def test_lora_trains_through_recomputed_blocks_as_without():
    """The images have no gradient and the first block's weights are frozen."""
    gradients = []
    for recompute in (False, True):
        torch.manual_seed(SEED)
        config = dict(VIT, grad_checkpointing=recompute, lora=dict(rank=2, targets=['attn']))
        backbone = build_backbone(config).train()
        randomize_updates(backbone)
        sum(feat.square().mean() for feat in backbone(images())).backward()
        gradients.append({n: p.grad for n, p in backbone.named_parameters() if p.requires_grad})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert gradient.abs().sum() > 0, name
        assert torch.allclose(gradient, gradients[1][name], rtol=1e-4, atol=1e-7), name


def test_a_file_without_lora_is_the_plain_network_again():
    """A merged best checkpoint, loaded into the model that trains, must not count twice."""
    backbone = build_backbone(dict(VIT, lora=dict(rank=2)))
    randomize_updates(backbone)
    unmerged = features(backbone)
    load_model_state(backbone, merge_lora(backbone, backbone.state_dict()), 'best.pth')
    assert (features(backbone) - unmerged).norm() < 1e-6 * unmerged.norm()


@pytest.mark.parametrize('name', BACKBONES)
@pytest.mark.parametrize('freeze', [True, 2, ['net']])
def test_frozen_layers_do_not_move_and_the_others_do(name, freeze):
    torch.manual_seed(SEED)
    config = dict(BACKBONES[name], freeze=freeze)
    if name == 'depthformer':  # of the transformer, not of the new convolutional stem
        config = dict(DEPTHFORMER, backbone=dict(SWIN, freeze=freeze))
    estimator = _estimator(config)
    before = copy.deepcopy(estimator.backbone.state_dict())
    estimator.train()
    optimizer = torch.optim.SGD(estimator.parameters(), lr=0.1, weight_decay=0.1)
    feats = estimator.extract_feat(images())
    sum(
        (feat.square().mean() for feat in feats), estimator.decode_head.conv_depth.weight.sum()
    ).backward()
    optimizer.step()
    after = estimator.backbone.state_dict()
    layers = parameter_layers(estimator.backbone)
    frozen = []
    for key in before:
        is_in_network = key.startswith('transformer.net.' if name == 'depthformer' else 'net.')
        is_whole = freeze is True and name != 'depthformer'
        if layers.get(key, 2) < 2 if freeze == 2 else is_in_network or is_whole:
            frozen.append(key)
    assert frozen
    assert all(torch.equal(after[key], before[key]) for key in frozen)
    trained = [key for key in before if key not in frozen]
    moved = [key for key in trained if not torch.equal(after[key], before[key])]
    assert bool(moved) == bool(trained)


def _estimator(backbone, **kwargs):
    probe = build_backbone(backbone)
    head = dict(
        type='DenseDepthHead', in_channels=probe.out_channels, channels=probe.out_channels[0]
    )
    return MODELS.build(dict(type='DepthEstimator', backbone=backbone, decode_head=head, **kwargs))


def test_a_frozen_backbone_runs_in_eval_mode_whatever_the_training_does():
    """Neither stochastic depth nor the statistics of BatchNorm may change frozen features."""
    dropped = dict(VIT, model_args=dict(VIT['model_args'], drop_path_rate=0.9))
    estimator = _estimator(dict(dropped, freeze=True))
    estimator.train()
    assert torch.equal(estimator.extract_feat(images())[-1], estimator.extract_feat(images())[-1])
    assert estimator.decode_head.training and estimator.training
    free = _estimator(dropped).train()
    assert not torch.equal(free.extract_feat(images())[-1], free.extract_feat(images())[-1])


def test_layers_are_numbered_from_the_stem_to_the_last_block():
    layers = parameter_layers(build_backbone(VIT))
    assert layers['net.model.patch_embed.proj.weight'] == layers['net.model.cls_token'] == 0
    assert [layers[f'net.model.blocks.{block}.attn.qkv.weight'] for block in range(4)] == [
        1,
        2,
        3,
        4,
    ]
    layers = parameter_layers(build_backbone(SWIN))
    assert layers['net.patch_embed.proj.weight'] == 0
    blocks = ['layers_0.blocks.0', 'layers_1.blocks.0', 'layers_2.blocks.0', 'layers_2.blocks.1']
    assert [layers[f'net.{block}.attn.qkv.weight'] for block in blocks] == [1, 2, 3, 4]
    assert 'out_norms.0.weight' not in layers  # new, not pretrained
    layers = parameter_layers(build_backbone(DEPTHFORMER))
    assert layers['transformer.net.layers_3.blocks.0.attn.qkv.weight'] == 5
    assert 'conv1.weight' not in layers


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(freeze=['block.7']), "'block.7' is found in the name of no parameter"),
        (dict(freeze=99), 'there are 5 layers'),
        (dict(freeze=-1), 'got -1'),
        (dict(freeze='attn'), 'got .attn'),
        (dict(lora=dict(rank=0)), 'lora.rank'),
        (dict(lora=dict(rank=2, alpha=-1)), 'lora.alpha'),
        (dict(lora=dict(targets=['qkv'])), 'rank=...'),
        (dict(lora=dict(rank=2, dropout=0.1)), 'rank=...'),
        (
            dict(lora=dict(rank=2, targets=['nothing'])),
            "'nothing' is found in the name of no linear",
        ),
        (dict(lora=dict(rank=2, targets=['('])), 'no regular expression'),
        (dict(lora=dict(rank=2), freeze=True), 'give freeze or lora'),
    ],
)
def test_impossible_options_are_refused_in_words(options, message):
    with pytest.raises(ValueError, match=message):
        build_backbone(dict(VIT, **options))


def test_a_backbone_whose_layers_have_no_order_says_what_to_do_instead():
    with pytest.raises(ValueError, match='freeze by patterns'):
        parameter_layers(nn.Sequential(nn.Linear(2, 2)))


def test_the_check_of_configs_knows_the_options_of_every_backbone():
    from mmengine.config import Config

    model = dict(
        type='DepthEstimator',
        backbone=dict(VIT, lora=dict(rank=2)),
        decode_head=dict(type='DPTHead'),
    )
    check_config(Config(dict(model=model)))
    model['decode_head']['lora'] = dict(rank=2)
    with pytest.raises(ConfigError, match="no argument 'lora'"):
        check_config(Config(dict(model=model)))


@pytest.mark.parametrize('lora', [None, dict(rank=2)])
def test_the_start_of_a_training_keeps_loaded_weights(lora):
    """mmengine's init_weights() calls that of a timm network which is a direct child."""
    config = dict(
        type='ViTBackbone',
        model_name='vit_small_patch14_dinov2',
        out_indices=(0, 1),
        model_args=dict(embed_dim=24, num_heads=2, depth=2, img_size=28),
    )
    estimator = _estimator(dict(config, lora=lora))
    before = copy.deepcopy(estimator.backbone.state_dict())
    estimator.init_weights()
    after = estimator.backbone.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert parameter_layers(estimator.backbone)['net.blocks.1.attn.proj.weight'] == 2


def test_has_lora():
    assert has_lora(build_backbone(dict(VIT, lora=dict(rank=1))))
    assert not has_lora(build_backbone(VIT))
