"""MoGe-2 against the recorded cases: network, encoder input, recovered camera."""

import math

import numpy as np
import pytest
import torch

from depth.datasets import SampleIndex
from depth.engine.converters import convert_official, write_converted
from depth.engine.converters.convert import build_without_weights, compare
from depth.models.estimators.moge_estimator import token_grid
from depth.registry import DATASETS
from depth.structures import DepthDataSample
from tests.shared import REPO, SEED

from .cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    shipped_config,
    stage_errors,
)
from .recorded import Sampled, draw_samples

NAME = 'moge2_vits'
PRE_POST = load_case('foundation_pre_post')['moge']


@pytest.fixture(scope='module')
def tiny_model():
    return build_without_weights(shipped_config('synthetic/moge_tiny_rooms.py')).eval()


def record(head):
    """Return a dict that fills with the outputs of the recorded stages when the head runs."""
    stages = {}
    modules = {
        'encoder/output_projections/0': head.projections[0],
        'neck/resamplers/0': head.neck.resamplers[0],
        'neck/res_blocks/3': head.neck.blocks[3],
        'points_head/output_blocks/4': head.points_head.output,
    }
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: stages.update({name: output})
        )
    return stages


def test_published_outputs_are_reproduced():
    case, expected = load_case(NAME), load_arrays(NAME)
    cfg = shipped_config(f'moge/{NAME}.py')
    cfg.model.test_cfg.num_tokens = 108
    model = build_without_weights(cfg).eval()
    model.load_state_dict(convert_official('moge2', published_state(case)))
    unused = 384  # the mask token
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params'] - unused
    stages = record(model.decode_head)
    pixels = (0.5 + 0.2 * image(case)).clamp(0, 1) * 255
    inputs = (pixels - model.data_preprocessor.mean) / model.data_preprocessor.std
    with torch.inference_mode():
        outputs = model.predict_geometry(inputs)
        main = model(inputs, mode='tensor')
    # Random weights give points up to 1e4, so that errors are relative.
    assert relative_error(outputs['points'].permute(0, 2, 3, 1).numpy(), expected['points']) < 1e-4
    assert relative_error(outputs['normals'].permute(0, 2, 3, 1).numpy(), expected['normal']) < 1e-4
    assert relative_error(outputs['mask'][:, 0].numpy(), expected['mask']) < 1e-4
    assert relative_error(outputs['metric_scale'].numpy(), expected['metric_scale']) < 1e-4
    torch.testing.assert_close(main, outputs['points'][:, 2:])
    errors = stage_errors(stages, expected)
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize('size', ['vits', 'vitb'])
def test_published_names_fill_the_shipped_model(size):
    shapes = load_case(f'moge2_{size}')['state_dict']
    published = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    converted = convert_official('moge2', published)
    assert compare(converted, model_shapes(shipped_config(f'moge/moge2_{size}.py'))) == ''
    with pytest.raises(ValueError, match='upsample_head'):
        convert_official('moge2', published | {'upsample_head.weight': torch.zeros(1)})


def test_the_large_model_has_the_published_number_of_parameters():
    shapes = model_shapes(shipped_config('moge/moge2_vitl.py'))
    assert round(sum(shape.numel() for shape in shapes.values()) / 1e6) == 331  # its README


def test_a_published_file_is_converted_and_carries_its_config_and_licences(tmp_path):
    """The decoder's widths are those of the file, as in the released small models."""
    case = load_case(NAME)
    model_config = case['settings']
    channels = (64, 32, 16, 16, 8)
    for module in ('neck', 'points_head', 'normal_head', 'mask_head'):
        model_config[module]['dim_res_blocks'] = list(channels)
    model_config['encoder'].update(dim_out=64, intermediate_layers=[4, 6, 8, 11])
    model_config['scale_head']['dims'] = [384, 64, 64, 1]
    cfg = shipped_config('moge/moge2_vits.py')
    cfg.model.decode_head.channels = channels
    ours = build_without_weights(cfg).state_dict()
    shapes = {}
    for name in case['state_dict']:
        (new_name,) = convert_official('moge2', {name: torch.zeros(1)}) or [None]
        shapes[name] = tuple(ours[new_name].shape) if new_name else case['state_dict'][name]
    state = {f'module.{name}': torch.zeros(shape) for name, shape in shapes.items()}
    torch.save(dict(model_config=model_config, model=state), tmp_path / 'model.pt')
    config = REPO / 'configs/moge/moge2_vits.py'
    fitting = write_converted('moge2', tmp_path / 'model.pt', tmp_path / 'ours.pth', config=config)
    assert fitting == [config]
    meta = torch.load(tmp_path / 'ours.pth', weights_only=True)['meta']
    assert meta['code_licence'].startswith('MIT')
    assert list(meta['cfg']['model']['decode_head']['channels']) == list(channels)
    assert list(meta['cfg']['model']['backbone']['out_indices']) == [4, 6, 8, 11]
    model_config['remap_output'] = 'sinh'
    torch.save(dict(model_config=model_config, model=state), tmp_path / 'model.pt')
    with pytest.raises(ValueError, match='remap_output of the file is sinh'):
        write_converted('moge2', tmp_path / 'model.pt', tmp_path / 'ours.pth', config=config)


@pytest.mark.parametrize('name', list(PRE_POST['cases']))
def test_the_encoder_gets_the_published_input(name, tiny_model):
    case, arrays = PRE_POST['cases'][name], load_arrays('foundation_pre_post')
    rgb = arrays[f'input/{name.split("/")[1]}']
    bgr = torch.from_numpy(np.ascontiguousarray(rgb[..., ::-1].transpose(2, 0, 1)))
    inputs = tiny_model.data_preprocessor(dict(inputs=[bgr]))['inputs']
    assert token_grid(case['num_tokens'], rgb.shape[1] / rgb.shape[0]) == tuple(case['base'])
    resized = tiny_model.resize_to_tokens(inputs, case['num_tokens']).numpy()
    assert list(resized.shape) == case['network_input']
    if f'{name}/network_input' in arrays:
        assert relative_error(resized, arrays[f'{name}/network_input']) < 1e-4
        return
    indices = np.linspace(0, resized.size - 1, 64).astype(int)
    expected = arrays[f'{name}/network_input/samples']
    assert relative_error(resized.ravel()[indices], expected) < 1e-4


@pytest.mark.parametrize('name', list(PRE_POST['infer']['cases']))
def test_camera_depth_and_points_are_the_published_ones(name, tiny_model, monkeypatch):
    case, arrays = PRE_POST['infer']['cases'][name], load_arrays('foundation_pre_post')
    orientation = name.rsplit('/', 1)[0]
    points = torch.from_numpy(arrays[f'{orientation}/points_in']).permute(0, 3, 1, 2)
    outputs = dict(
        points=points,
        mask=torch.from_numpy(arrays[f'{orientation}/mask_in'])[:, None],
        normals=torch.nn.functional.normalize(points, dim=1),
        metric_scale=torch.tensor([case['metric_scale']]),
    )
    monkeypatch.setattr(tiny_model, 'predict_geometry', lambda inputs: outputs)
    height, width = case['size']
    sample = DepthDataSample(metainfo=dict(ori_shape=(height, width), img_shape=(height, width)))
    if case['fov_x'] is not None:
        focal = width / 2 / math.tan(math.radians(case['fov_x']) / 2)
        sample.intrinsics = torch.tensor(
            [[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]]
        )
    tiny_model(torch.zeros(1, 3, height, width), [sample], mode='predict')
    mask = sample.pred_mask
    assert int(mask.sum()) == case['mask_true']
    depth = np.where(mask.numpy(), sample.pred_depth.numpy(), np.inf)[None]
    expected = arrays[f'{name}/depth']
    if isinstance(expected, Sampled):
        depth, expected = draw_samples(depth), expected.samples
    finite = np.isfinite(expected)
    assert np.array_equal(finite, np.isfinite(depth))
    # The published solver stops at a relative change of 1e-3, this one goes on to the minimum.
    assert relative_error(depth[finite], expected[finite]) < 1e-4
    share = sample.pred_intrinsics / torch.tensor([[width], [height], [1]])
    assert share[0, 0].item() == pytest.approx(case['intrinsics'][0][0], rel=1e-4)
    assert share[1, 1].item() == pytest.approx(case['intrinsics'][1][1], rel=1e-4)
    assert (sample.pred_intrinsics[0, 2].item() + 0.5) / width == pytest.approx(0.5)
    indices = np.linspace(0, points.numel() - 1, 64).astype(int)
    samples = sample.pred_points.permute(1, 2, 0).reshape(-1).numpy()[indices]
    published = arrays[f'{name}/points/samples']
    finite = np.isfinite(published)
    assert relative_error(samples[finite], published[finite]) < 1e-4
    assert not samples[~finite].any()
    assert not sample.pred_normals[:, ~mask].any()


def test_images_of_unequal_size_keep_their_own_cameras(tiny_model):
    """A batch predicts what its images predict alone, with a camera given and without."""
    generator = torch.Generator().manual_seed(0)
    images = []
    for size in ((48, 64), (64, 48)):
        images.append(torch.randint(256, (3, *size), generator=generator).byte())

    def predict(chosen):
        samples = []
        for index in chosen:
            size = tuple(images[index].shape[-2:])
            samples.append(DepthDataSample(metainfo=dict(ori_shape=size, img_shape=size)))
        samples[0].intrinsics = torch.tensor([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
        data = dict(inputs=[images[index] for index in chosen], data_samples=samples)
        return tiny_model(**tiny_model.data_preprocessor(data), mode='predict')

    together = predict([0, 1])
    assert together[0].pred_intrinsics[0, 0].item() == pytest.approx(60, rel=1e-5)
    torch.testing.assert_close(together[0].pred_depth, predict([0])[0].pred_depth)
    assert together[1].pred_points.shape == (3, 64, 48)


def test_a_camera_follows_the_resize_to_the_original(tiny_model):
    sample = DepthDataSample(metainfo=dict(ori_shape=(48, 128), img_shape=(48, 64)))
    sample.intrinsics = torch.tensor([[60.0, 0, 31.5], [0, 60, 23.5], [0, 0, 1]])
    tiny_model(torch.randn(1, 3, 48, 64), [sample], mode='predict')
    expected = torch.tensor([[120.0, 0, 63.5], [0, 60, 23.5], [0, 0, 1]])
    torch.testing.assert_close(sample.pred_intrinsics, expected)
    assert sample.pred_depth.shape == sample.pred_mask.shape == (48, 128)


@pytest.mark.parametrize('options', [dict(flip=True), dict(mode='slide'), dict(num_tokens=0)])
def test_impossible_options_are_refused(options):
    cfg = shipped_config('synthetic/moge_tiny_rooms.py')
    cfg.model.test_cfg.update(options)
    with pytest.raises(ValueError, match=next(iter(options))):
        build_without_weights(cfg)


def test_rooms_are_learned_and_gradients_reach_every_parameter():
    torch.manual_seed(SEED)
    cfg = shipped_config('synthetic/moge_tiny_rooms.py')
    cfg.model.train_cfg.num_tokens_range = (9, 16)
    cfg.model.decode_head.loss_decode.align_resolution = 6
    model = build_without_weights(cfg).train()
    rooms = DATASETS.build(dict(cfg.train_dataloader.dataset, num_scenes=2, image_size=(48, 48)))
    samples = [rooms[SampleIndex(index, (0, index))] for index in range(2)]
    batch = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
    batch = model.data_preprocessor(batch, training=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    history, reached = [], set()
    for _ in range(25):
        losses = model(**batch, mode='loss')
        optimizer.zero_grad()
        sum(losses.values()).backward()
        reached |= {
            name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()
        }
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    assert reached == {name for name, _ in model.named_parameters()}
    # The first points are aligned by a negative scale, which gives no global loss.
    assert history[-1]['loss_global'] > 0
    assert history[-1]['loss_edge'] < 0.8 * history[0]['loss_edge']
    assert history[-1]['loss_normal_map'] < 0.6 * history[0]['loss_normal_map']


def test_an_image_without_a_camera_cannot_be_trained_on(tiny_model):
    sample = DepthDataSample(metainfo=dict(img_path='a.png'), gt_depth=torch.ones(8, 8))
    with pytest.raises(ValueError, match=r'a\.png has no camera'):
        tiny_model.decode_head.loss({}, torch.ones(1, 1, 8, 8), [sample])
