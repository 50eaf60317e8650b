"""Learning rates that fall from layer to layer of the backbone."""

import pytest

from depth.engine.layer_decay import LayerDecayConstructor
from depth.registry import MODELS

MODEL = dict(
    type='DepthEstimator',
    backbone=dict(
        type='TimmBackbone',
        model_name='vit_tiny_patch16_224',
        out_indices=(0, 1, 2, 3),
        class_token=True,
        model_args=dict(embed_dim=24, depth=4, num_heads=2),
    ),
    decode_head=dict(
        type='DPTHead',
        in_channels=(24, 24, 24, 24),
        post_process_channels=(8, 8, 8, 8),
        channels=8,
    ),
)


def optimizer_of(backbone_options=(), **paramwise):
    model = MODELS.build(dict(MODEL, backbone=dict(MODEL['backbone'], **dict(backbone_options))))
    config = dict(type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
    return model, LayerDecayConstructor(config, paramwise)(model).optimizer


def options_of(model, optimizer):
    """Return (lr, weight_decay) by the name of the parameter."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    options = {}
    for group in optimizer.param_groups:
        for parameter in group['params']:
            assert names[parameter] not in options
            options[names[parameter]] = (group['lr'], group['weight_decay'])
    return options


def test_rates_fall_by_the_factor_from_the_head_to_the_stem():
    model, optimizer = optimizer_of(layer_decay=0.5)
    options = options_of(model, optimizer)
    assert set(options) == {name for name, _ in model.named_parameters()}
    assert options['decode_head.project.conv.weight'][0] == 1e-3
    for block, exponent in enumerate((4, 3, 2, 1)):
        rate, _ = options[f'backbone.net.model.blocks.{block}.mlp.fc1.weight']
        assert rate == pytest.approx(1e-3 * 0.5**exponent)
    for name in ('cls_token', 'pos_embed', 'patch_embed.proj.weight'):
        assert options[f'backbone.net.model.{name}'][0] == pytest.approx(1e-3 * 0.5**5)
    assert len(optimizer.param_groups) == 6  # the head, four blocks, the stem


def test_other_options_apply_as_well_and_equal_groups_are_one():
    custom = {'cls_token': dict(lr_mult=0.0)}
    model, optimizer = optimizer_of(layer_decay=0.5, flat_decay_mult=0.0, custom_keys=custom)
    options = options_of(model, optimizer)
    assert options['backbone.net.model.blocks.3.norm1.weight'] == (pytest.approx(5e-4), 0.0)
    assert options['backbone.net.model.blocks.3.attn.qkv.weight'] == (pytest.approx(5e-4), 0.05)
    assert options['backbone.net.model.cls_token'][0] == 0.0
    assert len(optimizer.param_groups) == 2 * 6 + 1
    settings = [
        tuple((key, value) for key, value in group.items() if key != 'params')
        for group in optimizer.param_groups
    ]
    assert len(set(map(repr, settings))) == len(settings)


def test_frozen_parameters_are_in_no_group_and_lora_gets_the_rate_of_its_layer():
    model, optimizer = optimizer_of(dict(lora=dict(rank=2, targets=['attn.qkv'])), layer_decay=0.5)
    options = options_of(model, optimizer)
    assert 'backbone.net.model.blocks.0.attn.qkv.weight' not in options
    assert options['backbone.net.model.blocks.0.attn.qkv.lora_up'][0] == pytest.approx(
        1e-3 * 0.5**4
    )
    model, optimizer = optimizer_of(dict(freeze=True), layer_decay=0.5)
    assert len(optimizer.param_groups) == 1
    assert all(name.startswith('decode_head') for name in options_of(model, optimizer))


@pytest.mark.parametrize('decay', [None, 0, 1.5, 'strong', True])
def test_a_factor_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match='layer_decay is a factor above 0'):
        optimizer_of(layer_decay=decay)
