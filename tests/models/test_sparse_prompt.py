"""Models that take sparse depth: prompts of DPT decoders and early fusion."""

import copy

import pytest
import torch
from torch import nn

from depth.models.backbones.early_fusion import PointsConv2d
from depth.models.layers import append_points, fill_points, stack_sparse_depth
from depth.models.layers.sparse_points import fill_holes, halvings
from depth.registry import MODELS
from depth.structures import DepthDataSample

SIZE = (48, 80)
VIT = dict(model_args=dict(embed_dim=32, depth=4, num_heads=2), pretrained=False)
LEVELS = dict(
    in_channels=(32, 32, 32, 32), post_process_channels=(8, 8, 8, 8), channels=8, max_depth=10.0
)
DEPTH_ANYTHING = dict(
    type='DepthEstimator',
    backbone=dict(
        type='ViTBackbone',
        model_name='vit_tiny_patch16_dinov3_qkvb',
        out_indices=(0, 1, 2, 3),
        **VIT,
    ),
    decode_head=dict(type='DepthAnythingMetricHead', patch_size=16, align_corners=False, **LEVELS),
)
LOG_DEPTH = dict(
    DEPTH_ANYTHING,
    decode_head=dict(
        type='LogDepthHead',
        in_channels=(32, 32, 32, 32),
        post_process_channels=(8, 8, 8, 8),
        channels=8,
        patch_size=16,
        align_corners=False,
    ),
)
DPT = dict(
    type='DepthEstimator',
    backbone=dict(
        type='TimmBackbone',
        model_name='vit_tiny_patch16_224',
        out_indices=(0, 1, 2, 3),
        class_token=True,
        pretrained=False,
        model_args=dict(VIT['model_args'], dynamic_img_size=True),
    ),
    decode_head=dict(type='DPTHead', **LEVELS),
)
PROMPT = dict(decode_head=dict(prompt=dict(type='PromptFusion', hidden_channels=8)))
GUIDED = dict(
    decode_head=dict(prompt=dict(type='PromptFusion', hidden_channels=8, guide_channels=4))
)
METRIC_3 = dict(decode_head=dict(type='DepthAnything3MetricHead', with_sky=False))
EARLY = dict(backbone=dict(early_fusion=True))
MODELS_WITH_POINTS = dict(
    depth_anything=(DEPTH_ANYTHING, PROMPT),
    log_depth=(LOG_DEPTH, PROMPT),
    dpt=(DPT, PROMPT),
    guided=(DEPTH_ANYTHING, GUIDED),
    guided_dpt=(DPT, GUIDED),
    early_vit=(DEPTH_ANYTHING, EARLY),
    early_dpt=(DPT, EARLY),
)


def merged(config, *changes):
    config = copy.deepcopy(config)
    for change in changes:
        for part, options in change.items():
            config[part] = dict(config.get(part, {}), **options)
    return config


def build(config, *changes, seed=0):
    torch.manual_seed(seed)
    return MODELS.build(merged(config, *changes)).eval()


def with_points_layers(name):
    """Return the model of images, and the same with layers for points that are not at zero any more."""
    config, change = MODELS_WITH_POINTS[name]
    model, rgb = build(config, change), build(config)
    state = model.state_dict()
    own = rgb.state_dict()
    assert set(own) < set(state)
    model.load_state_dict(own, strict=False)
    torch.manual_seed(1)
    for key, parameter in model.named_parameters():
        if key not in own:
            nn.init.normal_(parameter, std=0.05)
    return rgb, model


def images(count=2, size=SIZE):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(3))


def samples(count=2, size=SIZE, share=0.05, **meta):
    generator = torch.Generator().manual_seed(4)
    items = []
    for _ in range(count):
        sample = DepthDataSample(metainfo=dict(img_shape=size, ori_shape=size, **meta))
        points = torch.rand(size, generator=generator) * 5 + 1
        chosen = torch.rand(size, generator=generator) < share
        sample.sparse_depth = torch.where(chosen, points, 0)
        items.append(sample)
    return items


@pytest.mark.parametrize('name', MODELS_WITH_POINTS)
def test_without_points_the_model_of_images_comes_out_bit_for_bit(name):
    rgb, model = with_points_layers(name)
    x, given = images(), samples()
    with torch.inference_mode():
        expected = rgb(x, mode='tensor')
        without = [DepthDataSample(metainfo=dict(sample.metainfo)) for sample in given]
        zeros = copy.deepcopy(given)
        for sample in zeros:
            sample.sparse_depth.zero_()
        assert torch.equal(model(x, mode='tensor'), expected)
        assert torch.equal(model(x, without, mode='tensor'), expected)
        assert torch.equal(model(x, zeros, mode='tensor'), expected)
        changed = model(x, given, mode='tensor')
        assert ((changed - expected).abs() > 1e-6).float().mean() > 0.9
        # Of a batch, the image without points is as it is alone, up to rounding.
        mixed = model(x, [given[0], without[1]], mode='tensor')
        assert torch.allclose(mixed[0], changed[0], atol=1e-5)
        assert torch.allclose(mixed[1], expected[1], atol=1e-6)


@pytest.mark.parametrize('name', MODELS_WITH_POINTS)
def test_the_layers_start_without_any_effect(name):
    config, change = MODELS_WITH_POINTS[name]
    model = build(config, change)
    with torch.inference_mode():
        assert torch.equal(
            model(images(), samples(), mode='tensor'), model(images(), mode='tensor')
        )


def test_a_checkpoint_of_the_model_of_images_is_a_start():
    from depth.engine.checkpoint import load_model_state

    for config, change in MODELS_WITH_POINTS.values():
        model, rgb = build(config, change, seed=5), build(config)
        load_model_state(model, rgb.state_dict(), 'rgb.pth')
        with torch.inference_mode():
            assert torch.equal(model(images(), mode='tensor'), rgb(images(), mode='tensor'))
        with pytest.raises(ValueError, match='unexpected'):
            load_model_state(rgb, model.state_dict(), 'points.pth')


@pytest.mark.parametrize('name', ['depth_anything', 'guided', 'early_dpt'])
def test_mirrored_images_come_with_mirrored_points(name):
    """The prediction with ``flip`` is the mean of both images, each with its own points."""
    _, model = with_points_layers(name)
    size, padded = (48, 70), (48, 80)
    x = torch.zeros(2, 3, *padded)
    x[..., :70] = images(size=size)
    given = samples(size=size, batch_input_shape=padded)
    for sample in given:
        sample.sparse_depth = nn.functional.pad(sample.sparse_depth, (0, 10))
    mirrored_x, mirrored = x.clone(), copy.deepcopy(given)
    mirrored_x[..., :70] = x[..., :70].flip(-1)
    for sample in mirrored:
        sample.sparse_depth[:, :70] = sample.sparse_depth[:, :70].flip(-1)
    with torch.inference_mode():
        direct = model(x, given, mode='tensor')[..., :70]
        other = model(mirrored_x, mirrored, mode='tensor')[..., :70].flip(-1)
        model.test_cfg['flip'] = True
        actual = model(x, copy.deepcopy(given), mode='predict')
    for index, sample in enumerate(actual):
        expected = ((direct + other) / 2)[index, 0]
        assert torch.allclose(sample.pred_depth, expected, atol=1e-5)


def test_windows_come_with_their_points():
    _, model = with_points_layers('depth_anything')
    x, given = images(), samples()
    model.test_cfg.update(mode='slide', crop_size=(48, 48), stride=(48, 32))
    total, count = torch.zeros(2, 1, *SIZE), torch.zeros(SIZE)
    with torch.inference_mode():
        actual = model(x, copy.deepcopy(given), mode='predict')
        for left in (0, 32):
            cut = copy.deepcopy(given)
            for sample in cut:
                sample.sparse_depth = sample.sparse_depth[:, left : left + 48]
            window = model(x[..., left : left + 48], cut, mode='tensor')
            total[..., left : left + 48] += window
            count[:, left : left + 48] += 1
    for index, sample in enumerate(actual):
        assert torch.allclose(sample.pred_depth, (total / count)[index, 0], atol=1e-5)


def test_a_batch_of_unequal_images_pads_points_with_their_images():
    model = with_points_layers('depth_anything')[1]
    sizes = [(48, 80), (40, 64)]
    x = [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in sizes]
    given = [samples(1, size)[0] for size in sizes]
    alone = []
    with torch.inference_mode():
        for image, sample in zip(x, given, strict=True):
            data = dict(inputs=[image], data_samples=[copy.deepcopy(sample)])
            alone += model(**model.data_preprocessor(data), mode='predict')
        data = dict(inputs=x, data_samples=copy.deepcopy(given))
        together = model(**model.data_preprocessor(data), mode='predict')
    for first, second in zip(alone, together, strict=True):
        assert torch.allclose(first.pred_depth, second.pred_depth, atol=1e-5)
    training = model.data_preprocessor(
        dict(inputs=x, data_samples=copy.deepcopy(given)), training=True
    )
    assert training['data_samples'][1].sparse_depth.shape == (48, 80)
    wrong = copy.deepcopy(given[:1])
    wrong[0].sparse_depth = torch.zeros(4, 4)
    with pytest.raises(ValueError, match=r'sparse_depth is \(4, 4\)'):
        model.data_preprocessor(dict(inputs=x[:1], data_samples=wrong))


def test_points_of_another_size_than_the_images_are_refused():
    given = samples(size=(48, 60))
    for name in ('depth_anything', 'early_vit'):
        model = build(*MODELS_WITH_POINTS[name])
        with pytest.raises(ValueError, match=r'sparse_depth is \(48, 60\)'):
            model(images(), given, mode='tensor')
    with pytest.raises(ValueError, match='all of one size'):
        stack_sparse_depth([*samples(1), *samples(1, (8, 8))], images())


def test_only_the_new_layers_are_trained_beside_a_frozen_model():
    change = dict(decode_head=dict(prompt=dict(type='PromptFusion', train_alone=True)))
    model = build(DEPTH_ANYTHING, change, dict(backbone=dict(freeze=True))).train()
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained
    assert all(name.startswith('decode_head.prompt_fusion.') for name in trained)
    early = build(DEPTH_ANYTHING, dict(backbone=dict(freeze=True, early_fusion=True)))
    names = [
        name for name, parameter in early.backbone.named_parameters() if parameter.requires_grad
    ]
    assert names == ['net.patch_embed.proj.point_weight']


def test_points_improve_a_small_model_within_seconds():
    """Beside a frozen random model, the prompt's layers learn depth that images cannot tell."""
    change = dict(decode_head=dict(prompt=dict(type='PromptFusion', train_alone=True)))
    model = build(DEPTH_ANYTHING, change, dict(backbone=dict(freeze=True)))
    before = model(images(), mode='tensor')
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.meshgrid(torch.arange(48.0), torch.arange(80.0), indexing='ij')

    def batch(count=4):
        items = samples(count, share=0.03)
        for sample in items:
            slopes = torch.rand(3, generator=generator)
            inverse = (
                0.15 + 0.2 * slopes[0] + 0.003 * slopes[1] * rows + 0.002 * slopes[2] * columns
            )
            sample.gt_depth = 1 / inverse
            sample.sparse_depth = torch.where(sample.sparse_depth > 0, sample.gt_depth, 0)
        return items

    def abs_rel(given, with_points=True):
        with torch.inference_mode():
            depth = model(images(len(given)), given if with_points else None, mode='tensor')
        target = torch.stack([sample.gt_depth for sample in given])[:, None]
        return float(((depth - target).abs() / target).mean())

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    model.train()
    for _ in range(30):
        losses = model(images(2), batch(2), mode='loss')
        optimizer.zero_grad()
        losses['loss_depth'].backward()
        optimizer.step()
    model.eval()
    test = batch(6)
    assert abs_rel(test) < abs_rel(test, with_points=False) / 3
    assert torch.equal(model(images(), mode='tensor'), before)


def test_heads_of_other_quantities_take_no_prompt():
    for kind in ('DepthAnythingRelativeHead', 'DepthAnything3Head'):
        with pytest.raises(ValueError, match=f'{kind} takes no prompt'):
            build(DEPTH_ANYTHING, PROMPT, dict(decode_head=dict(type=kind)))


def test_the_metric_head_with_a_camera_is_corrected_in_metres():
    model = build(DEPTH_ANYTHING, PROMPT, METRIC_3)
    given = samples()
    for sample, focal in zip(given, (300.0, 600.0), strict=True):
        sample.intrinsics = torch.tensor([[focal, 0, 40], [0, focal, 24], [0, 0, 1]])
    # All of the first share: depth is that of the filled points, whatever the camera.
    model.decode_head.prompt_fusion.output[-1].bias.data[0] = 1
    with torch.inference_mode():
        depth = model(images(), given, mode='tensor')
    points = stack_sparse_depth(given, images())
    assert torch.allclose(depth[points > 0], points[points > 0], rtol=1e-4)


def test_an_estimator_that_brings_no_points_refuses_early_fusion():
    config = merged(DEPTH_ANYTHING, EARLY) | dict(type='ZoeDepthEstimator')
    config['train_cfg'] = config['test_cfg'] = dict(network_size=(32, 32))
    with pytest.raises(ValueError, match='ZoeDepthEstimator brings no points'):
        MODELS.build(config)


def test_early_fusion_is_a_convolution_of_five_channels():
    torch.manual_seed(0)
    conv = nn.Conv2d(3, 6, 5, stride=2, padding=2)
    module = PointsConv2d(conv)
    nn.init.normal_(module.point_weight)
    whole = nn.Conv2d(5, 6, 5, stride=2, padding=2)
    whole.weight.data = torch.cat([conv.weight.data, module.point_weight.data], dim=1)
    whole.bias.data = conv.bias.data
    x = append_points(images(), samples())
    assert x.shape == (2, 5, *SIZE)
    assert torch.allclose(module(x), whole(x), atol=1e-5)
    points = samples()[0].sparse_depth
    assert torch.allclose(x[0, 3], torch.where(points > 0, points.clamp(min=1e-9).log(), 0))
    assert torch.equal(x[0, 4], (points > 0).float())


def test_filled_points_are_kept_and_planes_come_out():
    rows, columns = torch.meshgrid(torch.arange(60.0), torch.arange(90.0), indexing='ij')
    depth = 1 / (0.1 + 0.002 * rows + 0.001 * columns)
    chosen = torch.rand(60, 90, generator=torch.Generator().manual_seed(0)) < 0.03
    points = torch.where(chosen, depth, 0)[None, None]
    filled, gap = fill_points(points)
    assert torch.allclose(filled[points > 0], points[points > 0])
    inside = (slice(10, -10), slice(10, -10))
    error = ((filled[0, 0] - depth).abs() / depth)[inside]
    assert error.mean() < 0.03
    # With a quarter of the points the next one is one halving of the resolution farther.
    fewer = torch.where(torch.rand(60, 90) < 0.25, points, 0)
    assert (fill_points(fewer)[1] - gap).mean() == pytest.approx(1, abs=0.3)
    empty, _ = fill_points(torch.zeros_like(points))
    assert torch.equal(empty, torch.ones_like(points))
    # One value fills all; more than one stays between the least and the largest.
    single = torch.zeros(1, 1, 7, 9)
    single[..., 3, 4] = 2.5
    assert torch.allclose(fill_holes(single, single > 0)[0], torch.full_like(single, 2.5))
    assert filled.min() >= points[points > 0].min() * 0.999
    assert filled.max() <= points.max() * 1.001


def one_sided_affinities(size, column):
    """Return shares of the neighbours on the same side of an edge left of ``column``."""
    sides = (torch.arange(size[1]) >= column).float().expand(1, 1, *size)
    affinities = []
    for level in halvings(sides)[:-1]:
        padded = nn.functional.pad(level, (1, 1, 1, 1), mode='replicate')
        around = nn.functional.unfold(padded, 3).view(1, 9, *level.shape[-2:])
        same = ((around - level).abs() < 0.5).float()
        affinities.append(same / same.sum(dim=1, keepdim=True))
    return affinities


def test_affinities_keep_values_on_their_side_of_an_edge():
    size = (32, 64)
    points = torch.zeros(1, 1, *size)
    points[..., 16, 10], points[..., 12, 50], points[..., 20, 40] = 2.0, 8.0, 8.0
    guided = fill_points(points, one_sided_affinities(size, 32))[0]
    # Beside the edge, 2 m and 8 m; what is left comes from the coarser cells.
    assert guided[..., :32].max() < 2.6 and guided[..., 32:].min() > 4.8
    plain = fill_points(points)[0]
    assert plain[..., :32].max() > 3.8 and plain[..., 32:].min() < 3.9
    equal = [torch.full((1, 9, *level.shape[-2:]), 1 / 9) for level in halvings(points)[:-1]]
    assert torch.allclose(fill_points(points, equal)[0], plain, rtol=1e-4)


def test_a_guide_sees_the_edges_of_the_image_and_learns():
    model = build(DEPTH_ANYTHING, GUIDED)
    nn.init.normal_(model.decode_head.prompt_fusion.output[-1].weight, std=0.05)
    x, given = images(), samples()
    for sample in given:
        sample.gt_depth = torch.full(SIZE, 4.0)
    sum(model(x, given, mode='loss').values()).backward()
    fusion = model.decode_head.prompt_fusion
    for layers in (fusion.guide, fusion.affinity):
        assert all(parameter.grad.abs().max() > 0 for parameter in layers.parameters())
    feats = model.extract_feat(x)
    with pytest.raises(ValueError, match='guide_channels needs the images'):
        model.decode_head(feats, given)


def test_missing_points_are_noted_once(caplog, monkeypatch):
    from depth.models.estimators import depth_estimator

    lines = []
    monkeypatch.setattr(depth_estimator, 'print_log', lambda text, logger: lines.append(text))
    model = build(DEPTH_ANYTHING, PROMPT)
    plain = [DepthDataSample(metainfo=dict(img_path='a.png'))]
    for _ in range(3):
        model(images(1), plain, mode='predict')
    assert len(lines) == 1
    assert 'a.png has none' in lines[0]
    lines.clear()
    build(DEPTH_ANYTHING)(images(1), plain, mode='predict')
    build(DEPTH_ANYTHING, PROMPT)(images(1), samples(1), mode='predict')
    assert not lines
