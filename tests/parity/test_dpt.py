"""DPT against a second implementation: plain functions on the published names, written from a description."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.registry import PARAM_SCHEDULERS
from tests.parity.recorded import draw_noise

from .cases import (
    image,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    shipped_config,
)

NAME = 'dpt_vit_b16_nyu'
CONFIGS = ['dpt_vit-b16_nyu', 'dpt_vit-b16_kitti', 'dpt_vit-b16_nyu_lrmult']


def straight_line(s, images, num_heads=12, max_depth=10.0):
    """Return depth (N, 1, H, W) from a published state dict ``s``."""
    x = F.pad(images, (0, -images.shape[3] % 16, 0, -images.shape[2] % 16))
    x = F.conv2d(
        x,
        s['backbone.patch_embed.projection.weight'],
        s['backbone.patch_embed.projection.bias'],
        stride=16,
    )
    count, dim, rows, columns = x.shape
    grid = s['backbone.pos_embed'][0, 1:].T.reshape(1, dim, 14, 14)
    if (rows, columns) != (14, 14):
        grid = F.interpolate(grid, size=(rows, columns), mode='bicubic', align_corners=False)
    first = (s['backbone.cls_token'] + s['backbone.pos_embed'][:, :1]).expand(count, 1, dim)
    # (L, N, E)
    x = torch.cat([first, (x + grid).flatten(2).transpose(1, 2)], dim=1).transpose(0, 1)
    levels = []
    for index in range(12):
        w = {
            name.split(f'layers.{index}.', 1)[1]: v
            for name, v in s.items()
            if f'backbone.layers.{index}.' in name
        }
        y = F.layer_norm(x, (dim,), w['ln1.weight'], w['ln1.bias'], 1e-5)
        attention = F.multi_head_attention_forward(
            y, y, y, dim, num_heads, w['attn.attn.in_proj_weight'], w['attn.attn.in_proj_bias'], None, None, False, 0.0,
            w['attn.attn.out_proj.weight'], w['attn.attn.out_proj.bias'], training=False, need_weights=False,
        )  # fmt: skip
        x = x + attention[0]
        y = F.layer_norm(x, (dim,), w['ln2.weight'], w['ln2.bias'], 1e-5)
        y = F.gelu(F.linear(y, w['ffn.layers.0.0.weight'], w['ffn.layers.0.0.bias']))
        x = x + F.linear(y, w['ffn.layers.1.weight'], w['ffn.layers.1.bias'])
        if index in (2, 5, 8, 11):
            levels.append(torch.cat([x[1:], x[:1].expand(len(x) - 1, -1, -1)], dim=2))
    h = {
        name.removeprefix('decode_head.'): value
        for name, value in s.items()
        if name.startswith('decode_head.')
    }
    maps = []
    for index, tokens in enumerate(levels):
        prefix = 'reassemble_blocks.'
        y = f'{prefix}readout_projects.{index}.0.'
        y = F.gelu(F.linear(tokens, h[y + 'weight'], h[y + 'bias']))
        y = y.permute(1, 2, 0).reshape(count, dim, rows, columns)
        name = f'{prefix}projects.{index}.conv.'
        y = F.conv2d(y, h[name + 'weight'], h[name + 'bias'])
        name = f'{prefix}resize_layers.{index}.'
        if index < 2:
            y = F.conv_transpose2d(y, h[name + 'weight'], h[name + 'bias'], stride=(4, 2)[index])
        elif index == 3:
            y = F.conv2d(y, h[name + 'weight'], h[name + 'bias'], stride=2, padding=1)
        maps.append(F.conv2d(y, h[f'convs.{index}.conv.weight'], padding=1))

    def unit(name, y):
        z = F.conv2d(F.relu(y), h[f'{name}.conv1.conv.weight'], padding=1)
        return y + F.conv2d(F.relu(z), h[f'{name}.conv2.conv.weight'], padding=1)

    def twice(y):
        return F.interpolate(y, scale_factor=2, mode='bilinear', align_corners=True)

    out = None
    for index, skip in enumerate(reversed(maps)):
        name = f'fusion_blocks.{index}'
        if out is None:
            out = skip
        else:
            skip = F.interpolate(skip, size=out.shape[2:], mode='bilinear', align_corners=False)
            out = out + unit(f'{name}.res_conv_unit1', skip)
        out = twice(unit(f'{name}.res_conv_unit2', out))
        out = F.conv2d(out, h[f'{name}.project.conv.weight'], h[f'{name}.project.conv.bias'])
    out = F.relu(F.conv2d(out, h['project.conv.weight'], h['project.conv.bias'], padding=1))
    last = 'conv_depth.head.'
    out = twice(F.conv2d(out, h[last + '0.weight'], h[last + '0.bias'], padding=1))
    out = F.relu(F.conv2d(out, h[last + '2.weight'], h[last + '2.bias'], padding=1))
    out = F.relu(F.conv2d(out, h[last + '4.weight'], h[last + '4.bias'])) + 1e-3
    return F.interpolate(
        out.clamp(1e-3, max_depth), size=images.shape[2:], mode='bilinear', align_corners=False
    )


def small_case():
    """The published case with a sixteenth of the channels; names, blocks, heads and the position grid stay."""
    case = load_case(NAME)
    shapes = {
        name: [length // 16 if length >= 96 and length != 197 else length for length in shape]
        for name, shape in case['state_dict'].items()
    }
    return case | dict(state_dict=shapes)


def small_model():
    cfg = shipped_config('dpt/dpt_vit-b16_nyu.py')
    cfg.merge_from_dict(
        {
            'model.backbone.model_args': dict(embed_dim=48),
            'model.decode_head.in_channels': [48] * 4,
            'model.decode_head.post_process_channels': [6, 12, 24, 48],
            'model.decode_head.channels': 16,
        }
    )
    return build_without_weights(cfg).eval()


@pytest.mark.parametrize('size', [(64, 96), (61, 77), (112, 448), (224, 224), (16, 176)])
def test_a_second_implementation_gives_the_same_depth(size):
    state = published_state(small_case())
    model = small_model()
    model.load_state_dict(convert_official('dpt', dict(state)))
    images = torch.from_numpy(draw_noise((2, 3, *size), seed=3))
    with torch.inference_mode():
        actual, expected = (
            model(images, mode='tensor').numpy(),
            straight_line(state, images).numpy(),
        )
    assert actual.shape == (2, 1, *size)
    assert expected.std() > 0.01
    assert relative_error(actual, expected) < 1e-6


@pytest.mark.slow
def test_the_full_network_agrees_with_the_second_implementation():
    case = load_case(NAME)
    state = published_state(case)
    model = build_without_weights(shipped_config('dpt/dpt_vit-b16_nyu.py')).eval()
    model.load_state_dict(convert_official('dpt', dict(state)))
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']
    with torch.inference_mode():
        actual, expected = (
            model(image(case), mode='tensor').numpy(),
            straight_line(state, image(case)).numpy(),
        )
    assert actual.shape == tuple(case['depth_shape'])
    assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize('config', CONFIGS)
def test_published_names_fill_the_shipped_model(config):
    with torch.device('meta'):
        published = {
            name: torch.empty(shape) for name, shape in load_case(NAME)['state_dict'].items()
        }
    converted = convert_official('dpt', published)
    assert compare(converted, model_shapes(shipped_config(f'dpt/{config}.py'))) == ''


def test_an_entry_too_many_or_too_few_is_named():
    with torch.device('meta'):
        published = {
            name: torch.empty(shape) for name, shape in load_case(NAME)['state_dict'].items()
        }
    published.pop('backbone.layers.3.ln1.weight')
    converted = convert_official('dpt', published)
    problem = compare(converted, model_shapes(shipped_config('dpt/dpt_vit-b16_nyu.py')))
    assert problem == '1 missing: backbone.net.model.blocks.3.norm1.weight'
    with pytest.raises(ValueError, match='auxiliary_head'):
        convert_official('dpt', published | {'auxiliary_head.weight': torch.zeros(1)})


def optimizer_of(cfg):
    with torch.device('meta'):
        model = build_without_weights(cfg)
    return model, build_optim_wrapper(model, cfg.optim_wrapper)


def test_two_of_204_tensors_are_free_of_decay_as_published():
    model, wrapper = optimizer_of(shipped_config('dpt/dpt_vit-b16_nyu.py'))
    groups = wrapper.optimizer.param_groups
    assert len(list(model.parameters())) == sum(len(group['params']) for group in groups) == 204
    assert sum(group['weight_decay'] == 0 for group in groups) == 2
    assert {group['lr'] for group in groups} == {1e-4}


def test_the_variant_slows_the_backbone_and_frees_its_norms():
    cfg = shipped_config('dpt/dpt_vit-b16_nyu_lrmult.py')
    model, wrapper = optimizer_of(cfg)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {names[id(group['params'][0])]: group for group in wrapper.optimizer.param_groups}
    slow = {name for name, group in groups.items() if group['lr'] < 5e-5}
    assert slow == {name for name in groups if name.startswith('backbone.')}
    free = {name for name, group in groups.items() if group['weight_decay'] == 0}
    assert free == {
        name for name in slow if any(key in name for key in ('norm', 'pos_embed', 'cls_token'))
    }
    assert len(free) == 2 + 12 * 4
    schedule(cfg, wrapper)  # sets the rates of iteration 0
    for name, group in groups.items():
        assert group['lr'] == pytest.approx(4e-7 if name in slow else 4e-6), name


def schedule(cfg, wrapper):
    return [PARAM_SCHEDULERS.build(dict(item, optimizer=wrapper)) for item in cfg.param_scheduler]


def test_the_shipped_recipe_follows_the_published_rate_and_beta1():
    cfg = shipped_config('dpt/dpt_vit-b16_nyu.py')
    weight = torch.nn.Linear(1, 1)
    wrapper = build_optim_wrapper(weight, cfg.optim_wrapper)
    schedulers = schedule(cfg, wrapper)
    recorded = load_case('schedules')['cases']['dpt_nyu']
    for iteration, (rate, betas) in sorted((int(key), value) for key, value in recorded.items()):
        for scheduler in schedulers:
            scheduler.last_step = iteration - 1
            scheduler._global_step = 1  # past the check of the very first steps
            scheduler.step()
        for group in wrapper.optimizer.param_groups:
            assert group['lr'] == pytest.approx(rate, rel=1e-6), iteration
            assert group['betas'] == pytest.approx(betas, rel=1e-6), iteration
