"""Plane2Depth: names, geometry, cameras, losses, training."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from depth.apis import DepthInferencer, inference_model, init_model
from depth.datasets import SampleIndex
from depth.engine.complexity import measure_complexity
from depth.engine.config import load_config
from depth.engine.converters import convert_official
from depth.engine.converters.convert import (
    build_without_weights,
    find_problems,
    import_project_converters,
    shipped_configs,
)
from depth.registry import DATASETS
from depth.structures import DepthDataSample
from projects.Plane2Depth.plane2depth.geometry import depth_from_planes, pixel_rays, plane_distance
from projects.Plane2Depth.plane2depth.losses import distance_loss, normal_loss
from tests.parity.recorded import load_arrays, load_case
from tests.shared import REPO

CONFIGS = REPO / 'projects/Plane2Depth/configs/Plane2Depth'
CAMERA = [[100.0, 0.0, 40.0], [0.0, 90.0, 30.0], [0.0, 0.0, 1.0]]


def tiny(**head):
    cfg = load_config(CONFIGS / 'plane2depth_tiny_rooms.py')
    cfg.model.decode_head.update(head)
    torch.manual_seed(0)
    return build_without_weights(cfg)


def sample(camera=CAMERA, size=(64, 96)):
    made = DepthDataSample(metainfo=dict(img_shape=size, ori_shape=size, img_path='a.png'))
    if camera is not None:
        made.intrinsics = torch.tensor(camera)
    return made


@pytest.mark.parametrize('name', ['NYU_480x640', 'KITTI_352x1120'])
@pytest.mark.parametrize('with_grids', [False, True])
def test_published_names_fill_the_shipped_models(name, with_grids):
    import_project_converters(REPO)
    case = load_case('plane2depth_swin_large_nyu')
    shapes = case['state_dict'] | (case['geometry_parameters'] if with_grids else {})
    state = {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}
    cfg = load_config(CONFIGS / f'plane2depth_swin_large_{name}.py')
    assert find_problems(convert_official('plane2depth', state), cfg) == ''
    assert CONFIGS / f'plane2depth_swin_large_{name}.py' in list(
        shipped_configs('plane2depth', REPO)
    )
    with torch.device('meta'):
        model = build_without_weights(cfg)
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']


def test_weight_decay_spares_the_published_tensors():
    import_project_converters(REPO)
    shapes = load_case('plane2depth_swin_large_nyu')['state_dict']
    names = list(shapes)
    # Tensors of one number each, broadcast, so that the large model needs no memory.
    numbered = {
        name: torch.tensor(float(index)).expand(shapes[name]) for index, name in enumerate(names)
    }
    converted = convert_official('plane2depth', numbered)
    source = {ours: names[int(value.flatten()[0])] for ours, value in converted.items()}
    cfg = load_config(CONFIGS / 'plane2depth_swin_large_NYU_480x640.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    groups = build_optim_wrapper(model, cfg.optim_wrapper).optimizer.param_groups
    actual = {
        parameter: (group['lr'], group['weight_decay'])
        for group in groups
        for parameter in group['params']
    }
    for name, parameter in model.named_parameters():
        published = source[name]
        free = (
            'norm',
            '.gn.',
            'query_embed',
            'query_feat',
            'decode_head.level_embed',
            'relative_position_bias_table',
        )
        rate = 1e-5 if published.startswith('backbone.') else 1e-4
        decay = 0.0 if any(key in published for key in free) else 0.05
        assert actual[parameter] == pytest.approx((rate, decay)), published


def test_operations_are_counted_alike_with_and_without_values():
    counts = {}
    for device in ('meta', 'cpu'):
        with torch.device(device):
            counts[device] = measure_complexity(tiny(), (64, 96), device)
    # Operators differ: the CPU has fused attention.
    assert counts['meta']['parts'] == counts['cpu']['parts']
    assert counts['meta']['parts']['decode_head']['flops'] > 0


def test_ten_predictions_are_what_the_formulas_say():
    """Planes, mixtures and depth of every prediction, pixel by pixel in NumPy."""
    model = tiny(
        decoder=dict(num_layers=9, num_heads=4, feedforward_channels=32), aux_layers=(2, 5)
    ).eval()
    head, inputs = model.decode_head, torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        feats = model.backbone(inputs)
        states = head.decoder(*head.pixel_decoder(feats))
        outputs = head(feats, [sample()], all_layers=True)
    assert outputs['layers'] == list(range(10)) and head.aux_weights == {2: 0.25, 5: 0.5}
    for number, state in enumerate(states):
        logits = state.mask_logits[0].double().numpy()
        probs = np.exp(logits - logits.max(0)) / np.exp(logits - logits.max(0)).sum(0)
        widths = np.exp(outputs['distance_logits'][0, number].double().numpy())
        widths /= widths.sum()
        edges = np.cumsum([1e-3, *widths])
        centers = (edges[1:] + edges[:-1]) / 2
        normals = outputs['plane_normals'][0, number].double().numpy()
        depth, expected_normals = np.zeros((16, 24)), np.zeros((3, 16, 24))
        for v in range(16):
            for u in range(24):
                normal = probs[:, v, u] @ normals
                normal /= np.linalg.norm(normal)
                ray = np.array([(u - 40 / 4) / (100 / 4), (v - 30 / 4) / (90 / 4), 1])
                distance = probs[:, v, u] @ centers * 10
                depth[v, u] = min(abs(distance / (normal @ ray + 1e-7)), 10)
                expected_normals[:, v, u] = normal
        assert np.allclose(outputs['layer_normals'][0, number].numpy(), expected_normals, atol=1e-4)
        assert np.allclose(outputs['layer_depths'][0, number].numpy(), depth, rtol=1e-3)


def test_a_tilted_plane_is_where_it_is():
    normal = torch.nn.functional.normalize(torch.tensor([0.3, -0.5, -0.8]), dim=0)
    rays = pixel_rays(torch.tensor([CAMERA]), (12, 16))
    normals = normal.view(1, 3, 1, 1).expand_as(rays)
    depth = depth_from_planes(normals, torch.full((1, 1, 12, 16), 2.5), rays)
    points = rays * depth
    assert torch.allclose((points * normals).sum(dim=1).abs(), torch.tensor(2.5), rtol=1e-5)
    assert torch.allclose(plane_distance(normals, depth, rays), torch.tensor(2.5), rtol=1e-5)
    # The plane facing the other way is the same plane.
    assert torch.allclose(
        depth_from_planes(-normals, torch.full((1, 1, 12, 16), 2.5), rays), depth, rtol=1e-5
    )


def test_rays_within_the_plane_give_finite_gradients():
    # The ray of the principal point is (0, 0, 1).
    rays = pixel_rays(torch.tensor([CAMERA]), (61, 81))
    normals = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 61, 81).requires_grad_()
    depth = depth_from_planes(normals, torch.ones(1, 1, 61, 81), rays).clamp(max=10)
    depth.sum().backward()
    assert depth[0, 0, 30, 40] == 10
    assert normals.grad.isfinite().all()


def test_published_rays_at_stride_four():
    rays = pixel_rays(
        torch.tensor([[[518.8579, 0, 325.5824], [0, 518.8579, 253.7362], [0, 0, 1]]]), (120, 160), 4
    )
    assert rays[0, :, 7, 11].tolist() == pytest.approx(
        [(11 - 81.3956) / 129.714475, (7 - 63.43405) / 129.714475, 1]
    )


def test_cameras_follow_crops_and_mirrors():
    camera = torch.tensor([CAMERA])
    rays = pixel_rays(camera, (60, 80), 4)
    shifted = camera.clone()
    shifted[0, :2, 2] -= torch.tensor([16.0, 8.0])
    assert torch.allclose(pixel_rays(shifted, (20, 30), 4), rays[:, :, 2:22, 4:34], atol=1e-6)
    mirrored = camera.clone()
    mirrored[0, 0, 2] = 80 - 1 - mirrored[0, 0, 2]
    flipped = pixel_rays(camera, (60, 80)).flip(-1) * torch.tensor([-1.0, 1.0, 1.0]).view(
        1, 3, 1, 1
    )
    assert torch.allclose(pixel_rays(mirrored, (60, 80)), flipped, atol=1e-6)


def test_the_default_camera_is_for_images_without_one():
    model = tiny(default_intrinsics=CAMERA).eval()
    inputs = torch.randn(1, 3, 64, 96)
    other = [[50.0, 0.0, 40.0], [0.0, 50.0, 30.0], [0.0, 0.0, 1.0]]
    with torch.no_grad():
        bare = model(inputs)
        assert torch.equal(bare, model(inputs, [sample()]))
        assert torch.equal(bare, model(inputs, [sample(None)]))
        assert not torch.allclose(bare, model(inputs, [sample(other)]))
        assert model(torch.randn(2, 3, 61, 77)).shape == (2, 1, 61, 77)
    with pytest.raises(ValueError, match=r'a bare tensor has no intrinsics.*default_intrinsics'):
        tiny(default_intrinsics=None).eval()(inputs)
    without = sample(None)
    without.gt_depth = torch.ones(64, 96)
    with pytest.raises(ValueError, match=r'a\.png has no intrinsics'):
        model.train()(inputs, [without], mode='loss')


def test_inference_takes_a_camera_and_falls_back_to_the_configs():
    cfg = load_config(CONFIGS / 'plane2depth_tiny_rooms.py')
    cfg.default_intrinsics = CAMERA
    torch.manual_seed(0)
    model = init_model(cfg)
    image = np.random.RandomState(0).randint(0, 255, (64, 96, 3), np.uint8)
    default = inference_model(model, image)
    assert torch.equal(default.intrinsics, torch.tensor(CAMERA))
    assert torch.equal(default.pred_depth, inference_model(model, image, CAMERA).pred_depth)
    wide = [[30.0, 0.0, 40.0], [0.0, 30.0, 30.0], [0.0, 0.0, 1.0]]
    expected = inference_model(model, image, wide).pred_depth
    assert not torch.allclose(default.pred_depth, expected)
    inferencer = DepthInferencer(cfg, device='cpu')
    inferencer.model.load_state_dict(model.state_dict())
    actual = inferencer(image, intrinsics=(30, 30, 40, 30))['predictions'][0].pred_depth
    assert torch.equal(actual, expected)


def test_losses_by_hand():
    pred = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).repeat(1, 1, 2, 2)
    target = pred.clone()
    target[..., 0, 0] = torch.tensor([0.6, 0.8, 0.0])
    target[..., 1, 1] = torch.tensor([-1.0, 0.0, 0.0])
    mask = torch.tensor([[True, True], [True, False]]).view(1, 1, 2, 2)
    assert normal_loss(pred, target, mask).item() == pytest.approx(0.4 / 3)
    distances = torch.tensor([[1.0, 2.0], [3.0, 100.0]]).view(1, 1, 2, 2)
    assert distance_loss(distances, torch.full_like(distances, 2.0), mask).item() == pytest.approx(
        2 / 3
    )
    assert normal_loss(pred, target, torch.zeros_like(mask)).item() == 0


def test_depth_loss_is_the_published_one():
    values = load_arrays('scaledepth_losses')
    pred, target = (torch.from_numpy(values[f'input/{name}']) for name in ('pred', 'target'))
    head = tiny(loss_decode=dict(max_depth=10.0)).decode_head
    loss = head.losses_on_depth(pred[:, 0], target)['depth']
    assert loss.item() == pytest.approx(float(values['sig/plane2depth_max_depth_10']), rel=1e-5)


def rooms(count=4, **pack):
    cfg = load_config(CONFIGS / 'plane2depth_tiny_rooms.py').train_dataloader.dataset
    pipeline = [dict(type='PackDepthInputs', **pack)]
    data = DATASETS.build(dict(cfg, num_scenes=count, image_size=(64, 64), pipeline=pipeline))
    actual = [data[SampleIndex(index, (0, index))] for index in range(count)]
    return {key: [one[key] for one in actual] for key in ('inputs', 'data_samples')}


@pytest.mark.slow
def test_four_rooms_are_learned_and_gradients_reach_every_parameter():
    model = tiny().train()
    batch = model.data_preprocessor(rooms(), training=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses, reached = [], set()
    for _ in range(40):
        values = model(**batch, mode='loss')
        assert set(values) == {
            'loss_depth',
            'loss_normal',
            'loss_distance',
            'aux_loss_depth_1',
            'aux_loss_depth_2',
        }
        optimizer.zero_grad()
        sum(values.values()).backward()
        reached |= {
            name
            for name, parameter in model.named_parameters()
            if parameter.grad is not None and parameter.grad.abs().sum() > 0
        }
        optimizer.step()
        losses.append(sum(values.values()).item())
    assert {name for name, _ in model.named_parameters()} - reached == set()
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_normals_of_the_data_set_go_before_fitted_ones():
    head = tiny().decode_head
    batch = rooms(2, with_normals=True)['data_samples']
    gt_depth = torch.stack([one.gt_depth for one in batch]).unsqueeze(1)
    intrinsics = torch.stack([one.intrinsics for one in batch])
    targets, valid = head.target_normals(gt_depth, intrinsics, batch)
    assert torch.equal(targets, torch.stack([one.normals for one in batch])) and valid.all()
    fitted, fits = head.target_normals(gt_depth, intrinsics, [sample(), *batch[1:]])
    cosine = (targets * fitted).sum(dim=1, keepdim=True)[fits]
    assert 0.5 < fits.float().mean() < 1
    assert cosine.median() > 0.9999 and cosine.mean() > 0.98


def test_an_image_without_ground_truth_gives_finite_losses():
    model = tiny().train()
    batch = rooms(2)
    for one in batch['data_samples']:
        one.gt_depth.zero_()
    batch = model.data_preprocessor(batch, training=True)
    values = model(**batch, mode='loss')
    sum(values.values()).backward()
    assert all(value.isfinite() for value in values.values())
    assert values['loss_normal'].item() == values['loss_distance'].item() == 0
    assert all(
        parameter.grad is None or parameter.grad.isfinite().all()
        for parameter in model.parameters()
    )
