import numpy as np
import pytest
import torch

from depth.apis import inference_model, init_model
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.converters import convert_official, write_converted
from depth.engine.converters.convert import (
    build_without_weights,
    compare,
    import_project_converters,
)
from tests.parity.cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
)
from tests.shared import REPO

PROJECT = REPO / 'projects' / 'EPCDepth'
CONFIGS = sorted((PROJECT / 'configs').glob('[!_]*/*.py'))


@pytest.fixture(scope='module', autouse=True)
def converters():
    import_project_converters(REPO)


def config(name):
    return load_config(PROJECT / 'configs' / 'EPCDepth' / f'{name}.py')


@pytest.fixture(scope='module')
def reproduced():
    """Return the converted model, its normalised input and the recorded outputs."""
    case = load_case('epcdepth_resnet18')
    model = build_without_weights(config('epcdepth_r18_kitti_192x640')).eval()
    model.load_state_dict(convert_official('epcdepth', published_state(case)))
    return model, (image(case) - 0.45) / 0.225, load_arrays('epcdepth_resnet18')


def test_published_outputs_are_reproduced_at_all_scales(reproduced):
    model, inputs, expected = reproduced
    outputs = {}

    def remember(name):
        return lambda module, args, output: outputs.__setitem__(name, output)

    head = model.decode_head
    stages = {
        f'decoder_{name}': head.get_submodule(name)
        for name in ('stage5d', 'stage4d', 'stage3d', 'stage1d')
    }
    stages |= {'decoder_stage2d': head.stage2d}
    stages |= {f'decoder_stage2d.{name}': module for name, module in head.stage2d.named_children()}
    stages |= {
        f'encoder_disp_feature_{i}': output.bottleneck
        for i, output in enumerate(head.encoder_disps)
    }
    convs = [output[0] for output in head.disps][::-1] + [
        output.disp[0] for output in head.encoder_disps
    ][::-1]
    stages |= {f'disp_logit_{i}': conv for i, conv in enumerate(convs)}
    handles = [module.register_forward_hook(remember(name)) for name, module in stages.items()]
    with torch.inference_mode():
        feats = model.extract_feat(inputs)
        sigmoids = head.all_sigmoids(feats)
    for handle in handles:
        handle.remove()
    for index, sigmoid in enumerate(sigmoids):
        assert relative_error(sigmoid.numpy(), expected[f'disp_{index}']) < 1e-4, index
    outputs |= {f'encoder_{i}': feat for i, feat in enumerate(feats)}
    outputs['scaled_disp_0'] = head.to_inverse_depth(sigmoids[0]) * 5.4
    outputs['depth_0'] = head.to_depth(sigmoids[0]) / 5.4
    recorded = {name.split('/')[1] for name in expected if name.startswith('stage/')}
    assert recorded == set(outputs)
    for name, actual in outputs.items():
        stage = {key: expected[f'stage/{name}/{key}'] for key in ('shape', 'stats', 'samples')}
        actual = actual.numpy()
        assert actual.shape == tuple(stage['shape'])
        indices = np.linspace(0, actual.size - 1, len(stage['samples'])).astype(int)
        assert relative_error(actual.ravel()[indices], stage['samples']) < 1e-4, name
        stats = np.array([actual.mean(), actual.std(), actual.min(), actual.max()])
        assert relative_error(stats, stage['stats']) < 1e-4, name


def test_tensor_mode_is_metric_depth_of_the_finest_output(reproduced):
    model, inputs, expected = reproduced
    with torch.inference_mode():
        depth = model(inputs, mode='tensor').numpy()
    # The published sigmoid is linear in inverse depth, between 0.01 and 10 per unit of 5.4 m.
    assert relative_error((5.4 / depth - 0.01) / 9.99, expected['disp_0']) < 1e-4
    assert depth.max() > 80  # not clamped


def test_inference_leaves_the_encoder_heads_out(reproduced):
    model, inputs, _ = reproduced
    model.decode_head.encoder_disps[0].register_forward_hook(
        lambda *args: pytest.fail('an encoder head ran')
    )
    with torch.inference_mode():
        assert len(model.decode_head(model.extract_feat(inputs))['sigmoids']) == 5
    model.decode_head.encoder_disps[0]._forward_hooks.clear()


@pytest.mark.parametrize(
    ('case_name', 'config_name', 'decoder', 'encoder_outputs'),
    [
        ('epcdepth_resnet18', 'epcdepth_r18_kitti_192x640', 15_171_546, 11_967_429),
        ('epcdepth_resnet18', 'epcdepth_r18_kitti_320x1024', 15_171_546, 11_967_429),
        ('epcdepth_resnet50', 'epcdepth_r50_kitti_320x1024', 30_433_242, 21_367_749),
    ],
)
def test_published_names_fill_the_shipped_model(case_name, config_name, decoder, encoder_outputs):
    cfg = config(config_name)
    with torch.device('meta'):
        published = {
            name: torch.empty(shape) for name, shape in load_case(case_name)['state_dict'].items()
        }
        model = build_without_weights(cfg)
    assert compare(convert_official('epcdepth', published), model_shapes(cfg)) == ''
    assert count(model.decode_head) == decoder
    assert count(model.decode_head.encoder_disps) == encoder_outputs


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ('backbone', 'expected'), [('resnet18', 3_152_724), ('resnet50', 9_014_100)]
)
def test_plain_decoder_has_the_published_size(backbone, expected):
    from depth.models.backbones import TimmBackbone
    from depth.models.heads import MonodepthHead

    with torch.device('meta'):
        head = MonodepthHead(TimmBackbone(backbone).out_channels)
    assert count(head) == expected


@pytest.mark.slow
def test_a_published_file_with_two_dicts_is_converted(tmp_path):
    state = published_state(load_case('epcdepth_resnet18'))
    states = {'encoder': {}, 'depth_decoder': {}}
    for name, value in state.items():
        module_name, _, suffix = name.partition('.')
        states[module_name][suffix] = value
    optimizer = dict(state={0: dict(step=3, exp_avg=torch.zeros(2))}, param_groups=[dict(lr=1e-4)])
    path = tmp_path / 'epcdepth_r18_kitti_192x640_published.pth'
    torch.save(
        dict(states, epoch=19, abs_rel=0.1, optimizer=optimizer, lr_scheduler=dict(last_epoch=19)),
        path,
    )
    fitting = write_converted('epcdepth', path, tmp_path / 'ours.pth', root=REPO)
    assert [path.stem for path in fitting] == ['epcdepth_r18_kitti_192x640']
    written = torch.load(tmp_path / 'ours.pth', weights_only=True)['state_dict']
    expected = convert_official('epcdepth', state)
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], value) for name, value in expected.items())


@pytest.mark.parametrize('size', [(128, 160), (160, 170)])
def test_sizes_that_do_not_fit_are_refused_in_words(size):
    model = build_without_weights(config('epcdepth_r18_kitti_192x640')).eval()
    with pytest.raises(ValueError, match='multiples of 32 and at least 160'):
        model(torch.zeros(1, 3, *size), mode='tensor')


def test_images_of_any_size_are_inferred_without_ground_truth():
    torch.manual_seed(0)
    model = init_model(config('epcdepth_r18_kitti_192x640'))
    image = np.random.RandomState(0).randint(0, 256, (94, 311, 3), dtype=np.uint8)
    sample = inference_model(model, image)
    assert sample.pred_depth.shape == (94, 311)
    assert sample.pred_inverse_depth.shape == (192, 640)
    assert sample.metainfo['tta'] == 'flip_ramps'
    assert 0.54 <= sample.pred_depth.min() <= sample.pred_depth.max() <= 540


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_is_sound_and_builds(path):
    cfg = load_config(path)
    check_config(cfg)
    with torch.device('meta'):
        assert count(build_without_weights(cfg)) > 1e6
