"""Losses, targets, views and guidance of SD-ConvTrans."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import uniform_filter

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.structures import DepthDataSample
from projects.SDConvTrans.sdconvtrans import (
    RMSELogLoss,
    SobelGradientLoss,
    SobelNormalLoss,
    SurfaceNormalLoss,
)
from projects.SDConvTrans.sdconvtrans.base_depth import downsample_valid, smooth_base_depth
from projects.SDConvTrans.sdconvtrans.diffusion import BoundaryDiffusion
from projects.SDConvTrans.sdconvtrans.losses import sobel
from projects.SDConvTrans.sdconvtrans.pictures import draw_branches
from tests.parity.recorded import load_arrays
from tests.shared import REPO

TINY = REPO / 'projects/SDConvTrans/configs/SDConvTrans/sdconvtrans_tiny_rooms.py'


def full(depth):
    return torch.ones_like(depth, dtype=torch.bool)


def tiny(**head):
    cfg = load_config(TINY)
    cfg.model.decode_head.update(head)
    torch.manual_seed(0)
    return build_without_weights(cfg)


def test_losses_and_their_gradient_are_the_published_ones():
    values = load_arrays('sdconvtrans_values')
    real = torch.from_numpy(values['loss/real']) * 10
    fake = torch.from_numpy(values['loss/fake']).requires_grad_()
    losses = dict(
        depth_rmse_log=RMSELogLoss(), gradient=SobelGradientLoss(), normal=SobelNormalLoss()
    )
    actual = {name: loss(fake * 10, real, full(real)) for name, loss in losses.items()}
    for name, value in actual.items():
        assert value.item() == pytest.approx(values[f'loss/{name}'].item(), rel=1e-5), name
    total = sum(actual.values())
    total.backward()
    assert total.item() == pytest.approx(values['loss/total'].item(), rel=1e-5)
    expected = values['loss/total_grad']
    assert np.linalg.norm(fake.grad.numpy() - expected) < 1e-4 * np.linalg.norm(expected)
    maps = sobel(torch.from_numpy(values['loss/fake']))
    for index, name in enumerate(('grad_y', 'grad_x')):
        assert np.abs(maps[:, index : index + 1].numpy() - values[f'loss/{name}']).max() < 1e-5


def test_the_small_view_is_the_published_one_within_a_grey_level():
    values = load_arrays('sdconvtrans_values')
    image = np.kron(values['data/image_blocks'], np.ones((4, 4, 1), np.uint8))
    high = torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255
    low = tiny().backbone.make_low(high)[0] * 255
    assert (low - torch.from_numpy(values['data/test_low'])).abs().max() < 1.01


@pytest.mark.parametrize(
    ('blocks', 'side', 'unit', 'name'), [('base', 16, 1, 'low'), ('depth', 8, 10, 'high')]
)
def test_targets_shrink_as_published(blocks, side, unit, name):
    values = load_arrays('sdconvtrans_values')
    expected = values[f'data/train_depth_{name}']
    # The published targets pass through 8 bits: truncated once and rounded after each axis, two
    # levels at most.
    assert np.allclose(expected * 255, np.round(expected * 255), atol=1e-4)
    depth = np.kron(values[f'data/{blocks}_blocks'] / unit, np.ones((side, side), np.float32))
    depth = torch.from_numpy(depth)[None, None]
    actual, valid = downsample_valid(depth, full(depth), expected.shape[-2:])
    assert valid.all()
    assert np.abs(actual[0].numpy() - expected).max() < 2 / 255
    assert np.abs(actual[0].numpy() - expected).mean() < 0.75 / 255


@pytest.mark.parametrize(
    'loss', [RMSELogLoss(), SobelGradientLoss(), SobelNormalLoss(), SurfaceNormalLoss()]
)
def test_masked_pixels_do_not_count(loss):
    generator = torch.Generator().manual_seed(0)
    pred, target = torch.rand(2, 2, 1, 12, 16, generator=generator) * 4 + 1
    mask = torch.rand(2, 1, 12, 16, generator=generator) > 0.05
    value = loss(pred, target, mask)
    assert value > 0
    spoilt = loss(torch.where(mask, pred, 1e3), torch.where(mask, target, 0), mask)
    assert spoilt.item() == pytest.approx(value.item(), rel=1e-6)
    pred = pred.requires_grad_()
    nothing = loss(pred, target, torch.zeros_like(mask))
    nothing.backward()
    assert nothing < 2e-6
    assert torch.isfinite(pred.grad).all()


def test_surface_normals_of_planes():
    height, width = 12, 16
    intrinsics = torch.tensor([[[20.0, 0, 7.3], [0, 24.0, 5.1], [0, 0, 1]]])
    v, u = torch.meshgrid(torch.arange(height) - 5.1, torch.arange(width) - 7.3, indexing='ij')

    def plane(normal, distance):
        return (distance / (normal[0] * u / 20 + normal[1] * v / 24 + normal[2]))[None, None]

    first = torch.nn.functional.normalize(torch.tensor([0.1, -0.2, -1.0]), dim=0)
    second = torch.nn.functional.normalize(torch.tensor([-0.3, 0.1, -1.0]), dim=0)
    maps = plane(first, -3.0), plane(second, -4.0)
    loss = SurfaceNormalLoss(from_intrinsics=True)(*maps, full(maps[0]), intrinsics)
    assert loss.item() == pytest.approx(1 - float(first @ second), abs=1e-5)
    scaled = SurfaceNormalLoss(from_intrinsics=True)(
        maps[0], 3 * maps[0], full(maps[0]), intrinsics
    )
    assert scaled.item() == pytest.approx(0, abs=1e-6)


def test_gradient_normals_of_ramps():
    v, u = torch.meshgrid(torch.arange(8.0), torch.arange(9.0), indexing='ij')
    first, second = (2 * u + v + 5)[None, None], (u - 3 * v + 50)[None, None]
    loss = SurfaceNormalLoss(unit=1.0)
    inner = torch.zeros_like(first, dtype=torch.bool)
    inner[..., 1:-1, 1:-1] = True
    inner = full(inner) & (F.pad(inner[..., 1:-1, 1:-1].float(), (1, 1, 1, 1)) > 0)
    cosine = (2 * 1 + 1 * -3 + 1) / (6**0.5 * 11**0.5)
    assert loss(first, second, inner).item() == pytest.approx(1 - cosine, abs=1e-5)


def test_diffusion_sums_products_of_differences():
    torch.manual_seed(0)
    module = BoundaryDiffusion(1).double()
    feat, guidance = torch.randn(2, 1, 1, 5, 6, dtype=torch.float64)
    actual = module.guided_differences(feat, guidance)
    weight = module.conv_difference.weight[0, 0]
    expected = torch.zeros(3, 4, dtype=torch.float64)
    for dy in range(3):
        for dx in range(3):
            around = (0, 0, slice(dy, dy + 3), slice(dx, dx + 4))
            inner = (0, 0, slice(1, 4), slice(1, 5))
            expected += (
                weight[dy, dx] * (feat[around] - feat[inner]) * (guidance[around] - guidance[inner])
            )
    assert torch.allclose(actual[0, 0, 1:-1, 1:-1], expected)


def test_base_depth_agrees_with_a_guided_filter_and_keeps_steps():
    generator = np.random.default_rng(0)
    depth = np.where(np.arange(60) < 30, 2.0, 5.0) + 0.05 * generator.standard_normal((40, 60))
    size, edge = 9, 0.2
    tensor = torch.from_numpy(depth)[None, None]
    base = smooth_base_depth(tensor, full(tensor), radius=4, edge=edge)[0, 0].numpy()
    mean = uniform_filter(depth, size)
    variance = uniform_filter(depth**2, size) - mean**2
    slope = variance / (variance + edge**2)
    expected = uniform_filter(slope, size) * depth + uniform_filter((1 - slope) * mean, size)
    inner = slice(8, -8), slice(8, -8)
    assert np.abs(base - expected)[inner].max() < 1e-6
    assert base[8:-8, 8:20].std() < 0.2 * depth[8:-8, 8:20].std()
    assert base[20, 31] - base[20, 28] == pytest.approx(3, abs=0.3)


def test_base_depth_ignores_holes():
    depth = torch.rand(1, 1, 30, 40) + 2
    mask = torch.rand(depth.shape) > 0.3
    base = smooth_base_depth(depth, mask, radius=3)
    assert torch.equal(base, smooth_base_depth(torch.where(mask, depth, 99.0), mask, radius=3))
    assert not base[~mask].any()
    assert base[mask].min() >= 2
    assert not smooth_base_depth(depth, torch.zeros_like(mask)).any()


@pytest.mark.parametrize('guidance', ['base', 'semantic'])
def test_gradients_reach_every_parameter(guidance):
    model = tiny(guidance=guidance).train()
    samples = [DepthDataSample(metainfo={}) for _ in range(2)]
    for sample in samples:
        sample.gt_depth = torch.rand(64, 96) * 5 + 1
    losses = model(torch.rand(2, 3, 64, 96), samples, mode='loss')
    assert set(losses) == {
        f'loss_{prefix}{name}'
        for prefix in ('', 'base_')
        for name in ('depth', 'gradient', 'normal')
    }
    sum(losses.values()).backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert dead == []


def test_normal_loss_takes_the_cameras_of_the_samples():
    losses = dict(normal=dict(type='SurfaceNormalLoss', from_intrinsics=True))
    model = tiny(losses=losses).train()
    sample = DepthDataSample(metainfo={})
    sample.gt_depth = torch.rand(64, 96) * 5 + 1
    with pytest.raises(ValueError, match='needs intrinsics'):
        model(torch.rand(1, 3, 64, 96), [sample], mode='loss')
    sample.intrinsics = torch.tensor([[80.0, 0, 48], [0, 80.0, 32], [0, 0, 1]])
    values = model(torch.rand(1, 3, 64, 96), [sample], mode='loss')
    assert set(values) == {'loss_normal', 'loss_base_normal'}
    assert all(value > 0 for value in values.values())


def test_views_and_outputs():
    model = tiny().eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        outputs = model.outputs(image)
        shapes = {name: tuple(value.shape[-2:]) for name, value in outputs.items()}
        assert shapes == dict(depth=(16, 24), base_depth=(12, 18), boundary=(16, 24))
        views = dict(low=model.backbone.make_low(image), high=image)
        assert torch.equal(model(views), model(image))
        assert model(dict(low=torch.rand(1, 3, 50, 61), high=torch.rand(1, 3, 57, 83))).shape == (
            1,
            1,
            57,
            83,
        )
    with pytest.raises(ValueError, match='two views'):
        model(dict(low=image))
    with pytest.raises(ValueError, match='two views'):
        model(views, mode='loss')


def test_pictures_are_large_enough_for_their_titles():
    image = np.full((96, 128, 3), 200, np.uint8)
    ramp = np.linspace(1, 4, 24 * 32, dtype=np.float32).reshape(24, 32)
    picture = draw_branches(image, dict(base_depth=ramp[:18, :24], depth=ramp, boundary=ramp**2))
    assert picture.shape[0] > 192
    assert picture.shape[1] > 5 * 256
    assert picture.dtype == np.uint8
    assert (picture[-96, 128] == 200).all()  # the image comes first, twice its size


def test_wrong_options_are_named():
    for head in (
        dict(guidance='text'),
        dict(losses=dict(gradient=dict(type='SobelGradientLoss', padding='same'))),
    ):
        with pytest.raises(ValueError, match=r'is .* or'):
            tiny(**head)
    cfg = load_config(TINY)
    cfg.model.backbone.conv.out_indices = [0, 1, 2, 3]
    with pytest.raises(ValueError, match='conv must give strides'):
        build_without_weights(cfg)
