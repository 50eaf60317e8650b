"""ZoeDepth against the recorded cases, a second implementation, and the published recipe."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper

from depth.engine.converters import convert_official
from depth.engine.converters.convert import (
    build_without_weights,
    compare,
    published_weights,
)
from depth.engine.published_weights import weights_for_model
from depth.models.estimators.zoedepth_estimator import network_size
from depth.models.layers.dpt_decoder import resize_corners
from depth.models.losses import SILogLoss
from depth.models.losses.relative_depth_loss import align_least_squares
from depth.structures import DepthDataSample
from tests.parity.recorded import draw_noise

from .cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    rates_of_the_recipe,
    relative_error,
    shipped_config,
    stage_errors,
)

VARIANTS = ('n', 'k', 'nk')
BEIT = 'core.core.pretrained.model.'


def published_shapes(variant):
    """Return names and shapes of the BEiT-B case of a variant; ZoeD-K has pairs of attractors."""
    shapes = load_case('zoedepth_nk_beitb' if variant == 'nk' else 'zoedepth_n_beitb')['state_dict']
    if variant != 'k':
        return dict(shapes)
    pairs = {}
    for name, shape in shapes.items():
        if name.startswith('attractors.') and '._net.2.' in name:
            shape = [2 * shape[0], *shape[1:]]
        pairs[name] = shape
    return pairs


def shapes_of_beitl(variant):
    """Return names and shapes of the released files: twice the blocks, wider."""
    widths = {768: 1024, 1536: 2048, 2304: 3072, 3072: 4096, 12: 16, 96: 256, 192: 512, 384: 1024}
    shapes = {}
    for name, shape in published_shapes(variant).items():
        if name.startswith(('core.core.pretrained.', 'core.core.scratch.layer')):
            # Kernels have 16 pixels at most; tables have 2212 rows.
            shape = [widths.get(length, length) for length in shape]
        shapes[name] = shape
        if name.startswith(f'{BEIT}blocks.'):
            block, rest = name.removeprefix(f'{BEIT}blocks.').split('.', 1)
            shapes[f'{BEIT}blocks.{int(block) + 12}.{rest}'] = shape
    return shapes


def on_meta(shapes):
    return {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}


@pytest.mark.parametrize('variant', VARIANTS)
@pytest.mark.parametrize('size', ['beitb', 'beitl'])
def test_published_names_fill_the_shipped_model(variant, size):
    shapes = published_shapes(variant) if size == 'beitb' else shapes_of_beitl(variant)
    converted = convert_official('zoedepth', on_meta(shapes))
    model = model_shapes(shipped_config(f'zoedepth/zoedepth_{variant}_{size}.py'))
    assert compare(converted, model) == ''


def test_files_of_other_versions_and_wrappers_are_taken_and_others_refused():
    shapes = published_shapes('n')
    state = on_meta(shapes)
    plain = convert_official('zoedepth', dict(state))
    # The released files were saved with timm 0.6, whose position indices are in the state dict.
    indices = {
        f'{BEIT}blocks.{block}.attn.relative_position_index': torch.zeros(577, 577, device='meta')
        for block in range(12)
    }
    wrapped = {
        'model': {f'module.{name}': value for name, value in (state | indices).items()},
        'optimizer': None,
        'epoch': 4,
    }
    assert set(convert_official('zoedepth', published_weights(wrapped))) == set(plain)
    with pytest.raises(ValueError, match=r'seed_bin_regressors\.nyu'):
        extra = {'seed_bin_regressors.nyu._net.4.weight': torch.zeros(1)}
        convert_official('zoedepth', state | extra)
    cut = {name: value for name, value in state.items() if 'refinenet2.out_conv' not in name}
    problem = compare(convert_official('zoedepth', cut), {k: v.shape for k, v in plain.items()})
    assert problem.startswith('2 missing: decode_head.decoder.fusion.blocks.2.project.weight')
    # ZoeD-K does not fill the model of ZoeD-N, although all names are equal.
    converted = convert_official('zoedepth', on_meta(published_shapes('k')))
    assert '8 differing' in compare(converted, {k: v.shape for k, v in plain.items()})


def test_a_file_of_midas_is_the_start_of_a_training():
    zoedepth_file = on_meta(published_shapes('n'))
    core = 'core.core.'
    midas_file = {
        name.removeprefix(core): value
        for name, value in zoedepth_file.items()
        if name.startswith(core)
    }
    model = model_shapes(shipped_config('zoedepth/zoedepth_n_beitb.py'))
    initial = {name: torch.empty(shape, device='meta') for name, shape in model.items()}
    options = shipped_config('zoedepth/zoedepth_n_beitb.py').load_published
    started = weights_for_model({'model': midas_file}, options, initial, 'dpt_beit.pt')
    assert compare(started, model) == ''
    taken = {name for name, value in started.items() if value is not initial[name]}
    assert taken == {
        name for name in model if name.startswith(('backbone.', 'decode_head.decoder.'))
    }
    # For predictions the whole file of ZoeDepth is taken, and one of MiDaS is not enough.
    whole = dict(options, parts=[])
    assert set(weights_for_model({'model': zoedepth_file}, whole, initial, 'zoe.pt')) == set(model)
    assert 'missing' in compare(weights_for_model(midas_file, whole, initial, 'x.pt'), model)


def network_input(case):
    """Return the normalised image at the network's size, as the published network makes it."""
    pixels = (0.5 + 0.2 * image(case)).clamp(0, 1)
    return (resize_corners(pixels, (384, 512)) - 0.5) / 0.5


@pytest.mark.slow
def test_published_outputs_are_reproduced():
    case, expected = load_case('zoedepth_n_beitb'), load_arrays('zoedepth_n_beitb')
    model = build_without_weights(shipped_config('zoedepth/zoedepth_n_beitb.py')).eval()
    model.load_state_dict(convert_official('zoedepth', published_state(case)))
    unused = 1000 * 769 + 2 * 768 + 2 * 256 * (9 * 256 + 1)  # classifier, its norm, one skip unit
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params'] - unused
    head, stages = model.decode_head, {}
    modules = dict(conv2=head.bottleneck_conv, seed_projector=head.projectors[0])
    modules['projectors/3'] = head.projectors[4]
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: stages.update({name: output})
        )
    head.register_forward_hook(
        lambda _, inputs, outputs: stages.update({'attractors/3': outputs['bin_centers']})
    )
    with torch.inference_mode():
        depth = model(network_input(case), mode='tensor').numpy()
    assert relative_error(depth, expected['metric_depth']) < 1e-4
    errors = stage_errors(stages, expected)
    assert max(errors.values()) < 1e-4, errors


# A second implementation, in plain functions on the published names.


def attention_bias(table, rows, columns):
    """Return the bias (heads, 1 + L, 1 + L) of a table for a 24x24 grid, entry by entry."""
    grid = table[:2209].T.reshape(1, -1, 47, 47)
    grid = F.interpolate(grid, size=(2 * rows - 1, 2 * columns - 1), mode='bilinear')[0]
    length = rows * columns
    bias = torch.empty(len(grid), length + 1, length + 1)
    y, x = torch.arange(length) // columns, torch.arange(length) % columns
    dy, dx = y[:, None] - y[None] + rows - 1, x[:, None] - x[None] + columns - 1
    bias[:, 1:, 1:] = grid[:, dy, dx]
    bias[:, 0, :] = table[2209][:, None]
    bias[:, :, 0] = table[2210][:, None]
    bias[:, 0, 0] = table[2211]
    return bias


def beit(s, images, num_heads):
    """Yield tokens (N, 1 + L, E) behind blocks 2, 5, 8 and 11."""
    x = F.conv2d(images, s['patch_embed.proj.weight'], s['patch_embed.proj.bias'], stride=16)
    count, dim, rows, columns = x.shape
    x = torch.cat([s['cls_token'].expand(count, 1, dim), x.flatten(2).transpose(1, 2)], dim=1)
    for index in range(12):
        w = {
            name.split('.', 2)[2]: v for name, v in s.items() if name.startswith(f'blocks.{index}.')
        }
        y = F.layer_norm(x, (dim,), w['norm1.weight'], w['norm1.bias'], 1e-6)
        bias = torch.cat([w['attn.q_bias'], torch.zeros(dim), w['attn.v_bias']])
        qkv = F.linear(y, w['attn.qkv.weight'], bias).reshape(
            count, -1, 3, num_heads, dim // num_heads
        )
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(2, 3) / math.sqrt(dim // num_heads)
        scores = scores + attention_bias(w['attn.relative_position_bias_table'], rows, columns)
        y = (scores.softmax(dim=3) @ v).transpose(1, 2).flatten(2)
        x = x + w['gamma_1'] * F.linear(y, w['attn.proj.weight'], w['attn.proj.bias'])
        y = F.layer_norm(x, (dim,), w['norm2.weight'], w['norm2.bias'], 1e-6)
        y = F.gelu(F.linear(y, w['mlp.fc1.weight'], w['mlp.fc1.bias']))
        x = x + w['gamma_2'] * F.linear(y, w['mlp.fc2.weight'], w['mlp.fc2.bias'])
        if index in (2, 5, 8, 11):
            yield x, (rows, columns)


def below(s, prefix):
    return {
        name.removeprefix(prefix): value for name, value in s.items() if name.startswith(prefix)
    }


def midas(s, images, num_heads):
    """Return bottleneck, outputs of refinenet 4 to 1, the 32 features and relative depth."""
    p, scratch = below(s, 'core.core.pretrained.'), below(s, 'core.core.scratch.')

    def conv(w, name, x, **kwargs):
        return F.conv2d(x, w[f'{name}.weight'], w.get(f'{name}.bias'), **kwargs)

    skips = []
    for index, (tokens, grid) in enumerate(beit(below(s, BEIT), images, num_heads), start=1):
        name = f'act_postprocess{index}'
        pairs = torch.cat([tokens[:, 1:], tokens[:, :1].expand_as(tokens[:, 1:])], dim=2)
        x = F.linear(pairs, p[f'{name}.0.project.0.weight'], p[f'{name}.0.project.0.bias'])
        x = conv(p, f'{name}.3', F.gelu(x).transpose(1, 2).unflatten(2, grid))
        if index < 3:
            weight, bias = p[f'{name}.4.weight'], p[f'{name}.4.bias']
            x = F.conv_transpose2d(x, weight, bias, stride=(4, 2)[index - 1])
        elif index == 4:
            x = conv(p, f'{name}.4', x, stride=2, padding=1)
        skips.append(conv(scratch, f'layer{index}_rn', x, padding=1))

    def unit(name, x):
        y = conv(scratch, f'{name}.conv1', x.relu(), padding=1)
        return x + conv(scratch, f'{name}.conv2', y.relu(), padding=1)

    def resize(x, size):
        return F.interpolate(x, size=size, mode='bilinear', align_corners=True)

    x, outputs = skips[3], []
    for level in (4, 3, 2, 1):
        if level < 4:
            x = x + unit(f'refinenet{level}.resConfUnit1', skips[level - 1])
        x = unit(f'refinenet{level}.resConfUnit2', x)
        size = skips[level - 2].shape[2:] if level > 1 else [2 * n for n in x.shape[2:]]
        x = conv(scratch, f'refinenet{level}.out_conv', resize(x, size))
        outputs.append(x)
    x = resize(conv(scratch, 'output_conv.0', x, padding=1), images.shape[2:])
    last = conv(scratch, 'output_conv.2', x, padding=1).relu()
    return skips[3], outputs, last, conv(scratch, 'output_conv.4', last).relu()


def zoedepth(s, images, num_heads=12, depth_range=None, domain=''):
    """Return depth of ZoeD-N, of ZoeD-K with a depth range, or of one domain of ZoeD-NK."""

    def mlp(name, x):
        x = F.conv2d(x, s[f'{name}.0.weight'], s[f'{name}.0.bias']).relu()
        return F.conv2d(x, s[f'{name}.2.weight'], s[f'{name}.2.bias'])

    def resize(x, other):
        return F.interpolate(x, size=other.shape[2:], mode='bilinear', align_corners=True)

    bottleneck, blocks, last, relative = midas(s, images, num_heads)
    x = F.conv2d(bottleneck, s['conv2.weight'], s['conv2.bias'])
    dot = f'{domain}.' if domain else ''
    seeds = mlp(f'seed_bin_regressor{"s" if domain else ""}.{dot}_net', x)
    if depth_range is None:
        c = F.softplus(seeds)
    else:
        near, far = depth_range
        widths = (far - near) * (seeds.relu() + 1e-3) / (seeds.relu() + 1e-3).sum(1, keepdim=True)
        edges = torch.cat([torch.full_like(widths[:, :1], near), widths], dim=1).cumsum(dim=1)
        c = ((edges[:, 1:] + edges[:, :-1]) / 2 - near) / (far - near)
    before = mlp('seed_projector._net', x)
    for level, block in enumerate(blocks):
        e = mlp(f'projectors.{level}._net', block)
        a = mlp(f'attractors.{dot}{level}._net', e + resize(before, e))
        a = F.softplus(a) if depth_range is None else a.relu()[:, ::2] + 1e-3
        c = resize(c, e)
        d = a[:, :, None] - c[:, None]
        c = c + (d / (1 + 300 * d**2)).mean(dim=1)
        before = e
    centers = c
    if depth_range is not None:
        centers = ((far - near) * c + near).clip(near, far).sort(dim=1).values
    features = [last] if domain else [last, relative]
    x = torch.cat([*features, resize(before, last)], dim=1)
    name = f'conditional_log_binomial.{dot}mlp'
    x = F.gelu(F.conv2d(x, s[f'{name}.0.weight'], s[f'{name}.0.bias']))
    o = F.softplus(F.conv2d(x, s[f'{name}.2.weight'], s[f'{name}.2.bias'])) + 1e-4
    p, t = o[:, :1] / (o[:, :1] + o[:, 1:2]), o[:, 2:3] / (o[:, 2:3] + o[:, 3:])
    t = t * (50 - 0.0212) + 0.0212
    k = torch.arange(64.0)[:, None, None]
    n1, k1 = torch.tensor(63.0) + 1e-7, k + 1e-7
    log_binomial = n1 * n1.log() - k1 * k1.log() - (n1 - k1) * (n1 - k1 + 1e-7).log()
    y = log_binomial + k * p.clamp(min=1e-4).log() + (63 - k) * (1 - p).clamp(1e-4, 1).log()
    return ((y / t).softmax(dim=1) * resize(centers, last)).sum(dim=1, keepdim=True)


def domain_logits(s, images, num_heads=12):
    """Return the logits (N, 2) of ZoeD-NK's classifier."""
    bottleneck = midas(s, images, num_heads)[0]
    x = F.conv2d(bottleneck, s['conv2.weight'], s['conv2.bias'])
    name = 'patch_transformer.embedding_convPxP'
    x = F.conv2d(x, s[f'{name}.weight'], s[f'{name}.bias']).flatten(2).permute(2, 0, 1)
    x = torch.cat([torch.zeros_like(x[:1]), x])
    angles = torch.arange(len(x))[:, None] * 10000 ** (-torch.arange(0, 128, 2) / 128)
    x = x + torch.cat([angles.sin(), angles.cos()], dim=1)[:, None]
    for index in range(4):
        w = below(s, f'patch_transformer.transformer_encoder.layers.{index}.')
        y = F.multi_head_attention_forward(
            x, x, x, 128, 4, w['self_attn.in_proj_weight'], w['self_attn.in_proj_bias'], None, None,
            False, 0.0, w['self_attn.out_proj.weight'], w['self_attn.out_proj.bias'],
            training=False, need_weights=False,
        )[0]  # fmt: skip
        x = F.layer_norm(x + y, (128,), w['norm1.weight'], w['norm1.bias'])
        y = F.linear(
            F.linear(x, w['linear1.weight'], w['linear1.bias']).relu(), w['linear2.weight']
        )
        x = F.layer_norm(x + y + w['linear2.bias'], (128,), w['norm2.weight'], w['norm2.bias'])
    x = F.linear(x[0], s['mlp_classifier.0.weight'], s['mlp_classifier.0.bias']).relu()
    return F.linear(x, s['mlp_classifier.2.weight'], s['mlp_classifier.2.bias'])


def small_state(variant):
    """Draw weights with a sixteenth of the transformer's channels and an eighth of the decoder's."""
    case = load_case('zoedepth_nk_beitb' if variant == 'nk' else 'zoedepth_n_beitb')
    shapes = {}
    for name, shape in published_shapes(variant).items():
        if name.startswith('core.core.pretrained.'):
            shape = [n // 16 if n >= 96 and n != 2212 else n for n in shape]
        elif name.startswith('core.core.scratch.layer'):
            shape = [shape[0] // 8, shape[1] // 16, *shape[2:]]
        elif name.startswith('core.core.scratch.output_conv.'):
            shape = [n // 8 if n >= 128 else n for n in shape]
        else:
            shape = [n // 8 if n == 256 else n for n in shape]
        shapes[name] = shape
    return published_state(dict(case, state_dict=shapes))


def small_model(variant):
    cfg = shipped_config(f'zoedepth/zoedepth_{variant}_beitb.py')
    cfg.merge_from_dict(
        {
            'model.backbone.model_args': dict(embed_dim=48),
            'model.decode_head.in_channels': [48] * 4,
            'model.decode_head.pyramid_channels': [6, 12, 24, 48],
            'model.decode_head.channels': 32,
            'model.decode_head.seed_channels': 64 if variant == 'nk' else 32,
            'model.test_cfg.network_size': (32, 64),
        }
    )
    return build_without_weights(cfg).eval()


@pytest.mark.parametrize('variant', VARIANTS)
def test_a_second_implementation_gives_the_same_depth(variant):
    state = small_state(variant)
    model = small_model(variant)
    model.load_state_dict(convert_official('zoedepth', dict(state)))
    images = torch.from_numpy(draw_noise((2, 3, 32, 64), seed=3))
    with torch.inference_mode():
        actual = model(images, mode='tensor')
        if variant == 'nk':
            outputs = model.decode_head(model.extract_feat(images))
            logits = domain_logits(state, images)
            depths = [zoedepth(state, images, domain=name) for name in ('nyu', 'kitti')]
            assert relative_error(outputs['domain_logits'].numpy(), logits.numpy()) < 1e-5
            expected = torch.cat(depths, dim=1)
            actual = outputs['domain_depths']
            chosen = expected.take_along_dim(logits.argmax(dim=1).view(2, 1, 1, 1), dim=1)
            assert relative_error(model(images, mode='tensor').numpy(), chosen.numpy()) < 1e-5
        else:
            expected = zoedepth(state, images, depth_range=(1e-3, 80.0) if variant == 'k' else None)
    assert expected.std() > 0.01
    assert relative_error(actual.numpy(), expected.numpy()) < 1e-5


def test_each_domain_can_be_forced_and_is_voted_for_in_training():
    state = small_state('nk')
    model = small_model('nk')
    images = torch.from_numpy(draw_noise((2, 3, 32, 64), seed=3))
    for number in range(2):
        forced = dict(state)
        forced['mlp_classifier.2.bias'] = 1000 * F.one_hot(torch.tensor(number), 2).float()
        model.load_state_dict(convert_official('zoedepth', forced))
        with torch.inference_mode():
            outputs = model.decode_head(model.extract_feat(images))
        assert outputs['domain'].tolist() == [number, number]
        assert torch.equal(outputs['depth'][:, 0], outputs['domain_depths'][:, number])
    head = model.decode_head.train()
    feats = model.extract_feat(images)
    for logits, votes in (([[3.0, 0], [0, 1.0]], [0, 0]), ([[3.0, 0], [0, 4.0]], [1, 1])):
        head.router.forward = lambda bottleneck, logits=logits: torch.tensor(logits)
        assert head(feats)['domain'].tolist() == votes
        head.eval()
        assert head(feats)['domain'].tolist() == [0, 1]
        head.train()


# Preparation of images and of predictions.

PRE_POST = 'foundation_pre_post'
INFERENCE = dict(keep_ratio=True, pad_input=True, depth_resize='bicubic', flip=True)


def recorded_error(values, name):
    """Return the relative L2 distance of ``values`` to what is recorded of an array."""
    arrays = load_arrays(PRE_POST)
    if name in arrays:
        return relative_error(values, arrays[name])
    assert values.shape == tuple(arrays[f'{name}/shape'])
    places = np.linspace(0, values.size - 1, 64).astype(int)
    stats = np.array([values.mean(), values.std(), values.min(), values.max()])
    return max(
        relative_error(values.ravel()[places], arrays[f'{name}/samples']),
        relative_error(stats, arrays[f'{name}/stats']),
    )


def tiny_model(**test_cfg):
    cfg = shipped_config('synthetic/zoedepth_tiny_rooms.py')
    cfg.merge_from_dict({'model.test_cfg': test_cfg})
    return build_without_weights(cfg).eval()


@pytest.mark.parametrize('frame', ['nyu', 'kitti'])
@pytest.mark.parametrize(
    ('case', 'changed'),
    [
        ('default', {}),
        ('pad_input_false', dict(pad_input=False)),
        ('with_flip_aug_false', dict(flip=False)),
    ],
)
def test_border_mirror_image_and_way_back_are_the_published_ones(frame, case, changed):
    model = tiny_model(**(INFERENCE | changed))
    padded_inputs = []

    def stand_in(inputs, data_samples):
        pixels = 0.5 * inputs + 0.5
        padded_inputs.append(pixels)
        half = pixels[..., ::2, ::2]
        ramp = torch.linspace(0, 1, half.shape[-1])
        return half.mean(dim=1, keepdim=True) + 0.3 * half[:, :1] * ramp

    model.network_depth = stand_in
    # The bicubic resize of the stand-in's map is partly negative, which no depth range contains.
    model.decode_head.clamp = lambda depth: depth
    rgb = load_arrays(PRE_POST)[f'input/{frame}']
    bgr = torch.from_numpy(rgb[..., ::-1].copy()).permute(2, 0, 1)
    sample = model.test_step(dict(inputs=[bgr], data_samples=[DepthDataSample()]))[0]
    name = f'zoedepth/{frame}/{case}'
    assert recorded_error(padded_inputs[0][:1].numpy(), f'{name}/padded_input') < 1e-5
    assert recorded_error(sample.pred_depth.numpy(), f'{name}/output') < 1e-5


@pytest.mark.parametrize('frame', ['nyu', 'kitti'])
@pytest.mark.parametrize('mode', ['keep_aspect', 'stretch'])
def test_the_network_sees_the_published_input(frame, mode):
    model = tiny_model(network_size=(96, 128), keep_ratio=mode == 'keep_aspect')
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    rgb = load_arrays(PRE_POST)[f'input/{frame}']
    bgr = torch.from_numpy(rgb[..., ::-1].copy()).permute(2, 0, 1)
    inputs = model.data_preprocessor(dict(inputs=[bgr]))['inputs']
    with torch.inference_mode():
        assert model(inputs, mode='tensor').shape == (1, 1, *rgb.shape[:2])
    assert recorded_error(seen[0].numpy(), f'zoedepth/prep96x128/{frame}/{mode}') < 1e-5


def test_network_sizes_are_the_published_ones():
    for name, sizes in load_case(PRE_POST)['zoedepth']['network_sizes'].items():
        variant, target, rule = name.split('_', 2)
        target = tuple(map(int, target.split('x')))
        cfg = shipped_config(f'zoedepth/zoedepth_{variant.lower()}_beitl.py').model
        assert tuple(cfg.train_cfg.network_size) == tuple(cfg.test_cfg.network_size) == target
        for shape, expected in sizes.items():
            shape = tuple(map(int, shape.split('x')))
            actual = network_size(shape, target) if rule == 'keep_aspect' else target
            assert actual == tuple(expected), (name, shape)


# The recipe.


def test_losses_are_the_recorded_ones():
    arrays, cases = load_arrays('relative_losses'), load_case('relative_losses')['cases']
    shape = (2, 1, 24, 32)
    names = ('prediction', 'target', 'mask', 'relative_prediction', 'inverse_target')
    pred, target, mask, relative, inverse = (
        torch.from_numpy(arrays[f'in/{name}']).view(shape) for name in names
    )
    loss = SILogLoss(**without_type(shipped_config('zoedepth/zoedepth_n_beitl.py')))
    value = loss(pred.requires_grad_(), target, mask)
    value.backward()
    assert value.item() == pytest.approx(cases['zoedepth/silog']['value'], rel=1e-5)
    assert relative_error(pred.grad[:, 0].numpy(), arrays['zoedepth/silog/grad']) < 1e-4
    # Mean absolute error behind the least-squares alignment that relative losses share.
    aligned = align_least_squares(relative.requires_grad_(), inverse, mask)
    value = torch.where(mask, (aligned - inverse).abs(), 0).sum() / mask.sum()
    value.backward()
    assert value.item() == pytest.approx(cases['zoedepth/ssi_l1']['value'], rel=1e-5)
    assert relative_error(relative.grad[:, 0].numpy(), arrays['zoedepth/ssi_l1/grad']) < 1e-3


def without_type(cfg):
    options = dict(cfg.model.decode_head.loss_decode)
    assert options.pop('type') == 'SILogLoss'
    return options


def published_factor(name, variant):
    """Return the share of the rate that a published parameter learns at."""
    if name.startswith('core.core.pretrained.'):
        return 0.1
    return 0.1 if name.startswith('core.core.scratch.') and variant == 'nk' else 1.0


@pytest.mark.parametrize('variant', VARIANTS)
def test_parts_learn_at_the_published_rates(variant):
    cfg = shipped_config(f'zoedepth/zoedepth_{variant}_beitb.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    factors = {}
    for name in published_shapes(variant):
        # The converter renames weights: give each the share of the rate as its value.
        factors[name] = torch.full((1,), published_factor(name, variant))
    expected = convert_official('zoedepth', factors)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rate = 2.512e-4 if variant == 'nk' else 1.61e-4
    for group in wrapper.optimizer.param_groups:
        for parameter in filter(lambda parameter: parameter.requires_grad, group['params']):
            factor = expected[names[id(parameter)]].item()
            assert group['lr'] == pytest.approx(rate * factor), names[id(parameter)]
            assert group['weight_decay'] == 0.01
    assert cfg.optim_wrapper.clip_grad == dict(max_norm=0.1, norm_type=2)


@pytest.mark.parametrize('variant', VARIANTS)
def test_the_rate_is_flat_and_falls_in_the_last_three_tenths(variant):
    cfg = shipped_config(f'zoedepth/zoedepth_{variant}_beitl.py')
    batches = dict(n=24231 // 16, k=23158 // 16, nk=2 * (24231 // 16 + 1))[variant]
    total = cfg.train_cfg.max_iters
    assert total == 5 * batches
    rate = cfg.optim_wrapper.optimizer.lr
    peak = 0.7 * total - 1
    middle = (peak + total - 1) / 2
    steps = {str(step): (0, (0, 0)) for step in (0, total // 3, int(peak), int(middle), total - 1)}
    rates = {step: (lr, beta) for step, (lr, beta, _), _ in rates_of_the_recipe(cfg, steps)}
    for step, (lr, beta) in rates.items():
        if step <= peak:
            assert lr == pytest.approx(rate)
            phase = step / peak
            assert beta == pytest.approx(0.9 + 0.05 * math.cos(math.pi * phase))
    assert rates[int(middle)][0] == pytest.approx(rate / 2, rel=1e-2)
    assert rates[total - 1] == pytest.approx((1e-4 * rate, 0.95))


def nk_batch(names):
    images = torch.from_numpy(draw_noise((len(names), 3, 32, 64), seed=5))
    samples = []
    for name in names:
        gt_depth = torch.full((32, 64), 4.0)
        gt_depth[:16] = 30.0  # counts on KITTI alone
        samples.append(DepthDataSample(gt_depth=gt_depth, metainfo=dict(dataset=name)))
    return images, samples


def test_the_classifier_learns_the_data_set_and_each_set_counts_to_its_far_end():
    model = small_model('nk')
    images, samples = nk_batch(['kitti', 'nyu'])
    head = model.decode_head
    outputs = head(model.extract_feat(images))
    gt_depth = torch.stack([sample.gt_depth for sample in samples]).unsqueeze(1)
    losses = head.loss(outputs, gt_depth, samples)
    logits = outputs['domain_logits'].log_softmax(dim=1)
    expected = -100 * (logits[0, 1] + logits[1, 0]) / 2
    assert losses['loss_domain'].item() == pytest.approx(expected.item(), rel=1e-5)
    # Depth of 30 m must not count in the NYU image.
    counts = torch.ones(2, 1, 32, 64, dtype=torch.bool)
    counts[1, :, :16] = False
    error = ((outputs['depth'] + 1e-7).log() - (gt_depth + 1e-7).log())[counts]
    silog = 10 * torch.sqrt(error.var() + 0.15 * error.mean() ** 2)
    assert losses['loss_depth'].item() == pytest.approx(silog.item(), rel=1e-4)
    with pytest.raises(
        ValueError, match=r"data set is 'hypersim', but decode_head\.domains are nyu"
    ):
        head.loss(outputs, gt_depth, nk_batch(['nyu', 'hypersim'])[1])
