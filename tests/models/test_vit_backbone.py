import copy

import pytest
import torch
import torch.nn.functional as F

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.models.backbones import TimmBackbone
from depth.models.backbones.vit_dense import resize_position
from tests.shared import REPO

TINY = dict(model_name='vit_tiny_patch16_224', model_args=dict(embed_dim=24, num_heads=2, depth=3))
DENSE = dict(**TINY, pos_embed_antialias=False)


def test_blocks_give_maps_and_class_tokens():
    torch.manual_seed(0)
    backbone = TimmBackbone(**DENSE, out_indices=(0, 2), class_token=True).eval()
    maps_alone = TimmBackbone(**DENSE, out_indices=(0, 2)).eval()
    maps_alone.load_state_dict(backbone.state_dict())
    image = torch.randn(2, 3, 33, 48)
    pairs = backbone(image)
    assert [(tuple(feat.shape), tuple(token.shape)) for feat, token in pairs] == [
        ((2, 24, 3, 3), (2, 24))
    ] * 2
    assert all(
        torch.equal(pair[0], feat) for pair, feat in zip(pairs, maps_alone(image), strict=True)
    )
    whole = backbone.net.model  # by hand: tokens before the last norm, the class token first
    tokens = whole._pos_embed(whole.patch_embed(F.pad(image, (0, 0, 0, 15))))
    for block in whole.blocks:
        tokens = block(tokens)
    assert torch.allclose(pairs[-1][1], tokens[:, 0], atol=1e-6)
    assert torch.allclose(pairs[-1][0].flatten(2), tokens[:, 1:].transpose(1, 2), atol=1e-6)


def test_unused_blocks_and_norms_are_not_built():
    names = [name for name, _ in TimmBackbone(**DENSE, out_indices=(0, 1)).named_parameters()]
    assert not [
        name
        for name in names
        if 'blocks.2.' in name or name.startswith('net.model.norm.') or 'head' in name
    ]


def test_on_its_own_grid_the_position_embedding_is_timms():
    torch.manual_seed(0)
    plain = TimmBackbone(**DENSE).eval()
    timms = TimmBackbone(**TINY).eval()
    timms.load_state_dict(plain.state_dict())
    image = torch.randn(1, 3, 224, 224)
    for ours, theirs in zip(plain(image), timms(image), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_positions_are_resized_with_half_pixel_centres():
    columns = torch.arange(14.0).expand(14, 14)
    position = columns.reshape(1, 196, 1)
    assert resize_position(position, (14, 14), (14, 14)) is position
    wide = resize_position(position, (14, 14), (3, 42)).view(3, 42)
    # Where old and new centres meet.
    torch.testing.assert_close(wide[:, 1::3], torch.arange(14.0).expand(3, -1))
    narrow = resize_position(position, (14, 14), (1, 7)).flatten()
    # Half way between two columns, from four of them; antialiasing would take eight.
    torch.testing.assert_close(narrow[1:-1], torch.arange(2.5, 12, 2))


def test_register_tokens_and_separate_class_codes_keep_their_places():
    arguments = dict(embed_dim=24, num_heads=2, depth=3)
    for extra in (
        dict(reg_tokens=3, no_embed_class=True),
        dict(reg_tokens=3),
        dict(no_embed_class=True),
    ):
        torch.manual_seed(0)
        options = dict(model_name=TINY['model_name'], model_args=arguments | extra)
        plain = TimmBackbone(**options, pos_embed_antialias=False, class_token=True).eval()
        timms = TimmBackbone(**options, class_token=True).eval()
        timms.load_state_dict(plain.state_dict())
        image = torch.randn(1, 3, 224, 224)
        for ours, theirs in zip(plain(image), timms(image), strict=True):
            torch.testing.assert_close(ours, theirs)


def test_the_epsilon_of_the_network_is_set():
    norms = [
        m
        for m in TimmBackbone(**DENSE, net_norm_eps=1e-5).modules()
        if isinstance(m, torch.nn.LayerNorm)
    ]
    assert {norm.eps for norm in norms} == {1e-5}
    assert len(norms) == 6


def test_a_copy_has_its_own_position_embedding():
    torch.manual_seed(0)
    backbone = TimmBackbone(**DENSE).eval()
    image = torch.randn(1, 3, 32, 48)
    before, copied = backbone(image), copy.deepcopy(backbone)
    with torch.no_grad():
        backbone.net.model.pos_embed.fill_(9)
    assert all(torch.equal(a, b) for a, b in zip(before, copied(image), strict=True))


def test_options_for_transformers_are_refused_elsewhere():
    with pytest.raises(ValueError, match='class_token=True is for plain vision transformers'):
        TimmBackbone('resnet10t', class_token=True)
    with pytest.raises(
        ValueError, match='pos_embed_antialias=False is for plain vision transformers'
    ):
        TimmBackbone('swin_tiny_patch4_window7_224', pos_embed_antialias=False)
    with pytest.raises(ValueError, match='has no class token'):
        TimmBackbone(
            **TINY
            | dict(model_args=TINY['model_args'] | dict(class_token=False, global_pool='avg')),
            class_token=True,
        )
    with pytest.raises(ValueError, match='set class_token=False or out_norm=None'):
        TimmBackbone(**TINY, class_token=True, out_norm='LN')


def test_rotary_embeddings_are_kept_and_those_of_timm():
    config = load_config(REPO / 'configs/synthetic/dinov3_dpt_tiny_rooms.py')
    torch.manual_seed(0)
    model = build_without_weights(config).eval()
    images = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        depths = [model(images) for _ in range(2)]
        (rope,) = [module for module in model.modules() if hasattr(module, 'kept_embeddings')]
        assert len(rope.kept_embeddings) == 1
        copied = copy.deepcopy(model)(images)
        del rope._create_embed  # timm's own again
        expected = model(images)
    for depth in (*depths, copied):
        assert torch.equal(depth, expected)
    model = build_without_weights(config)
    with torch.inference_mode():
        model(images)
    model(images).sum().backward()  # what was kept in inference mode serves a training step
