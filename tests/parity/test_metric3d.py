"""Metric3D v2 against the recorded case, v1 against a second implementation on the published names."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper

from depth.engine.converters import convert_official, find_source
from depth.engine.converters.convert import (
    build_without_weights,
    compare,
    write_converted,
)
from tests.shared import REPO

from .cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    shipped_config,
)
from .recorded import draw_noise

NAME = 'metric3dv2_vits'
CONFIGS = ['metric3dv2_vits', 'metric3dv2_vits_kitti']


def meta_state(name):
    with torch.device('meta'):
        return {key: torch.empty(shape) for key, shape in load_case(name)['state_dict'].items()}


@pytest.mark.slow
def test_published_outputs_are_reproduced():
    case, expected = load_case(NAME), load_arrays(NAME)
    model = build_without_weights(shipped_config(f'metric3d/{NAME}.py')).eval()
    model.load_state_dict(convert_official('metric3d', published_state(case)))
    # Published beside ours: the mask token and the class entry of the position code.
    assert sum(p.numel() for p in model.parameters()) == case['num_params'] - 2 * 384
    with torch.inference_mode():
        depth = model(image(case), mode='tensor')
        outputs = model.decode_head(model.extract_feat(image(case)))
    assert relative_error(depth.numpy(), expected['depth']) < 1e-5
    assert relative_error(outputs['confidence'].numpy(), expected['confidence']) < 1e-5
    normal = torch.cat([outputs['normals'], outputs['normal_kappa']], dim=1)
    assert relative_error(normal.numpy(), expected['normal']) < 1e-5


@pytest.mark.parametrize('config', CONFIGS)
def test_published_names_fill_the_shipped_models(config):
    converted = convert_official('metric3d', meta_state(NAME))
    assert compare(converted, model_shapes(shipped_config(f'metric3d/{config}.py'))) == ''


@pytest.mark.parametrize(
    ('config', 'millions'),
    [('metric3dv2_vitl', 411.940), ('metric3dv2_vitg', 1377.669)],
)
def test_widths_of_the_large_sizes_give_their_number_of_parameters(config, millions):
    shapes = model_shapes(shipped_config(f'metric3d/{config}.py'))
    assert sum(shape.numel() for shape in shapes.values()) / 1e6 == pytest.approx(
        millions, abs=1e-3
    )


def test_giant_names_fill_its_model():
    """Rename the converted giant back: SwiGLU and raw blocks are the only differences to S."""
    shapes = model_shapes(shipped_config('metric3d/metric3dv2_vitg.py'))
    encoder = 'depth_model.encoder.'
    published = {f'{encoder}norm.weight': [1536], f'{encoder}norm.bias': [1536]}
    published |= {f'{encoder}mask_token': [1, 1536], f'{encoder}pos_embed': [1, 1370, 1536]}
    for name, shape in shapes.items():
        if name.startswith('backbone.net.') and 'pos_embed' not in name:
            name = name.removeprefix('backbone.net.').replace('blocks.', 'blocks.0.')
            name = name.replace('fc1', 'w12').replace('fc2', 'w3')
            published[encoder + name.replace('reg_token', 'register_tokens')] = shape
    small = load_case(NAME)['state_dict']
    decoder = {name: shape for name, shape in small.items() if 'decoder' in name}
    widths = {96: 384, 192: 768, 384: 1536, 98: 386, 48: 192, 144: 576, 102: 198, 1920: 7680}
    for name, shape in decoder.items():
        fixed = name.startswith('depth_model.decoder.update_block.mask.2')
        wide = [widths.get(length, length) for length in shape]
        # The inputs of the GRUs have coinciding sizes in S: 96 is twice 48 there, 144 three times.
        if 'update_block.gru' in name and len(shape) == 4:
            wide[1] = {102: 390, 144: 576, 96: 384}[shape[1]]
        published[name] = [144, *wide[1:]] if fixed else wide
    with torch.device('meta'):
        state = {name: torch.empty(tuple(shape)) for name, shape in published.items()}
    assert compare(convert_official('metric3d', state), shapes) == ''


def test_a_file_is_converted_with_its_licence(tmp_path):
    shapes = load_case('metric3dv1_convtiny')['state_dict']
    # Views of one number, so that the file is small.
    state = {f'module.{name}': torch.ones(()).expand(shape) for name, shape in shapes.items()}
    source, target = tmp_path / 'published.pth', tmp_path / 'ours.pth'
    torch.save({'model_state_dict': state}, source)
    config = REPO / 'configs/metric3d/metric3dv1_convtiny.py'
    write_converted('metric3d', source, target, config=config, root=REPO)
    meta = torch.load(target, weights_only=True)['meta']
    assert meta['code_licence'] == 'BSD-2-Clause'
    assert 'huggingface.co' in meta['url']


def test_published_files_name_shipped_configs():
    for config in find_source('metric3d').files.values():
        assert (REPO / f'configs/metric3d/{config}.py').is_file()


def test_other_files_are_refused():
    state = meta_state(NAME)
    state['depth_model.decoder.extra.weight'] = torch.empty(1)
    problem = compare(
        convert_official('metric3d', state), model_shapes(shipped_config(f'metric3d/{NAME}.py'))
    )
    assert problem == '1 unexpected: decode_head.extra.weight'
    with pytest.raises(ValueError, match=r'no entry .depth_model\.encoder\.pos_embed'):
        convert_official('metric3d', {'backbone.weight': torch.zeros(1)})


@pytest.mark.parametrize(
    ('config', 'encoder', 'decoder'),
    [
        ('metric3dv2_vits', (1e-5, 1e-3, 1e-6), (1e-4, 1e-2, 1e-6)),
        ('metric3dv2_vits_kitti', (5e-7, 0, 1e-10), (1e-5, 0, 1e-10)),
    ],
)
def test_rates_and_decays_of_encoder_and_decoder_are_the_published_ones(config, encoder, decoder):
    cfg = shipped_config(f'metric3d/{config}.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in wrapper.optimizer.param_groups:
        options = encoder if names[id(group['params'][0])].startswith('backbone.') else decoder
        assert (group['lr'], group['weight_decay'], group['eps']) == pytest.approx(options)


def straight_line_v1(s, images):
    """Return depth and confidence of Metric3D v1 from a published state dict, in plain functions."""

    def conv(name, x, **options):
        return F.conv2d(x, s[f'{name}.weight'], s.get(f'{name}.bias'), **options)

    def norm2d(name, x):
        x = F.layer_norm(
            x.movedim(1, 3), x.shape[1:2], s[f'{name}.weight'], s[f'{name}.bias'], 1e-6
        )
        return x.movedim(3, 1)

    def batch_norm(name, x):
        values = (s[f'{name}.{key}'] for key in ('running_mean', 'running_var', 'weight', 'bias'))
        return F.batch_norm(x, *values)

    e, x, levels = 'depth_model.encoder.', images, []
    for stage, depth in enumerate((3, 3, 9, 3)):
        name = f'{e}downsample_layers.{stage}'
        if stage == 0:
            x = norm2d(f'{name}.1', conv(f'{name}.0', x, stride=4))
        else:
            x = conv(f'{name}.1', norm2d(f'{name}.0', x), stride=2)
        for block in range(depth):
            name = f'{e}stages.{stage}.{block}'
            y = conv(f'{name}.dwconv', x, padding=3, groups=x.shape[1])
            y = norm2d(f'{name}.norm', y).movedim(1, 3)
            y = F.gelu(F.linear(y, s[f'{name}.pwconv1.weight'], s[f'{name}.pwconv1.bias']))
            y = F.linear(y, s[f'{name}.pwconv2.weight'], s[f'{name}.pwconv2.bias'])
            x = x + (y * s[f'{name}.gamma']).movedim(3, 1)
        levels.append(x)
    d = 'depth_model.decoder.'
    for level in (3, 2, 1):
        name, inner = f'{d}decoder_mono.upconv_{level}', '' if level == 3 else '.1'

        def padded(y, level=level):
            return y if level == 3 else F.pad(y, (1, 1, 1, 1), mode='reflect')

        x = F.elu(conv(f'{name}_0.conv{inner}', padded(x)))
        x = torch.cat([F.interpolate(x, scale_factor=2), levels[level - 1]], dim=1)
        x = F.elu(conv(f'{name}_1.conv{inner}', padded(x)))
        x = F.elu(conv(f'{name}_1.conv_2', x))
    u = f'{d}conv_out_2.'

    def unit(name, y, stride=1):
        return F.relu(batch_norm(f'{name}.bn', conv(f'{name}.conv', y, stride=stride, padding=1)))

    skips = [unit(f'{u}conv0', x)]
    for level in range(3):
        y = unit(f'{u}conv_{level}.0', skips[-1], stride=2)
        skips.append(unit(f'{u}conv_{level}.1', y))
    x = skips[3]
    for level in (2, 1, 0):
        weight = s[f'{u}deconv_{level}.0.weight']
        x = F.conv_transpose2d(x, weight, stride=2, padding=1, output_padding=1)
        x = skips[level] + F.relu(batch_norm(f'{u}deconv_{level}.1', x))
    x = conv(f'{u}prob', x)
    x, confidence = x[:, :-1], x[:, -1:]
    y = batch_norm(f'{d}depth_regressor_2.1', conv(f'{d}depth_regressor_2.0', x, padding=1))
    probs = conv(f'{d}depth_regressor_2.3', F.relu(y)).softmax(dim=1)
    centers = torch.from_numpy(np.geomspace(0.3, 150, 512).astype(np.float32))
    depth = torch.einsum('nbhw,b->nhw', probs, centers).unsqueeze(1)
    rows, columns = np.indices(depth.shape[2:]).astype(np.float32)
    grid = torch.from_numpy(np.stack([columns, rows])).expand(len(depth), -1, -1, -1)
    r = f'{d}conv_up_2.'
    y = F.relu(batch_norm(f'{r}1', conv(f'{r}0', torch.cat([depth, grid, x], dim=1), padding=1)))
    y = F.interpolate(conv(f'{r}3', y, padding=1), scale_factor=4)
    y = conv(f'{r}7', F.relu(conv(f'{r}5', y, padding=1)))
    depth = F.interpolate(depth, scale_factor=4) + 0.1 * y
    return depth, F.interpolate(confidence, scale_factor=4)


@pytest.mark.slow
def test_a_second_implementation_of_v1_gives_the_same_depth():
    case = load_case('metric3dv1_convtiny')
    state = published_state(case)
    model = build_without_weights(shipped_config('metric3d/metric3dv1_convtiny.py')).eval()
    model.load_state_dict(convert_official('metric3d', dict(state)))
    assert sum(p.numel() for p in model.parameters()) == case['num_params']
    images = torch.from_numpy(draw_noise((2, 3, 64, 96), seed=3))
    with torch.inference_mode():
        maps = model.predict_maps(images)
        depth, confidence = straight_line_v1(state, images)
    assert depth.std() > 0.01
    assert relative_error(maps['depth'].numpy(), depth.numpy()) < 1e-6
    assert relative_error(maps['confidence'].numpy(), confidence.numpy()) < 1e-5
