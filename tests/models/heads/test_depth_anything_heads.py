"""Heads of Depth Anything, of DINOv3 baselines, and the predictions that they leave on samples."""

import math

import pytest
import torch

from depth.models.estimators import DepthEstimator
from depth.models.heads import (
    DepthAnything3Head,
    DepthAnything3MetricHead,
    DepthAnythingMetricHead,
    DepthAnythingRelativeHead,
    LightDepthHead,
)
from depth.structures import DepthDataSample

TINY = dict(in_channels=(8,) * 4, post_process_channels=(2, 3, 4, 5), channels=6)
BACKBONE = dict(
    type='ViTBackbone',
    model_name='vit_small_patch14_dinov2',
    out_indices=(0, 0, 1, 1),
    pos_embed='offset',
    model_args=dict(img_size=28, embed_dim=24, depth=2, num_heads=2, init_values=1.0),
)


def maps(height, width, count=2, channels=8):
    torch.manual_seed(0)
    return [torch.randn(count, channels, height, width) for _ in range(4)]


def estimator_with(head, **options):
    torch.manual_seed(0)
    head = TINY | dict(in_channels=(24,) * 4) | dict(type=head, **options)
    return DepthEstimator(
        backbone=BACKBONE, decode_head=head, test_cfg=dict(mode='whole', align_corners=True)
    ).eval()


def sample(focal=None, **meta):
    data = DepthDataSample(metainfo=meta)
    if focal is not None:
        data.intrinsics = torch.tensor([[focal, 0, 9], [0, focal + 2, 9], [0, 0, 1]])
    return data


@pytest.mark.parametrize('grid', [(1, 1), (3, 5), (4, 2)])
def test_any_grid_gives_a_depth_of_whole_patches(grid):
    for head, patch in (
        (DepthAnythingMetricHead(**TINY), 14),
        (DepthAnythingRelativeHead(**TINY), 14),
        (LightDepthHead(in_channels=(8,) * 4, channels=8), 16),
    ):
        depth = head(maps(*grid))['depth']
        assert depth.shape == (2, 1, patch * grid[0], patch * grid[1])
        assert (depth >= 0).all()


def test_metric_heads_start_where_told_and_stay_in_the_range():
    for head in (
        DepthAnythingMetricHead(**TINY, max_depth=20.0),
        LightDepthHead(in_channels=(8,) * 4, channels=8, max_depth=20.0),
    ):
        head.init_depth_bias(4.0)
        depth = head(maps(3, 5))['depth']
        assert (depth - 4).abs().max() < 0.5
    head = DepthAnythingMetricHead(**TINY, max_depth=20.0)
    with torch.no_grad():
        head.output[-1].bias.fill_(50.0)
    torch.testing.assert_close(head(maps(2, 2))['depth'], torch.full((2, 1, 28, 28), 20.0))
    with pytest.raises(ValueError, match='outside the depth range'):
        head.init_depth_bias(21.0)


def test_padding_of_the_image_is_cut_off_and_other_sizes_are_resized():
    for head, patch in (
        (DepthAnythingMetricHead(**TINY), 14),
        (LightDepthHead(in_channels=(8,) * 4, channels=8), 16),
    ):
        depth = torch.rand(1, 1, 3 * patch, 2 * patch)
        cut = head.resize(depth, (3 * patch - 1, 2 * patch - (patch - 1)))
        assert torch.equal(cut, depth[..., :-1, : patch + 1])
        assert torch.equal(head.resize(depth, depth.shape[-2:]), depth)
        small = head.resize(depth, (patch, patch))
        assert small.shape == (1, 1, patch, patch) and not torch.equal(small, depth[..., :14, :14])


def test_relative_loss_compares_with_inverse_depth_and_is_blind_to_factor_and_offset():
    head = DepthAnythingRelativeHead(
        **TINY,
        loss_decode=dict(type='ScaleShiftInvariantLoss'),
    )
    torch.manual_seed(0)
    gt_depth = torch.rand(2, 1, 28, 28) * 5 + 1
    gt_depth[0, 0, :9] = 0
    right = torch.where(gt_depth > 0, 3 / gt_depth.clamp(min=0.1) + 0.5, 7.0)
    loss = sum(head.loss(dict(depth=right), gt_depth).values())
    assert loss.item() == pytest.approx(0, abs=1e-4)
    wrong = sum(head.loss(dict(depth=gt_depth), gt_depth).values())
    assert wrong.item() > 0.01
    assert math.isfinite(sum(head.loss(dict(depth=right), 0 * gt_depth).values()).item())


def test_mono_loss_is_blind_to_a_factor_of_each_image_and_metric_loss_is_not():
    torch.manual_seed(0)
    gt_depth = torch.rand(2, 1, 28, 28) * 5 + 1
    gt_depth[1, 0, 3:] = 0
    factors = torch.tensor([0.1, 30.0]).view(2, 1, 1, 1)
    scaled = dict(depth=gt_depth.clamp(min=1) * factors)
    mono = DepthAnything3Head(**TINY, with_sky=False)
    assert mono.loss(scaled, gt_depth)['loss_depth'].item() < 2e-3
    metric = DepthAnything3MetricHead(**TINY, with_sky=False)
    assert metric.loss(scaled, gt_depth)['loss_depth'].item() > 1
    assert metric.loss(dict(depth=gt_depth), gt_depth)['loss_depth'].item() < 1e-3


def test_metres_of_depth_anything_3_are_focal_times_output_over_300():
    estimator = estimator_with('DepthAnything3MetricHead')
    images = torch.randn(2, 3, 28, 42)
    canonical = estimator(images, mode='tensor')
    samples = [sample(focal=449.0), sample(focal=899.0)]
    with torch.no_grad():
        metres = estimator.predict_depth(images, samples)
    torch.testing.assert_close(metres[:1], canonical[:1] * 1.5)
    torch.testing.assert_close(metres[1:], canonical[1:] * 3)
    with pytest.raises(ValueError, match=r'x\.png has no intrinsics.*--fov'):
        estimator.predict_depth(images[:1], [sample(img_path='x.png')])
    camera = [[600.0, 0, 1], [0, 600.0, 1], [0, 0, 1]]
    known = estimator_with('DepthAnything3MetricHead', default_intrinsics=camera)
    torch.testing.assert_close(known(images, mode='tensor'), canonical * 2)


@pytest.mark.parametrize(
    ('head', 'kind'),
    [
        ('DepthAnythingRelativeHead', 'affine_invariant_disparity'),
        ('DepthAnythingMetricHead', 'metric'),
        ('DepthAnything3Head', 'scale_invariant'),
    ],
)
def test_samples_say_what_was_predicted(head, kind):
    estimator = estimator_with(head)
    assert estimator.prediction_type == kind
    # An image of 26x40 is padded to 28x42 and came from one of 52x80.
    data = sample(ori_shape=(52, 80), img_shape=(26, 40), batch_input_shape=(26, 40))
    result = estimator(torch.randn(1, 3, 26, 40), [data], mode='predict')[0]
    assert result.metainfo['prediction_type'] == kind
    assert result.pred_depth.shape == (52, 80)
    assert ('pred_mask' in result) == (head == 'DepthAnything3Head')
    if 'pred_mask' in result:
        assert result.pred_mask.shape == (52, 80) and result.pred_mask.dtype == torch.bool


def test_sky_is_masked_and_its_layers_are_not_trained():
    head = DepthAnything3Head(**TINY)
    with torch.no_grad():
        head.sky_output[-1].bias.fill_(10.0)
    outputs = head.eval()(maps(2, 2))
    assert not head.further_maps(outputs, (28, 28))['mask'].any()
    assert not any(parameter.requires_grad for parameter in head.sky_output.parameters())
    without = DepthAnything3Head(**TINY, with_sky=False)
    assert without.map_names == () and not [n for n in without.state_dict() if 'sky' in n]


def test_the_sky_learns_from_samples_that_have_labels_of_it():
    head = DepthAnything3Head(**TINY, sky_weight=2.0)
    assert all(parameter.requires_grad for parameter in head.sky_output.parameters())
    gt_depth = torch.ones(2, 1, 4, 4)
    gt_depth[:, :, 2:] = 0  # neither depth nor, in the third row, sky
    labels = torch.zeros(4, 4, dtype=torch.uint8)
    labels[3] = 1
    samples = [DepthDataSample(gt_sky=labels), DepthDataSample()]
    value = torch.full((2, 1, 4, 4), 0.3, requires_grad=True)
    outputs = dict(depth=torch.ones(2, 1, 4, 4), sky=value)
    loss = head.loss(outputs, gt_depth, samples)['loss_sky']
    # Of the first image two rows are 0.3 off and one is 0.7 off.
    assert loss.item() == pytest.approx(2 * (2 * 0.3**2 + 0.7**2) / 3, rel=1e-5)
    loss.backward()
    assert not value.grad[1].any() and not value.grad[0, 0, 2].any()
    unlabelled = head.loss(outputs, gt_depth, [DepthDataSample(), DepthDataSample()])
    assert unlabelled['loss_sky'].item() == 0
    with pytest.raises(ValueError, match='with_sky=False leaves out'):
        DepthAnything3Head(**TINY, with_sky=False, sky_weight=1.0)


def test_intrinsics_of_the_network_input_are_brought_back_to_the_image():
    estimator = estimator_with('DepthAnythingMetricHead')
    data = sample()
    camera = torch.tensor([[[100.0, 0, 19.5], [0, 100.0, 9.5], [0, 0, 1]]])
    estimator._set_field(data, 'intrinsics', camera, (20, 40), (40, 160))
    expected = torch.tensor([[400.0, 0, 79.5], [0, 200.0, 19.5], [0, 0, 1]])
    torch.testing.assert_close(data.pred_intrinsics, expected)
    normals = torch.tensor([0.0, 0.0, -2.0]).view(1, 3, 1, 1).expand(1, 3, 20, 40)
    estimator._set_field(data, 'normals', normals, (20, 40), (40, 160))
    assert data.pred_normals.shape == (3, 40, 160)
    torch.testing.assert_close(data.pred_normals[2], torch.full((40, 160), -1.0))


def test_a_relative_model_is_refused_by_a_protocol_without_a_fit():
    from depth.evaluation.protocols import get_protocol

    kind = estimator_with('DepthAnythingRelativeHead').prediction_type
    with pytest.raises(ValueError, match='cannot score predictions of type affine_invariant_disp'):
        get_protocol('nyu_eigen_10').check_type(kind)
    get_protocol('midas_disparity_lsq_10').check_type(kind)


def test_windows_of_a_relative_model_are_not_averaged():
    windows = dict(mode='slide', crop_size=(28, 28), stride=(14, 14))
    head = TINY | dict(type='DepthAnythingRelativeHead', in_channels=(24,) * 4)
    with pytest.raises(ValueError, match='each window would have a factor of its own'):
        DepthEstimator(backbone=BACKBONE, decode_head=head, test_cfg=windows)


def test_wrong_maps_are_refused():
    with pytest.raises(ValueError, match='the same width four times'):
        DepthAnythingMetricHead(**TINY | dict(in_channels=(8, 8, 8)))
    with pytest.raises(ValueError, match='4 levels'):
        DepthAnythingMetricHead(**TINY | dict(post_process_channels=(2, 3, 4)))
