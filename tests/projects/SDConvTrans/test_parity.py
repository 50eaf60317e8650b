"""SD-ConvTrans against the recorded case and the recorded losses, and its own parts against closed forms."""

import re

import numpy as np
import pytest
import torch

from depth.engine.config import load_config
from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, import_project_converters
from tests.parity.cases import load_arrays, load_case, published_state, relative_error
from tests.parity.recorded import draw_noise
from tests.shared import REPO

NAME = 'sdconvtrans_mitb0'
CONFIG = REPO / 'projects/SDConvTrans/configs/SDConvTrans/sdconvtrans_r101_mitb0_nyu.py'


@pytest.fixture(scope='module')
def case():
    return load_case(NAME)


@pytest.fixture(scope='module')
def state(case):
    import_project_converters(REPO)
    return published_state(case)


@pytest.fixture(scope='module')
def model(state):
    model = build_without_weights(load_config(CONFIG)).eval()
    model.load_state_dict(convert_official('sdconvtrans', state))
    return model


def stage_modules(model):
    """Return the modules behind the recorded stages; a list of names is that of successive calls."""
    head, pyramid = model.decode_head, model.decode_head.pyramid
    stages = {
        'toplayer': pyramid.laterals[3],
        **{f'smooth{index + 1}': pyramid.smooths[2 - index] for index in range(3)},
        **{f'up{index + 1}': head.ups[2 - index] for index in range(3)},
        'predict1': head.fuse,
    }
    modules = {module: [f'low/{name}', f'high/{name}'] for name, module in stages.items()}
    for index, module in enumerate(head.conv_aggregations):
        modules[module] = [f'low/agg{index + 1}_p{5 - index}', f'high/agg{index + 1}_p{index + 2}']
    for index, module in enumerate(head.transformer_aggregations):
        modules[module] = [f'high/aggs{index + 1}']
    net = model.backbone.transformer.net
    return modules | {
        head.detail_aggregation: ['high/agg5'],
        head.conv_depth: ['high/logit', 'low/logit'],
        net.patch_embed.proj: ['high/mit_patch_embed1_conv'],
        net.stages_0.blocks[0]: ['high/mit_block1_0'],
        net.stages_2.blocks[1]: ['high/mit_block3_1'],
    }


def record(model, views):
    """Run the model; return its depth, the head's outputs and the stages by their recorded names."""
    stages, calls = {}, {}

    def remember(names):
        left = list(names)
        return lambda module, inputs, output: stages.__setitem__(left.pop(0), output)

    hooks = [
        module.register_forward_hook(remember(names))
        for module, names in stage_modules(model).items()
    ]

    def remember_diffusion(module, inputs, output):
        stages['high/tbdn'], stages['high/tbdn_guided'] = output

    hooks.append(model.decode_head.diffusion.register_forward_hook(remember_diffusion))
    hooks.append(
        model.decode_head.register_forward_hook(
            lambda _, inputs, outputs: calls.update(feats=inputs[0], outputs=outputs)
        )
    )
    with torch.inference_mode():
        depth = model(views)
    for hook in hooks:
        hook.remove()
    feats, outputs = calls['feats'], calls['outputs']
    for branch in ('low', 'high'):
        stages |= {
            f'{branch}/resnet_{index + 1}': level for index, level in enumerate(feats[branch])
        }
    stages |= {f'high/mit_{index}': level for index, level in enumerate(feats['transformer'])}
    return depth, outputs, {name: value.numpy() for name, value in stages.items()}


def test_published_outputs_are_reproduced(model, case):
    expected = load_arrays(NAME)
    views = {
        ours: torch.from_numpy(draw_noise(case['input_shape'][theirs], case['input_seed'][theirs]))
        for ours, theirs in (('low', 'x_L'), ('high', 'x_H'))
    }
    depth, outputs, stages = record(model, views)
    assert relative_error(outputs['base_depth'].numpy() / 10, expected['depth_low']) < 1e-4
    assert relative_error(outputs['depth'].numpy() / 10, expected['depth_high']) < 1e-4
    recorded = {
        name.split('/', 1)[1].rsplit('/', 1)[0] for name in expected if name.startswith('stage/')
    }
    # resnet_0 is inside timm's network, in front of the first level.
    assert recorded - set(stages) == {'low/resnet_0', 'high/resnet_0'}
    assert set(stages) <= recorded
    for name, actual in stages.items():
        indices = np.linspace(0, actual.size - 1, 64).astype(int)
        assert actual.shape == tuple(expected[f'stage/{name}/shape']), name
        assert relative_error(actual.ravel()[indices], expected[f'stage/{name}/samples']) < 1e-4, (
            name
        )
        stats = np.array([actual.mean(), actual.std(), actual.min(), actual.max()])
        assert relative_error(stats, expected[f'stage/{name}/stats']) < 1e-4, name
    assert depth.shape == (1, 1, 480, 640)
    up = torch.nn.functional.interpolate(outputs['depth'], size=(480, 640), mode='bilinear')
    assert relative_error(depth.numpy(), up.clamp(1e-3, 10).numpy()) < 1e-4


def test_parameters_are_the_published_ones_without_the_unused(model, case):
    unused = sum(
        int(np.prod(shape))
        for name, shape in case['state_dict'].items()
        if re.match(r'(decode_head|tbdn\.conv1)\.', name)
        and not re.search(r'running|batches', name)
    )
    assert unused == 542_721
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params'] - unused


def test_a_file_without_the_difference_convolution_is_refused(state):
    left = {name: value for name, value in state.items() if 'conv_gg' not in name}
    with pytest.raises(ValueError, match=r'has no tbdn\.conv_gg\.weight'):
        convert_official('sdconvtrans', left)


@pytest.mark.parametrize(
    ('number', 'published'),
    [(1, 13_151_424), (2, 24_196_288), (3, 44_072_128), (4, 60_842_688), (5, 81_443_008)],
)
def test_larger_transformers_fit_by_name_alone(number, published):
    cfg = load_config(CONFIG, {'model.backbone.transformer.model_name': f'pvt_v2_b{number}'})
    with torch.device('meta'):
        model = build_without_weights(cfg).eval()
        assert model(torch.zeros(1, 3, 96, 128)).shape == (1, 1, 96, 128)
    transformer = model.backbone.transformer
    assert sum(parameter.numel() for parameter in transformer.parameters()) == published
