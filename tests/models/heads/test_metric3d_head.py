"""Heads of Metric3D: canonical camera, upsampling, errors and training."""

import pytest
import torch

from depth.models.heads import Metric3DHead, Metric3DV1Head
from depth.models.heads.metric3d_head import normalize_normals, upsample_convex
from depth.structures import DepthDataSample

CAMERA = [[500.0, 0, 27.5], [0, 700.0, 27.5], [0, 0, 1]]


def tiny(**kwargs):
    torch.manual_seed(0)
    options = dict(num_ranges=2, num_rectangles=2) | kwargs
    return Metric3DHead((16,), (8, 12), hidden_channels=8, num_iters=2, **options)


def tokens(grid=(4, 4), count=2, blocks=1):
    generator = torch.Generator().manual_seed(1)
    shape = (count, 16, *grid)
    feats = []
    for _ in range(blocks):
        prefix = torch.randn(count, 5, 16, generator=generator)
        feats.append((torch.randn(shape, generator=generator), prefix))
    return feats


def with_camera(count=2, size=(56, 56)):
    samples = []
    for _ in range(count):
        sample = DepthDataSample(metainfo=dict(img_path='room.png', img_shape=size))
        sample.intrinsics = torch.tensor(CAMERA)
        samples.append(sample)
    return samples


def test_metres_are_canonical_depth_times_the_focal_length():
    head = tiny().eval()
    with torch.inference_mode():
        bare = head(tokens())
        outputs = head(tokens(), with_camera())
    assert torch.equal(bare['depth'], bare['canonical_depth'])
    torch.testing.assert_close(outputs['depth'], 0.6 * bare['depth'])  # (500 + 700) / 2 / 1000
    assert bare['depth'].shape == (2, 1, 56, 56)
    assert bare['depth'].min() >= 0.1 and bare['depth'].max() <= 200
    torch.testing.assert_close(bare['normals'].norm(dim=1), torch.ones(2, 56, 56))


def test_depth_in_metres_is_clamped_and_canonical_depth_is_not():
    head = tiny(max_depth=10.0).eval()
    with torch.inference_mode():
        outputs = head(tokens(), with_camera())
    assert outputs['depth'].max() <= 10 < outputs['canonical_depth'].max()


def test_a_missing_camera_is_an_error_unless_there_is_a_default():
    samples = with_camera()
    del samples[1].intrinsics
    with pytest.raises(ValueError, match=r'room\.png has no intrinsics.*default_intrinsics'):
        tiny().eval()(tokens(), samples)
    head = tiny(default_intrinsics=CAMERA).eval()
    with torch.inference_mode():
        torch.testing.assert_close(
            head(tokens(), samples)['depth'], head(tokens(), with_camera())['depth']
        )
        torch.testing.assert_close(head(tokens())['depth'], head(tokens(), samples)['depth'])
    with pytest.raises(ValueError, match='has no intrinsics'):  # never trained on a default
        head.train()(tokens(), samples)


@pytest.mark.parametrize(
    ('feats', 'message'),
    [
        (tokens((3, 4)), '3x4 patches is odd'),
        (tokens(blocks=4), '1 blocks are configured'),
        ([torch.zeros(2, 16, 4, 4)], 'prefix_tokens=True'),
    ],
)
def test_wrong_features_are_named(feats, message):
    with pytest.raises(ValueError, match=message):
        tiny().eval()(feats)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(in_channels=(16, 16)), 'in_channels'),
        (dict(canonical_range=(0, 200)), 'canonical_range'),
        (dict(canonical_focal=0), 'canonical_focal'),
        (dict(num_iters=0), 'num_iters'),
        (dict(default_intrinsics=[[0, 0, 1], [0, 1, 1], [0, 0, 1]]), 'default_intrinsics'),
    ],
)
def test_impossible_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Metric3DHead(**options)


def test_four_blocks_feed_four_readouts():
    head = Metric3DHead((16,) * 4, (8, 12), hidden_channels=8, num_iters=1).eval()
    feats = tokens(blocks=4)
    with torch.inference_mode():
        depth = head(feats)['depth']
        for index in range(4):
            changed = list(feats)
            changed[index] = (feats[index][0] + 1, feats[index][1])
            assert not torch.equal(head(changed)['depth'], depth)


def test_convex_upsampling_is_a_weighted_mean_of_nine_neighbours():
    generator = torch.Generator().manual_seed(2)
    state = torch.randn(1, 2, 3, 3, generator=generator)
    logits = torch.randn(1, 144, 3, 3, generator=generator)
    fine = upsample_convex(state, logits)
    padded = torch.nn.functional.pad(state, (1, 1, 1, 1))
    for row, column in ((0, 0), (5, 7), (11, 2)):
        h, i, w, j = row // 4, row % 4, column // 4, column % 4
        weights = logits[0].view(9, 16, 3, 3)[:, 4 * i + j, h, w].softmax(dim=0)
        window = padded[0, :, h : h + 3, w : w + 3].flatten(1)
        torch.testing.assert_close(fine[0, :, row, column], window @ weights)


def test_a_zero_normal_has_a_finite_gradient():
    raw = torch.zeros(1, 4, 2, 2, requires_grad=True)
    normalize_normals(raw).sum().backward()
    assert torch.isfinite(raw.grad).all()


def training_samples(size):
    samples = with_camera(2, size)
    samples[0].normals = torch.tensor([0, 0, -1.0]).view(3, 1, 1).expand(3, *size)
    return samples


@pytest.mark.parametrize('size', [(56, 56), (50, 53)])
def test_every_loss_has_a_name_and_all_parameters_learn(size):
    head = tiny().train()
    samples = training_samples(size)
    gt_depth = 1 + 3 * torch.rand(2, 1, *size)
    gt_depth[:, :, :9] = 0
    losses = head.loss(head(tokens(), samples), gt_depth, samples)
    assert set(losses) == {
        'loss_sequence',
        'loss_virtual_normal',
        'loss_range',
        'loss_rectangle',
        'loss_normal',
        'loss_consistency',
    }
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name


def test_labels_of_sky_and_planes_add_their_losses():
    head = tiny().train()
    samples = training_samples((56, 56))
    samples[1].gt_sky = torch.ones(56, 56, dtype=torch.uint8)
    samples[0].gt_planes = torch.full((56, 56), 3, dtype=torch.uint8)
    outputs = head(tokens(), samples)
    losses = head.loss(outputs, torch.ones(2, 1, 56, 56), samples)
    assert 0 < losses['loss_sky'].item() < 1  # of weight 0.001, below 200 m and 2 an iteration
    assert losses['loss_plane'].item() > 0
    losses['loss_plane'].backward()
    assert all(torch.isfinite(p.grad).all() for p in head.parameters() if p.grad is not None)


def test_weights_of_zero_leave_losses_out():
    head = tiny(
        virtual_normal_weight=0,
        range_weight=0,
        rectangle_weight=0,
        normal_weight=0,
        consistency_weight=0,
    ).train()
    samples = training_samples((56, 56))
    losses = head.loss(head(tokens(), samples), torch.ones(2, 1, 56, 56), samples)
    assert set(losses) == {'loss_sequence'}


def test_v1_learns_and_converts_to_metres():
    torch.manual_seed(0)
    head = Metric3DV1Head((8, 12, 16, 24), (8, 8, 12)).train()
    sizes = ((16, 24), (8, 12), (4, 6), (2, 3))
    channels = (8, 12, 16, 24)
    feats = [torch.randn(2, c, *size) for c, size in zip(channels, sizes, strict=True)]
    samples = with_camera()
    outputs = head(feats, samples)
    torch.testing.assert_close(outputs['depth'], 0.6 * outputs['canonical_depth'])
    losses = head.loss(outputs, 2 + torch.rand(2, 1, 60, 96), samples)
    assert set(losses) == {'loss_depth', 'loss_virtual_normal', 'loss_rectangle'}
    sum(losses.values()).backward()
    for name, parameter in head.named_parameters():
        # The last channel of the hourglass is the confidence, which no loss of ours trains.
        assert torch.isfinite(parameter.grad).all(), name
