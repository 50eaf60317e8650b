"""SimIPU's encoders and depth networks under their published names."""

from math import prod

import pytest
import torch
import torch.nn.functional as F

from depth.engine.converters import convert_official, write_converted
from depth.engine.converters.convert import build_without_weights, compare
from depth.models.backbones import TimmBackbone
from depth.registry import MODELS
from tests.shared import REPO

from .cases import load_case, model_shapes, relative_error, shipped_config

STARTS = ['scratch', 'supervise_imagenet', 'kitti', 'waymo']


def published_resnet():
    """Return name and shape of the published ResNet-50, below ``backbone.``."""
    shapes = load_case('bts_r50_nyu')['state_dict']
    return {name: shape for name, shape in shapes.items() if name.startswith('backbone.')}


def published_head():
    """Return name and shape of the published DenseDepth head without norms, written from its description."""
    shapes = {'conv_depth.weight': [1, 128, 3, 3], 'conv_list.0.conv.weight': [2048, 2048, 1, 1]}
    shapes |= {'conv_depth.bias': [1], 'conv_list.0.conv.bias': [2048]}
    for level, (width, skip) in enumerate(
        [(1024, 1024), (512, 512), (256, 256), (128, 64)], start=1
    ):
        shapes[f'conv_list.{level}.convA.conv.weight'] = [width, 2 * width + skip, 3, 3]
        shapes[f'conv_list.{level}.convB.conv.weight'] = [width, width, 3, 3]
        shapes |= {f'conv_list.{level}.conv{letter}.conv.bias': [width] for letter in 'AB'}
    return {f'decode_head.{name}': shape for name, shape in shapes.items()}


@pytest.mark.parametrize('dataset', ['nyu', 'kitti'])
@pytest.mark.parametrize('start', STARTS)
def test_published_depth_networks_fill_every_config(start, dataset):
    shapes = published_resnet() | published_head()
    published = {name: torch.empty(shape, device='meta') for name, shape in shapes.items()}
    cfg = shipped_config(f'simipu/simipu_r50_{start}_{dataset}_24e.py')
    assert compare(convert_official('simipu', published), model_shapes(cfg)) == ''
    head = cfg.model.decode_head
    assert (head.scale_up, head.act_cfg.type, head.max_depth) == (
        True,
        'ReLU',
        dict(nyu=10.0, kitti=80.0)[dataset],
    )
    assert cfg.model.backbone.pretrained == (start == 'supervise_imagenet')
    checkpoint = cfg.model.backbone.get('checkpoint')
    assert checkpoint == (
        f'checkpoints/simipu_{start}.pth' if start in ('kitti', 'waymo') else None
    )


@pytest.mark.slow
def test_a_published_encoder_starts_a_backbone(tmp_path):
    torch.manual_seed(0)
    weights = {
        name.removeprefix('backbone.'): torch.rand(shape)
        for name, shape in published_resnet().items()
    }
    published = {f'img_backbone.{name}': value for name, value in weights.items()}
    unused = {'pts_backbone.conv.weight': torch.zeros(1), 'img_projection.weight': torch.zeros(1)}
    torch.save(dict(state_dict=published | unused, meta=dict(epoch=3)), tmp_path / 'encoder.pth')
    target = tmp_path / 'simipu_kitti.pth'
    assert write_converted('simipu', tmp_path / 'encoder.pth', target, root=REPO) == []
    backbone = TimmBackbone('resnet50', checkpoint=str(target))
    state = backbone.net.state_dict()
    assert state.keys() == weights.keys()
    assert all(torch.equal(value, weights[name].to(value.dtype)) for name, value in state.items())


def test_a_cut_encoder_is_refused_with_what_is_missing(tmp_path):
    names = list(published_resnet())[1:]
    published = {f'img_{name}': torch.zeros(published_resnet()[name]) for name in names}
    torch.save(published, tmp_path / 'encoder.pth')
    config = REPO / 'configs/simipu/simipu_r50_kitti_nyu_24e.py'
    with pytest.raises(ValueError, match=r'1 missing: conv1\.weight'):
        write_converted(
            'simipu', tmp_path / 'encoder.pth', tmp_path / 'ours.pth', config=config, root=REPO
        )
    assert not (tmp_path / 'ours.pth').exists()


def straight_line(s, feats, max_depth):
    """Return depth from features, finest first, and published names of the head, in plain functions."""
    out = F.conv2d(feats[-1], s['conv_list.0.conv.weight'], s['conv_list.0.conv.bias'])
    for level, skip in enumerate(reversed(feats[:-1]), start=1):
        out = torch.cat(
            [F.interpolate(out, size=skip.shape[2:], mode='bilinear', align_corners=True), skip],
            dim=1,
        )
        for letter in 'AB':
            name = f'conv_list.{level}.conv{letter}.conv.'
            out = F.relu(F.conv2d(out, s[name + 'weight'], s[name + 'bias'], padding=1))
    return (
        F.conv2d(out, s['conv_depth.weight'], s['conv_depth.bias'], padding=1).sigmoid() * max_depth
    )


@pytest.mark.parametrize('size', [(32, 64), (29, 51)])
def test_a_second_implementation_of_the_head_gives_the_same_depth(size):
    torch.manual_seed(0)
    shapes = {  # a thirty-second of the channels
        name: [max(1, length // 32) if length > 3 else length for length in shape]
        for name, shape in published_head().items()
    }
    published = {
        name: torch.randn(shape) / max(1, prod(shape[1:])) ** 0.5 for name, shape in shapes.items()
    }
    cfg = shipped_config('simipu/simipu_r50_scratch_kitti_24e.py').model.decode_head
    cfg.update(in_channels=[2, 8, 16, 32, 64], up_sample_channels=[4, 8, 16, 32, 64], channels=4)
    head = MODELS.build(cfg).eval()
    converted = convert_official('simipu', published)
    head.load_state_dict(
        {name.removeprefix('decode_head.'): value for name, value in converted.items()}
    )
    feats = [
        torch.randn(2, c, -(-size[0] // 2**i), -(-size[1] // 2**i))
        for i, c in enumerate(head.in_channels)
    ]
    names = {name.removeprefix('decode_head.'): value for name, value in published.items()}
    with torch.inference_mode():
        actual, expected = head(feats)['depth'], straight_line(names, feats, 80.0)
    assert expected.std() > 1
    assert relative_error(actual.numpy(), expected.numpy()) < 1e-6


def test_the_head_cannot_exceed_the_range():
    cfg = shipped_config('simipu/simipu_r50_scratch_kitti_24e.py')
    cfg.merge_from_dict({'model.backbone.model_name': 'resnet10t'})
    cfg.model.decode_head.update(
        in_channels=[64, 64, 128, 256, 512], up_sample_channels=[8, 8, 8, 8, 8], channels=8
    )
    model = build_without_weights(cfg).eval()
    with torch.inference_mode():
        model.decode_head.conv_depth.bias.fill_(50.0)
        depth = model(torch.randn(1, 3, 32, 64), mode='tensor')
    assert depth.shape == (1, 1, 32, 64)
    assert torch.allclose(depth, torch.full_like(depth, 80.0))
