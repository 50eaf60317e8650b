"""NeWCRFs against a second implementation, written from the method's description on the published names.

Windows, shifts and masks are not cut and rolled there: every pixel of a padded map attends to every
other one, and a potential says who is in whose window. The Swin backbone has its own recorded case
(see test_depthformer.py).
"""

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.registry import PARAM_SCHEDULERS
from tests.parity.recorded import draw_noise

from .cases import load_case, model_shapes, published_state, relative_error, shipped_config

NAME = 'newcrfs_swinl_22k_w7_nyu'
CONFIGS = ['newcrfs_swinl_22k_w7_nyu', 'newcrfs_swinl_22k_w7_kitti']
WINDOW = 7


def pool(s, x):
    """Pyramid pooling of the coarsest level (N, C, h, w)."""
    outputs = [x]
    for index, scale in enumerate((1, 2, 3, 6)):
        name = f'neck.psp_modules.{index}.1'
        y = F.conv2d(F.adaptive_avg_pool2d(x, scale), s[f'{name}.conv.weight'])
        pairs = y.reshape(len(y), y.shape[1] // 2, -1)  # groups of two channels
        normed = (pairs - pairs.mean(2, keepdim=True)) / (
            pairs.var(2, unbiased=False, keepdim=True) + 1e-5
        ).sqrt()
        y = (
            normed.view_as(y) * s[f'{name}.gn.weight'][:, None, None]
            + s[f'{name}.gn.bias'][:, None, None]
        )
        outputs.append(
            F.interpolate(F.relu(y), size=x.shape[2:], mode='bilinear', align_corners=False)
        )
    return F.relu(
        F.conv2d(
            torch.cat(outputs, 1),
            s['neck.bottleneck.conv.weight'],
            s['neck.bottleneck.conv.bias'],
            padding=1,
        )
    )


def potentials(rows, columns, shift):
    """For pairs of pixels of a padded map: the row of the bias table, and what is added (-inf: other window)."""
    indices = []
    for length in (rows, columns):
        moved = (torch.arange(length) - shift) % length
        indices.append((moved // WINDOW, moved % WINDOW, torch.arange(length) < shift))
    grid = [
        torch.meshgrid(of_row, of_column, indexing='ij')
        for of_row, of_column in zip(indices[0], indices[1], strict=True)
    ]
    (window_y, window_x), (y, x), (wrapped_y, wrapped_x) = [
        (a.flatten(), b.flatten()) for a, b in grid
    ]
    index = (y[:, None] - y + WINDOW - 1) * (2 * WINDOW - 1) + x[:, None] - x + WINDOW - 1
    apart = (window_y[:, None] != window_y) | (window_x[:, None] != window_x)
    strangers = (wrapped_y[:, None] != wrapped_y) | (wrapped_x[:, None] != wrapped_x)
    added = torch.zeros(index.shape).masked_fill(strangers, -100.0).masked_fill(apart, -torch.inf)
    return torch.where(apart, 0, index), added


def block(w, x, value, num_heads, shift):
    """One block on ``x`` and ``value`` (h, w, C) of a single image."""
    height, width, dim = x.shape
    rows, columns = -(-height // WINDOW) * WINDOW, -(-width // WINDOW) * WINDOW
    whole = torch.zeros(2, rows, columns, dim)
    whole[0, :height, :width] = F.layer_norm(x, (dim,), w['norm1.weight'], w['norm1.bias'], 1e-5)
    whole[1, :height, :width] = value
    feat, value = whole.flatten(1, 2)
    query, key = F.linear(feat, w['attn.qk.weight'], w['attn.qk.bias']).chunk(2, dim=1)
    index, added = potentials(rows, columns, shift)
    messages = []
    for head, channels in enumerate(torch.arange(dim).chunk(num_heads)):
        scores = query[:, channels] @ key[:, channels].T / len(channels) ** 0.5
        scores = scores + w['attn.relative_position_bias_table'][index, head] + added
        messages.append(scores.softmax(1) @ value[:, channels])
    message = F.linear(torch.cat(messages, 1), w['attn.proj.weight'], w['attn.proj.bias'])
    x = x + message.view(rows, columns, dim)[:height, :width]
    y = F.layer_norm(x, (dim,), w['norm2.weight'], w['norm2.bias'], 1e-5)
    y = F.gelu(F.linear(y, w['mlp.fc1.weight'], w['mlp.fc1.bias']))
    return x + F.linear(y, w['mlp.fc2.weight'], w['mlp.fc2.bias'])


def straight_line(s, levels, size, max_depth=10.0):
    """Return depth (1, 1, H, W) from a published state dict ``s`` and the backbone's levels of one image."""
    value = pool(s, levels[3])
    for index in (3, 2, 1, 0):
        h = f'decode_head.crf{index}.'
        x = F.conv2d(levels[index], s[f'{h}proj_x.weight'], s[f'{h}proj_x.bias'], padding=1)
        value = value[:, :, : x.shape[2], : x.shape[3]]  # odd levels
        value = F.conv2d(value, s[f'{h}proj_v.weight'], s[f'{h}proj_v.bias'], padding=1)
        x, value = x[0].permute(1, 2, 0), value[0].permute(1, 2, 0)
        for number in (0, 1):
            prefix = f'{h}crf_layer.blocks.{number}.'
            w = {
                name.removeprefix(prefix): weight
                for name, weight in s.items()
                if name.startswith(prefix)
            }
            x = block(w, x, value, 4 * 2**index, shift=3 * number)
        x = F.layer_norm(x, x.shape[2:], s[f'{h}norm_crf.weight'], s[f'{h}norm_crf.bias'], 1e-5)
        value = x.permute(2, 0, 1).unsqueeze(0)
        if index:  # four channels become a 2x2 cell
            _, channels, height, width = value.shape
            cells = value.reshape(1, channels // 4, 2, 2, height, width).permute(0, 1, 4, 2, 5, 3)
            value = cells.reshape(1, channels // 4, 2 * height, 2 * width)
    depth = F.conv2d(
        value, s['decode_head.conv_depth.weight'], s['decode_head.conv_depth.bias'], padding=1
    )
    depth = (F.relu(depth) + 1e-3).clamp(1e-3, max_depth)
    return F.interpolate(depth, size=size, mode='bilinear', align_corners=False)


def small_case():
    """The published case with an eighth of the channels; names, blocks, heads and the window stay."""
    case = load_case(NAME)
    shapes = {
        name: [length // 8 if length >= 64 and length != 169 else length for length in shape]
        for name, shape in case['state_dict'].items()
    }
    return case | dict(state_dict=shapes)


def small_model():
    cfg = shipped_config(f'newcrfs/{NAME}.py')
    channels = [24, 48, 96, 192]
    cfg.merge_from_dict(
        {
            'model.backbone.model_args.embed_dim': 24,
            'model.neck': dict(in_channels=channels, channels=64, num_groups=32),
            'model.decode_head': dict(in_channels=[*channels, 64], crf_dims=[16, 32, 64, 128]),
        }
    )
    return build_without_weights(cfg).eval()


@pytest.mark.parametrize('size', [(64, 96), (61, 117), (100, 33)])
def test_a_second_implementation_gives_the_same_depth(size):
    state = published_state(small_case())
    model = small_model()
    model.load_state_dict(convert_official('newcrfs', dict(state)))
    images = torch.from_numpy(draw_noise((2, 3, *size), seed=3))
    with torch.inference_mode():
        actual = model(images, mode='tensor').numpy()
        levels = model.backbone(images)
        expected = [
            straight_line(state, [level[i : i + 1] for level in levels], size) for i in range(2)
        ]
    expected = torch.cat(expected).numpy()
    assert actual.shape == (2, 1, *size)
    assert expected.std() > 0.01
    assert relative_error(actual, expected) < 1e-6


@pytest.mark.parametrize('config', CONFIGS)
def test_published_names_fill_the_shipped_model(config):
    case = load_case(NAME)
    with torch.device('meta'):
        published = {name: torch.empty(shape) for name, shape in case['state_dict'].items()}
        published |= {name: torch.empty(WINDOW**2, WINDOW**2) for name in case['derived_buffers']}
        model = build_without_weights(shipped_config(f'newcrfs/{config}.py'))
    converted = convert_official('newcrfs', published)
    assert compare(converted, model_shapes(shipped_config(f'newcrfs/{config}.py'))) == ''
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']


def test_the_published_parameters_are_free_of_decay():
    keys = ('absolute_pos_embed', 'relative_position_bias_table', 'norm')  # of the published config
    published = [any(key in name for key in keys) for name in load_case(NAME)['state_dict']]
    cfg = shipped_config(f'newcrfs/{NAME}.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    assert len(groups) == len(published) == 477
    assert sum(group['weight_decay'] == 0 for group in groups) == sum(published) == 184


def test_the_shipped_recipe_follows_the_published_rate():
    cfg = shipped_config(f'newcrfs/{NAME}.py')
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    scheduler = PARAM_SCHEDULERS.build(dict(cfg.param_scheduler, optimizer=wrapper))
    # The same policy was recorded for DepthFormer on Swin-T, whose rate is 6e-5.
    recorded = load_case('schedules')['cases']['depthformer_swint_w7_nyu']
    group = wrapper.optimizer.param_groups[0]
    for iteration, (rate, betas) in sorted((int(key), value) for key, value in recorded.items()):
        scheduler.last_step = iteration - 1
        scheduler._global_step = 1  # past the check of the very first steps
        scheduler.step()
        assert group['lr'] == pytest.approx(rate * 1e-4 / 6e-5, rel=1e-6), iteration
        assert group['betas'] == pytest.approx(betas)


def test_the_loss_is_ten_times_the_published_one():
    for config in CONFIGS:
        assert (
            shipped_config(f'newcrfs/{config}.py').model.decode_head.loss_decode.loss_weight == 10
        )
