"""Depth Anything V2 and 3 against the recorded networks and their recorded pre- and postprocessing."""

import numpy as np
import pytest
import torch

from depth.datasets.transforms import PackDepthInputs, ResizeShortSide, ResizeThenSnap
from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.engine.published_weights import weights_for_model
from depth.models.heads.depth_anything3_head import replace_sky
from depth.registry import MODELS
from tests.parity.recorded import draw_noise

from .cases import (
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    shipped_config,
    stage_errors,
)

V2, V3 = 'depth_anything_v2', 'depth_anything_3'
CASES = {
    'depth_anything_v2_vits': (V2, 'depth_anything_v2_vits_relative'),
    'depth_anything_v2_metric_vits': (V2, 'depth_anything_v2_vits_hypersim'),
    'da3mono_vits': (V3, 'depth_anything_3_mono_vits'),
}
NAMES_ONLY = {
    'depth_anything_v2_vitb': (V2, 'depth_anything_v2_vitb_relative'),
    'depth_anything_v2_metric_vitb': (V2, 'depth_anything_v2_vitb_vkitti2'),
    'da3mono_vitb': (V3, 'depth_anything_3_mono_vitb'),
}
# Modules of our network by the recorded names of the published one.
STAGES = {
    'pretrained/blocks/2': 'backbone.net.blocks.2',
    'pretrained/blocks/11': 'backbone.net.blocks.11',
    'projects/0': 'decode_head.pyramid.projects.0',
    'resize_layers/3': 'decode_head.pyramid.resize_layers.3',
    'scratch/refinenet4': 'decode_head.fusion.blocks.0',
    'scratch/refinenet1': 'decode_head.fusion.blocks.3',
    'scratch/output_conv1': 'decode_head.conv',
    'scratch/output_conv2': 'decode_head.output',
    'scratch/sky_output_conv2': 'decode_head.sky_output',
}


def model_of(config):
    """Build a model on the meta device; its weights have to be assigned."""
    with torch.device('meta'):
        return build_without_weights(shipped_config(f'depth_anything/{config}.py')).eval()


@pytest.mark.parametrize('name', CASES)
def test_published_outputs_are_reproduced_at_every_stage(name):
    method, config = CASES[name]
    case, expected = load_case(name), load_arrays(name)
    model = model_of(config)
    model.load_state_dict(convert_official(method, published_state(case)), assign=True)
    stages = {}

    def keep(stage):
        return lambda module, inputs, output: stages.update({stage: output})

    recorded = {key.split('/', 1)[1].rsplit('/', 1)[0] for key in expected if '/' in key}
    for stage in recorded:
        module = STAGES[stage.removeprefix('depth_head/').removeprefix('head/')]
        model.get_submodule(module).register_forward_hook(keep(stage))
    inputs = torch.from_numpy(draw_noise(case['input_shape'], case['input_seed']))
    inputs = inputs.reshape(1, 3, *inputs.shape[-2:])  # Depth Anything 3 has an axis of views
    with torch.inference_mode():
        depth = model(inputs, mode='tensor')
        if 'sky' in expected:
            sky = model.decode_head(model.extract_feat(inputs))['sky']
            assert relative_error(sky.numpy(), expected['sky']) < 1e-4
    assert relative_error(depth.numpy(), expected['depth']) < 1e-4
    # The published layers run ReLU and sigmoid as a part of the last sequence.
    last = next(stage for stage in stages if stage.endswith('scratch/output_conv2'))
    if name == 'depth_anything_v2_vits':
        stages[last] = stages[last].relu()
    elif name == 'depth_anything_v2_metric_vits':
        stages[last] = stages[last].sigmoid()
    assert max(stage_errors(stages, expected).values()) < 1e-4


@pytest.mark.parametrize('name', CASES | NAMES_ONLY)
def test_published_names_and_shapes_fill_the_model_under_any_prefix(name):
    method, config = (CASES | NAMES_ONLY)[name]
    shapes = load_case(name)['state_dict']
    own = model_shapes(shipped_config(f'depth_anything/{config}.py'))
    for prefix in ('', 'module.', 'model.') if method == V3 else ('', 'module.'):
        published = {
            prefix + key: torch.empty(shape, device='meta') for key, shape in shapes.items()
        }
        assert not compare(convert_official(method, published), own)


@pytest.mark.parametrize(
    ('config', 'millions'),
    [
        # 24.8, 97.5 and 335.3 M are published; the mask token and an unused unit are left out here.
        ('depth_anything_v2_vits_relative', 24.71),
        ('depth_anything_v2_vitb_kitti', 97.17),
        ('depth_anything_v2_vitl_hypersim', 334.14),
        ('depth_anything_v2_vitg_relative', 1255.48),
        ('depth_anything_3_mono_vitl', 334.16),
        ('depth_anything_3_metric_vitl', 334.16),
    ],
)
def test_large_models_build_with_the_parameters_of_the_published_ones(config, millions):
    shapes = model_shapes(shipped_config(f'depth_anything/{config}.py'))
    total = sum(shape.numel() for shape in shapes.values())
    assert total / 1e6 == pytest.approx(millions, rel=2e-3)


def test_the_giants_gated_layers_are_renamed():
    own = model_shapes(shipped_config('depth_anything/depth_anything_v2_vitg_relative.py'))
    published = {}
    for name, shape in own.items():
        if name.startswith('backbone.net.'):
            name = name.replace('backbone.net.', 'pretrained.')
            name = name.replace('mlp.fc1', 'mlp.w12').replace('mlp.fc2', 'mlp.w3')
            published[name] = torch.empty(shape, device='meta')
    converted = convert_official(V2, published)
    encoder = {name: shape for name, shape in own.items() if name.startswith('backbone.')}
    assert not compare(converted, encoder)
    assert published['pretrained.blocks.0.mlp.w12.weight'].shape == (8192, 1536)


def test_earlier_names_of_depth_anything_3_are_read():
    shapes = load_case('da3mono_vits')['state_dict']
    earlier = {}
    for name, shape in shapes.items():
        name = name.replace('backbone.', 'module.net.')
        name = name.replace('head.', 'module.all_heads.head.', 1) if name[:4] == 'head' else name
        name = name.replace('sky_output_conv2', 'output_conv2_additional.sky_mask')
        earlier[name] = torch.empty(shape, device='meta')
    own = model_shapes(shipped_config('depth_anything/depth_anything_3_mono_vits.py'))
    assert not compare(convert_official(V3, earlier), own)


def test_other_files_are_refused_in_words():
    shapes = load_case('da3mono_vits')['state_dict']
    state = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    with pytest.raises(ValueError, match=r'entries that nothing here uses: backbone\.pretrained'):
        convert_official(V2, state)


# Preprocessing and postprocessing.


def settings(method):
    return load_case('foundation_pre_post')[method]


def check_recorded(values, name):
    """Compare with a whole recorded array, or with shape, samples and statistics."""
    arrays = load_arrays('foundation_pre_post')
    if name in arrays:
        assert relative_error(values, arrays[name]) < 1e-4
        return
    assert values.shape == tuple(arrays[f'{name}/shape'])
    places = np.linspace(0, values.size - 1, 64).astype(int)
    np.testing.assert_allclose(values.ravel()[places], arrays[f'{name}/samples'], atol=2e-4)
    statistics = np.array([values.mean(), values.std(), values.min(), values.max()])
    np.testing.assert_allclose(statistics, arrays[f'{name}/stats'], rtol=1e-4, atol=1e-4)


def frame(name):
    """Return a recorded frame as a pipeline loads it."""
    rgb = load_arrays('foundation_pre_post')[f'input/{name}']
    return np.ascontiguousarray(rgb[..., ::-1])


def prepared(results, config):
    """Return the batch that a config's preprocessor makes of one sample."""
    cfg = shipped_config(f'depth_anything/{config}.py')
    preprocessor = MODELS.build(cfg.model.data_preprocessor.to_dict())
    packed = PackDepthInputs().transform(results)
    return preprocessor(dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']]))


@pytest.mark.parametrize('name', ['nyu', 'kitti'])
@pytest.mark.parametrize('size', [518, 98])
def test_v2_sees_the_published_network_input(name, size):
    results = ResizeShortSide(size, resize_depth=False).transform(dict(img=frame(name)))
    batch = prepared(results, 'depth_anything_v2_vits_relative')
    check_recorded(batch['inputs'].numpy(), f'dav2/{name}/{size}/network_input')


@pytest.mark.parametrize('name', ['nyu', 'kitti'])
@pytest.mark.parametrize('size', [518, 98])
def test_v2_brings_predictions_back_as_published(name, size):
    case = settings(V2)['cases'][f'dav2/{name}/{size}']
    prediction = 1 + 0.1 * draw_noise(case['network_input'][2:], 11)
    model = model_of('depth_anything_v2_vits_relative')
    original = model._to_original(torch.from_numpy(prediction)[None, None], case['output'])[0, 0]
    check_recorded(original.numpy(), f'dav2/{name}/{size}/output')


def test_v2_sizes_are_the_published_ones():
    rule = ResizeShortSide(518, resize_depth=False)
    sizes = settings(V2)['sizes_518']
    assert len(sizes) >= 10
    for text, expected in sizes.items():
        height, width = map(int, text.split('x'))
        results = rule.transform(dict(img=np.zeros((height, width, 3), np.uint8)))
        assert list(results['img_shape']) == expected, text
        assert results['ori_shape'] == (height, width)


@pytest.mark.parametrize('name', ['nyu', 'kitti'])
@pytest.mark.parametrize(('size', 'side'), [(504, 'long'), (126, 'long'), (126, 'short')])
def test_v3_sees_the_published_network_input_and_focal_length(name, size, side):
    key = f'da3/{name}/{size}/{"upper" if side == "long" else "lower"}_bound_resize'
    if key not in settings(V3)['cases']:
        pytest.skip(f'{key} was not recorded')
    case = settings(V3)['cases'][key]
    results = dict(img=frame(name), cam_intrinsic=np.array(case['intrinsics_in']))
    results = ResizeThenSnap(size, side, resize_depth=False).transform(results)
    batch = prepared(results, 'depth_anything_3_mono_vits')
    check_recorded(batch['inputs'].numpy(), f'{key}/network_input')
    ours, published = results['cam_intrinsic'], np.array(case['intrinsics_out'])
    np.testing.assert_allclose(np.diag(ours), np.diag(published), rtol=1e-6)
    # Our pixel centres are at whole numbers, theirs scale as corners do: half a pixel, scaled.
    scale = np.diag(published)[:2] / np.diag(np.array(case['intrinsics_in']))[:2]
    np.testing.assert_allclose(ours[:2, 2], published[:2, 2] + (scale - 1) / 2, rtol=1e-6)


def test_v3_sizes_are_the_published_ones():
    rule = ResizeThenSnap(504, resize_depth=False)
    for text, expected in settings(V3)['sizes_504_upper_bound_resize'].items():
        height, width = map(int, text.split('x'))
        results = rule.transform(dict(img=np.zeros((height, width, 3), np.uint8)))
        assert list(results['img_shape']) == expected, text


def test_v3_replaces_the_sky_as_published():
    arrays = load_arrays('foundation_pre_post')
    depth = torch.from_numpy(arrays['da3/sky/depth_in'])
    sky = torch.from_numpy(arrays['da3/sky/sky_in'])
    replaced = replace_sky(depth, sky)
    assert relative_error(replaced.numpy(), arrays['da3/sky/depth_out']) < 1e-6
    # Image by image: an image with few sky pixels stays as it is.
    both = replace_sky(torch.cat([depth, depth]), torch.cat([sky, torch.zeros_like(sky)]))
    assert torch.equal(both[:1], replaced) and torch.equal(both[1:], depth)


def test_parts_of_a_published_file_start_a_training():
    case = load_case('depth_anything_v2_vits')
    model = model_of('depth_anything_v2_vits_hypersim')
    initial = model.state_dict()
    published = published_state(case)
    options = dict(method=V2, parts=['backbone.'])
    weights = weights_for_model(dict(model=published), options, initial, 'x.pth')
    assert set(weights) == set(initial)
    assert weights['backbone.net.norm.bias'] is published['pretrained.norm.bias']
    assert weights['decode_head.conv.bias'] is initial['decode_head.conv.bias']
