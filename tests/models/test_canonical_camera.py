"""Option ``canonical_camera`` of estimators: scale by the focal length, ranges, losses, refusals."""

import copy
import warnings

import pytest
import torch

from depth.models import DepthDataPreprocessor
from depth.models.estimators import DepthEstimator, ZoeDepthEstimator
from depth.models.layers.canonical_camera import CameraCheck
from depth.models.losses import SampleLoss
from depth.models.losses.silog_loss import silog_loss
from depth.registry import MODELS
from depth.structures import DepthDataSample

FOCAL = 100.0
# Of the head that covers 1 mm to 10 m for focal lengths of 50 to 200 pixels.
WIDE = dict(min_depth=0.5e-3, max_depth=20.0)
BACKBONE = dict(type='TimmBackbone', model_name='resnet10t', out_indices=(0, 1))


def model_with(camera=None, head=None, seed=0, **options):
    """Return an estimator; equal seeds give equal weights."""
    torch.manual_seed(seed)
    channels = MODELS.build(BACKBONE).out_channels
    torch.manual_seed(seed)
    decode_head = dict(
        type='DenseDepthHead',
        in_channels=channels,
        up_sample_channels=[4, 4],
        channels=4,
        min_depth=1e-3,
        max_depth=10.0,
    ) | (head or {})
    model = DepthEstimator(BACKBONE, decode_head, canonical_camera=camera, **options)
    # Away from the ends of the range, where nothing would depend on the focal length.
    model.decode_head.conv_depth.weight.data.mul_(0.2)
    model.decode_head.conv_depth.bias.data.fill_(2.0)
    return model.eval()


def option(**changes):
    return dict(focal=FOCAL, focal_range=(50.0, 200.0)) | changes


def samples(*focals, size=(32, 48), **meta):
    views = []
    for index, focal in enumerate(focals):
        view = DepthDataSample(metainfo=dict(img_path=f'{index}.png', img_shape=size, **meta))
        if focal is not None:
            view.intrinsics = torch.tensor([[focal, 0, 20.0], [0, focal, 10.0], [0, 0, 1]])
        views.append(view)
    return views


def images(count=1, size=(32, 48)):
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


def test_the_same_pixels_mean_depth_in_proportion_to_the_focal_length():
    model = model_with(option())
    batch = images().expand(3, -1, -1, -1)
    with torch.no_grad():
        canonical = model(batch, mode='tensor')
        # Powers of two, so that the ratio is exact.
        metres = model(batch, samples(50.0, 100.0, 200.0), mode='tensor')
    assert canonical.std() > 0.01
    assert torch.equal(metres, canonical * torch.tensor([0.5, 1, 2]).view(3, 1, 1, 1))


@pytest.mark.parametrize(
    'test_cfg',
    [
        dict(flip=True),
        dict(mode='slide', crop_size=(32, 32), stride=(32, 16)),
        dict(mode='slide', crop_size=(16, 32), stride=(16, 16), window_batch=4, flip=True),
    ],
)
def test_augmentation_and_windows_of_a_test_keep_the_proportion(test_cfg):
    model = model_with(option(), test_cfg=test_cfg)
    plain = model_with(head=WIDE, test_cfg=test_cfg)
    batch = images().expand(2, -1, -1, -1)
    near, far = model(batch, samples(100.0, 200.0), mode='predict')
    expected = plain(batch[:1], samples(100.0), mode='predict')[0]
    torch.testing.assert_close(near.pred_depth, expected.pred_depth)
    torch.testing.assert_close(far.pred_depth, 2 * expected.pred_depth)


def test_predictions_of_resized_images_use_the_camera_of_the_network_input():
    model = model_with(option())
    view = samples(50.0, ori_shape=(64, 96))  # 100 pixels before the image was halved
    pred = model(images(), view, mode='predict')[0].pred_depth
    half = model(images(), samples(50.0), mode='predict')[0].pred_depth
    assert pred.shape == (64, 96)
    torch.testing.assert_close(pred.mean(), half.mean(), rtol=1e-3, atol=0)


def test_the_head_reaches_the_stated_range_at_every_focal_length():
    model = model_with(option(), head=dict(loss_decode=dict(type='SILogLoss', max_depth=10.0)))
    assert model.decode_head.max_depth == 20.0  # 10 m at 50 pixels
    assert model.decode_head.min_depth == 0.5e-3  # 1 mm at 200 pixels
    assert model.decode_head.loss_decode.max_depth == 20.0
    assert model.depth_range == (1e-3, 10.0)
    model.decode_head.conv_depth.bias.data.fill_(1e3)
    with torch.no_grad():
        farthest = model(images().expand(3, -1, -1, -1), samples(50.0, 100.0, 200.0))
    torch.testing.assert_close(farthest, torch.full_like(farthest, 10.0))
    model.decode_head.conv_depth.bias.data.fill_(-1e3)
    with torch.no_grad():
        nearest = model(images().expand(2, -1, -1, -1), samples(100.0, 200.0))
    torch.testing.assert_close(nearest, torch.full_like(nearest, 1e-3))


def with_labels(views, far=9.0):
    generator = torch.Generator().manual_seed(2)
    for view in views:
        view.gt_depth = 1 + (far - 1) * torch.rand(32, 48, generator=generator)
        view.gt_depth[:4] = 0
    return views


def test_scaled_labels_train_the_head_on_canonical_depth():
    views = with_labels(samples(50.0, 200.0))
    scaled = copy.deepcopy(views)
    scaled[0].gt_depth *= 2
    scaled[1].gt_depth /= 2
    model, plain = model_with(option()).train(), model_with(head=WIDE).train()
    loss = model(images(2), views, mode='loss')['loss_depth']
    expected = plain(images(2), scaled, mode='loss')['loss_depth']
    torch.testing.assert_close(loss, expected)
    loss.backward()
    assert all(parameter.grad is not None for parameter in model.decode_head.parameters())


def test_ground_truth_beyond_the_range_in_metres_does_not_count():
    views = with_labels(samples(200.0))
    loss = model_with(option()).train()(images(), views, mode='loss')['loss_depth']
    views[0].gt_depth[:4] = 11.0  # 5.5 canonical metres, inside the range of the head
    again = model_with(option()).train()(images(), views, mode='loss')['loss_depth']
    assert torch.equal(loss, again)


def test_a_scaled_output_is_compared_in_metres():
    views = with_labels(samples(50.0, 200.0))
    model = model_with(option(scaled='output')).train()
    loss = model(images(2), views, mode='loss')['loss_depth']
    plain = model_with(head=WIDE).train()
    outputs = plain.decode_head(plain.extract_feat(images(2)))
    metres = plain.decode_head.resize(outputs['depth'], (32, 48))
    metres = metres * torch.tensor([0.5, 2]).view(2, 1, 1, 1)
    gt_depth = torch.stack([view.gt_depth for view in views]).unsqueeze(1)
    torch.testing.assert_close(loss, silog_loss(metres, gt_depth, gt_depth > 0))


@MODELS.register_module()
class MeanDepthLoss(SampleLoss):
    """Mean of the final depth."""

    def forward(self, depth, data_samples, inputs, prediction_type):
        return depth.mean()


def test_losses_beside_the_head_get_metres():
    values = []
    for focal in (100.0, 200.0):
        model = model_with(option(), extra_losses=dict(mean=dict(type='MeanDepthLoss'))).train()
        values.append(model(images(), with_labels(samples(focal)), mode='loss')['loss_mean'])
    torch.testing.assert_close(values[1], 2 * values[0])


@pytest.mark.parametrize('training', [True, False])
def test_an_image_without_a_camera_is_named(training):
    model = model_with(option()).train(training)
    views = with_labels(samples(100.0, None))
    with pytest.raises(
        ValueError, match=r'1\.png has no intrinsics.*--intrinsics.*intrinsics\.json'
    ):
        model(images(2), views, mode='loss' if training else 'predict')


@pytest.mark.parametrize('focal', [0.0, -5.0, float('nan'), float('inf')])
@pytest.mark.parametrize('training', [True, False])
def test_an_impossible_camera_is_named_before_the_network_runs(focal, training):
    model = model_with(option())
    picture = torch.zeros(3, 32, 48, dtype=torch.uint8)
    data = dict(inputs=[picture, picture], data_samples=samples(100.0, focal))
    with pytest.raises(ValueError, match=r'1\.png has the intrinsics.*finite.*--intrinsics'):
        model.data_preprocessor(data, training)


def test_a_focal_length_outside_of_the_range_stops_a_training_and_warns_in_use():
    check = CameraCheck((50.0, 200.0))
    with pytest.raises(ValueError, match=r'0\.png: a focal length of 300 pixels.*ResizeToFocal'):
        check.check(samples(300.0), training=True)
    with pytest.warns(UserWarning, match='far end of the range'):
        check.check(samples(40.0), training=False)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check.check(samples(50.0, 200.0, None), training=True)
        CameraCheck().check(samples(4.0), training=True)


def test_other_models_do_not_look_at_cameras():
    plain = model_with()
    assert plain.canonical_camera is None and not plain.needs_camera
    assert isinstance(plain.data_preprocessor, DepthDataPreprocessor)
    assert plain.data_preprocessor.camera_check is None
    assert model_with(option()).needs_camera
    # Weights fit a model with the option and one without.
    assert model_with(option()).state_dict().keys() == plain.state_dict().keys()


@pytest.mark.parametrize(
    ('camera', 'head', 'message'),
    [
        (dict(focal=0.0), {}, 'positive number of pixels'),
        (dict(focal='500'), {}, "focal is a number of pixels, got '500'"),
        (dict(focal=None), {}, 'needs focal'),
        (dict(foca=100.0), {}, "no option 'foca', did you mean 'focal'"),
        (dict(focal_range=None), {}, 'needs focal_range'),
        (dict(focal_range=(200.0, 50.0)), {}, 'smallest, largest'),
        (dict(scaled='depth'), {}, "'labels' or 'output'"),
        ({}, dict(min_depth=None), 'needs focal_range, and model.decode_head min_depth'),
    ],
)
def test_impossible_options_are_refused(camera, head, message):
    with pytest.raises(ValueError, match=message):
        model_with(option(**camera), head=head)


VIT = dict(
    type='ViTBackbone',
    model_name='vit_small_patch14_dinov2',
    pretrained=False,
    out_indices=(0, 1, 2, 3),
    model_args=dict(img_size=28, embed_dim=24, depth=4, num_heads=2),
)
DPT = dict(in_channels=(24,) * 4, post_process_channels=(8, 8, 8, 8), channels=8)


@pytest.mark.parametrize(
    ('head', 'message'),
    [
        (dict(type='DepthAnything3MetricHead'), 'camera of its own'),
        (dict(type='DepthAnythingRelativeHead'), 'does not predict depth in metres'),
        (dict(type='DepthAnythingMetricHead'), 'far end of 10 m by default'),
    ],
)
def test_heads_with_other_quantities_or_cameras_are_refused(head, message):
    with pytest.raises(ValueError, match=message):
        DepthEstimator(VIT, DPT | head, canonical_camera=dict(focal=FOCAL))


def test_a_head_without_a_range_needs_no_focal_range():
    model = DepthEstimator(
        VIT, DPT | dict(type='LogDepthHead'), canonical_camera=dict(focal=FOCAL)
    ).eval()
    model.decode_head.init_depth_bias(60.0)
    with torch.no_grad():
        depth = model(images(2, (28, 28)), samples(100.0, 400.0), mode='tensor')
    assert 200 < depth[1].mean() < 280  # four times as far, and nothing is cut
    assert model.depth_range[1] is None


def test_a_network_that_resizes_its_input_is_seen_with_the_camera_of_the_resized_image(tmp_path):
    estimator = object.__new__(ZoeDepthEstimator)
    torch.nn.Module.__init__(estimator)
    estimator.test_cfg = dict(network_size=(64, 96), keep_ratio=False, pad_input=False)
    estimator.train_cfg = dict(network_size=(32, 32))
    estimator.training = False
    assert estimator.input_scale((32, 48)) == (2.0, 2.0)
    estimator.training = True
    assert estimator.input_scale((64, 128)) == (0.5, 0.25)
    camera = model_with(option()).canonical_camera
    factors = camera.focal_factors(samples(100.0), images(), False, (0.5, 0.25))
    assert factors.item() == pytest.approx(0.375)
