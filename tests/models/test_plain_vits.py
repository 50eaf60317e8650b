"""ViTBackbone on small variants of every family of plain vision transformers."""

import pytest
import torch
import torch.nn.functional as F

from depth.models.backbones import ViTBackbone

SMALL = dict(embed_dim=24, num_heads=2, depth=3)
FAMILIES = {
    'vit_small_patch14_dinov2': dict(img_size=56),
    'vit_small_patch14_reg4_dinov2': dict(img_size=56),
    'vit_small_patch16_dinov3': {},
    'vit_small_patch16_dinov3_qkvb': {},
    'beit_base_patch16_224': dict(img_size=64),
    'vit_tiny_patch16_224': dict(img_size=64),
}


def small_backbone(model_name, **options):
    torch.manual_seed(0)
    arguments = SMALL | FAMILIES.get(model_name, {})
    return ViTBackbone(model_name, model_args=arguments, **options).eval()


@pytest.mark.parametrize('model_name', FAMILIES)
@pytest.mark.parametrize('grid', [(4, 4), (3, 7)])
def test_any_multiple_of_the_patch_gives_maps_and_prefix_tokens(model_name, grid):
    final_norm = not model_name.startswith('beit')
    backbone = small_backbone(
        model_name, out_indices=(0, 2), prefix_tokens=True, final_norm=final_norm
    )
    patch = backbone.patch_size[0]
    image = torch.randn(2, 3, grid[0] * patch, grid[1] * patch)
    pairs = backbone(image)
    assert backbone.out_channels == [24, 24] and backbone.out_strides == [patch, patch]
    for feat, prefix in pairs:
        assert feat.shape == (2, 24, *grid)
        assert prefix.shape == (2, backbone.net.num_prefix_tokens, 24)
        if final_norm:  # scale 1 and shift 0 at the start: every token has mean 0 and variance 1
            torch.testing.assert_close(feat.mean(1), torch.zeros(2, *grid), atol=1e-5, rtol=0)
    # One patch less is padded, not refused.
    assert backbone(image[..., :-1])[0][0].shape == (2, 24, *grid)


@pytest.mark.parametrize('model_name', ['vit_small_patch14_dinov2', 'vit_small_patch16_dinov3'])
def test_the_last_norm_and_only_it_lies_between_the_two_kinds_of_maps(model_name):
    normed = small_backbone(model_name, out_indices=(0, 2), final_norm_eps=1e-3)
    raw = small_backbone(model_name, out_indices=(0, 2), final_norm=False)
    with torch.no_grad():
        normed.net.norm.weight.normal_()
    state = normed.state_dict()
    raw.load_state_dict({name: state[name] for name in raw.state_dict()})
    image = torch.randn(1, 3, 4 * raw.patch_size[0], 5 * raw.patch_size[0])
    for feat, before in zip(normed(image), raw(image), strict=True):
        by_hand = F.layer_norm(
            before.permute(0, 2, 3, 1), (24,), normed.net.norm.weight, normed.net.norm.bias, 1e-3
        )
        torch.testing.assert_close(feat, by_hand.permute(0, 3, 1, 2))


def test_offset_rule_samples_at_the_published_places():
    backbone = small_backbone('vit_small_patch14_dinov2', out_indices=(0,), pos_embed='offset')
    columns = torch.arange(4.0).expand(4, 4).reshape(1, 16, 1)
    with torch.no_grad():
        backbone.net.pos_embed.zero_()
        backbone.net.pos_embed[:, 1:] = columns
        backbone.net.cls_token.zero_()
    grid = torch.zeros(1, 40, 40, 24)
    tokens = backbone.net._pos_embed(grid)[0, 1:, 0].view(40, 40)
    plain = small_backbone('vit_small_patch14_dinov2', out_indices=(0,), pos_embed='plain')
    plain.load_state_dict(backbone.state_dict())
    unshifted = plain.net._pos_embed(grid)[0, 1:, 0].view(40, 40)
    for column in range(16, 24):  # four source columns each: no border
        for row, length in ((tokens[20], 40.1), (unshifted[20], 40)):
            expected = cubic_at((column + 0.5) * 4 / length - 0.5, [0.0, 1.0, 2.0, 3.0])
            assert row[column].item() == pytest.approx(expected, abs=1e-5)


def cubic_at(position, values):
    """Return the cubic convolution (a = -0.75) of four values at a position between 1 and 2."""
    a = -0.75
    total = 0.0
    for index, value in enumerate(values):
        t = abs(position - index)
        if t <= 1:
            total += value * ((a + 2) * t**3 - (a + 3) * t**2 + 1)
        else:
            total += value * a * (t**3 - 5 * t**2 + 8 * t - 4)
    return total


def test_rules_agree_with_timm_on_the_grid_of_the_pre_training():
    image = torch.randn(1, 3, 56, 56)
    feats = []
    for rule in ('antialias', 'plain', 'offset'):
        backbone = small_backbone('vit_small_patch14_dinov2', out_indices=(2,), pos_embed=rule)
        feats.append(backbone(image)[0])
    torch.testing.assert_close(feats[1], feats[0])
    torch.testing.assert_close(feats[2], feats[0])


def test_beit_on_its_own_grid_is_timms_and_elsewhere_its_bias_is_resized():
    import timm

    backbone = small_backbone(
        'beit_base_patch16_224', out_indices=(1, 2), final_norm=False, prefix_tokens=True
    )
    net = timm.create_model('beit_base_patch16_224', img_size=64, num_classes=0, **SMALL).eval()
    with torch.no_grad():
        for block in backbone.net.blocks:
            block.attn.relative_position_bias_table.normal_()
    net.load_state_dict(backbone.net.state_dict(), strict=False)
    image = torch.randn(1, 3, 64, 64)
    theirs = net.forward_intermediates(
        image, indices=[1, 2], return_prefix_tokens=True, intermediates_only=True
    )
    for (feat, prefix), (feat_timm, prefix_timm) in zip(backbone(image), theirs, strict=True):
        torch.testing.assert_close(feat, feat_timm)
        torch.testing.assert_close(prefix, prefix_timm)


def test_beit_bias_of_a_pair_depends_on_its_offset_alone():
    from timm.models.beit import gen_relative_position_index

    from depth.models.backbones.beit_dense import relative_position_bias

    attention = (
        small_backbone('beit_base_patch16_224', out_indices=(0,), final_norm=False)
        .net.blocks[0]
        .attn
    )
    rows = torch.arange(-3.0, 4.0)  # offsets of a grid of 4x4 patches
    with torch.no_grad():
        table = torch.zeros_like(attention.relative_position_bias_table)
        table[:49, 0] = rows.repeat_interleave(7)
        table[:49, 1] = rows.repeat(7)
        table[49:] = torch.tensor([[50.0], [60.0], [70.0]])
        attention.relative_position_bias_table.copy_(table)
    grid = (4, 7)
    entries = gen_relative_position_index(grid).flatten()
    bias = relative_position_bias(attention, grid, entries)[0]
    assert bias.shape == (2, 29, 29)
    assert (bias[:, 0, 0] == 70).all() and (bias[:, 0, 1:] == 50).all()
    assert (bias[:, 1:, 0] == 60).all()
    y, x = torch.meshgrid(torch.arange(4), torch.arange(7), indexing='ij')
    dy = (y.flatten()[:, None] - y.flatten()).float()  # query minus key
    dx = (x.flatten()[:, None] - x.flatten()).float()
    torch.testing.assert_close(bias[0, 1:, 1:], dy)
    # 7 entries to 13, half-pixel centres: a step of 7 / 13, clamped at the border.
    torch.testing.assert_close(bias[1, 1:, 1:], (dx * 7 / 13).clamp(-3, 3))


def test_checkpointed_blocks_have_the_same_gradients():
    for model_name in ('vit_small_patch14_dinov2', 'beit_base_patch16_224'):
        gradients = []
        for recompute in (False, True):
            backbone = small_backbone(
                model_name, out_indices=(2,), final_norm=False, grad_checkpointing=recompute
            ).train()
            torch.manual_seed(1)
            image = torch.randn(1, 3, 64, 80)
            backbone(image)[0].square().sum().backward()
            gradients.append(backbone.net.patch_embed.proj.weight.grad)
        torch.testing.assert_close(gradients[0], gradients[1])


def test_order_and_repetition_of_blocks_are_kept_and_later_blocks_removed():
    backbone = small_backbone('vit_small_patch16_dinov3', out_indices=(1, 1, 0))
    first, second, third = backbone(torch.randn(1, 3, 32, 48))
    assert torch.equal(first, second) and not torch.equal(first, third)
    assert not [name for name in backbone.state_dict() if 'blocks.2.' in name or 'head' in name]


def test_original_files_of_dinov2_with_registers_are_read(tmp_path):
    backbone = small_backbone('vit_small_patch14_reg4_dinov2', out_indices=(2,))
    published = dict(backbone.net.state_dict())
    published['register_tokens'] = published.pop('reg_token')
    published['mask_token'] = torch.zeros(1, 24)
    class_position = torch.randn(1, 1, 24)
    published['pos_embed'] = torch.cat([class_position, published['pos_embed']], dim=1)
    published['cls_token'] = published['cls_token'] - class_position
    torch.save(published, tmp_path / 'dinov2.pth')
    loaded = ViTBackbone(
        'vit_small_patch14_reg4_dinov2',
        out_indices=(2,),
        checkpoint=str(tmp_path / 'dinov2.pth'),
        model_args=SMALL | dict(img_size=56),
    ).eval()
    image = torch.randn(1, 3, 28, 42)
    torch.testing.assert_close(loaded(image)[0], backbone(image)[0])
    del published['norm.bias']
    torch.save(published, tmp_path / 'cut.pth')
    with pytest.raises(ValueError, match=r"1 names missing \['norm.bias'\]"):
        small_backbone(
            'vit_small_patch14_reg4_dinov2', out_indices=(2,), checkpoint=str(tmp_path / 'cut.pth')
        )


@pytest.mark.parametrize(
    ('model_name', 'options', 'message'),
    [
        ('resnet18', {}, 'no plain vision transformer'),
        ('vit_smal_patch14_dinov2', {}, 'did you mean vit_small_patch14_dinov2'),
        ('vit_small_patch14_dinov2', dict(out_indices=(12,)), '0 to 2, got'),
        ('vit_small_patch14_dinov2', dict(pos_embed='cubic'), 'antialias, plain, offset'),
        ('vit_small_patch16_dinov3', dict(pos_embed='offset'), 'does not have'),
        ('beit_base_patch16_224', {}, 'set final_norm=False'),
        ('vit_small_patch14_dinov2', dict(checkpoint='x.pth', pretrained=True), 'not both'),
        ('vit_small_patch14_dinov2', dict(checkpoint='x.pth'), 'x.pth does not exist'),
    ],
)
def test_impossible_options_are_refused_in_words(model_name, options, message):
    arguments = {} if model_name == 'resnet18' else SMALL
    with pytest.raises(ValueError, match=message):
        ViTBackbone(model_name, **(dict(out_indices=(0,), model_args=arguments) | options))
