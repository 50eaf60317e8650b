import pytest
import torch

from depth.models.estimators import SelfSupervisedEstimator, blend_mirrored
from depth.models.heads import MonodepthHead, SigmoidDepthHead
from depth.registry import MODELS
from depth.structures import DepthDataSample

SIZE = (32, 64)
BACKBONE = dict(type='TimmBackbone', model_name='resnet18')


@MODELS.register_module()
class ColumnBackbone(torch.nn.Module):
    """Features are the first channel of the image."""

    def forward(self, inputs):
        return [inputs[:, :1]]


@MODELS.register_module()
class PassingHead(SigmoidDepthHead):
    """Outputs are the features, their halves and quarters."""

    def forward(self, feats, data_samples=None):
        pool = torch.nn.functional.avg_pool2d
        return dict(sigmoids=[feats[0], pool(feats[0], 2), pool(feats[0], 4)])


def passing_model(**options):
    head = dict(type='PassingHead', output_range=(0.5, 50.0))
    return SelfSupervisedEstimator(dict(type='ColumnBackbone'), head, **options).eval()


def sample(ori_shape=SIZE, **fields):
    return DepthDataSample(
        metainfo=dict(img_path='a.png', img_shape=SIZE, ori_shape=ori_shape), **fields
    )


def pair(seed=0, **fields):
    generator = torch.Generator().manual_seed(seed)
    views = torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8, generator=generator)
    extrinsics = torch.eye(4)
    extrinsics[0, 3] = -0.5
    camera = torch.tensor([[40.0, 0, 31.5], [0, 40.0, 15.5], [0, 0, 1]])
    geometry = dict(stereo_extrinsics=extrinsics, intrinsics=camera, other_intrinsics=camera)
    return sample(clean_img=views[0], clean_other_img=views[1], **geometry, **fields)


def test_tensor_mode_is_the_finest_output_in_metres_and_not_clamped():
    sigmoid = torch.rand(2, 3, *SIZE)
    sigmoid[0, 0, 0, 0] = 0.0
    depth = passing_model()(sigmoid, mode='tensor')
    torch.testing.assert_close(depth, 1 / (1 / 50 + (1 / 0.5 - 1 / 50) * sigmoid[:, :1]))
    assert depth.max().item() == pytest.approx(50.0)


def test_every_parameter_learns_from_the_other_view():
    torch.manual_seed(0)
    model = SelfSupervisedEstimator(BACKBONE, dict(type='MonodepthHead', output_range=(0.5, 50.0)))
    losses = model(torch.randn(2, 3, *SIZE), [pair(0), pair(1)], mode='loss')
    assert set(losses) == {'loss_photometric', 'loss_smooth'}
    sum(losses.values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


def test_the_loss_stays_in_float32_under_autocast():
    model = passing_model(view_loss=dict(type='ViewSynthesisLoss', auto_mask_noise=0.0))
    inputs, samples = torch.rand(2, 3, *SIZE), [pair(0), pair(1)]
    plain = model(inputs, samples, mode='loss')
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = model(inputs, samples, mode='loss')
    for name, value in plain.items():
        assert mixed[name].dtype == torch.float32
        torch.testing.assert_close(mixed[name], value)


@pytest.mark.parametrize('scale', [0, 1, 2, -1])
@pytest.mark.parametrize('resize_as', ['inverse_depth', 'depth'])
def test_output_scale_and_what_is_resized(scale, resize_as):
    torch.manual_seed(0)
    model = passing_model(test_cfg=dict(output_scale=scale, resize_as=resize_as))
    sigmoid = torch.rand(1, 3, *SIZE) * 0.5 + 0.2
    actual = model(sigmoid, [sample(ori_shape=(50, 90))], mode='predict')[0]
    levels = model.decode_head([sigmoid[:, :1]])['sigmoids']

    def resize(values, size):
        return torch.nn.functional.interpolate(
            values, size=size, mode='bilinear', align_corners=False
        )

    inverses = [1 / 50 + (2 - 1 / 50) * level for level in levels]
    inverse = (
        torch.stack([resize(level, SIZE) for level in inverses]).mean(dim=0)
        if scale == -1
        else inverses[scale]
    )
    expected = (
        1 / resize(inverse, (50, 90))
        if resize_as == 'inverse_depth'
        else resize(1 / inverse, (50, 90))
    )
    torch.testing.assert_close(actual.pred_depth, expected[0, 0])
    torch.testing.assert_close(actual.pred_inverse_depth, inverse[0, 0])
    assert (actual.metainfo['prediction_type'], actual.metainfo['tta']) == ('metric', 'none')


def test_blending_takes_each_border_from_the_better_map():
    direct, mirrored = torch.zeros(1, 4, 100), torch.ones(1, 4, 100)
    actual = blend_mirrored(direct, mirrored)[0, 0]
    assert actual[:5].tolist() == [1.0] * 5
    assert actual[-5:].tolist() == [0.0] * 5
    torch.testing.assert_close(actual[10:-10], torch.full((80,), 0.5))
    assert (actual.diff() <= 1e-6).all()


def test_flip_blends_with_the_mirrored_image():
    model = passing_model(test_cfg=dict(flip=True))
    sigmoid = torch.rand(1, 3, *SIZE)
    actual = model(sigmoid, [sample()], mode='predict')[0].pred_depth
    # The model works pixel by pixel, so the mirrored image tells the same.
    torch.testing.assert_close(actual, model(sigmoid, mode='tensor')[0, 0])


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(test_cfg=dict(output_sacle=1)), "did you mean 'output_scale'"),
        (dict(test_cfg=dict(mode='slide', crop_size=(8, 8), stride=(4, 4))), 'no option'),
        (dict(test_cfg=dict(resize_as='log')), 'resize_as'),
        (dict(prediction_type='metres'), 'prediction_type is one of'),
        (dict(train_cfg=dict(graft=True)), 'takes none'),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        passing_model(**options)


def test_samples_are_checked():
    model = passing_model()
    inputs = torch.rand(1, 3, *SIZE)
    with pytest.raises(ValueError, match=r'has no clean_img.*PackStereoInputs'):
        model(inputs, [sample()], mode='loss')
    with pytest.raises(ValueError, match='only 1 of the 2 samples'):
        model(inputs.repeat(2, 1, 1, 1), [pair(depth_hint=torch.zeros(SIZE)), pair()], mode='loss')
    with pytest.raises(ValueError, match='padded'):
        model(torch.rand(1, 3, 64, 64), [sample()], mode='predict')
    model.test_cfg['output_scale'] = 3
    with pytest.raises(ValueError, match='output_scale is -1 or 0 to 2, got 3'):
        model(inputs, [sample()], mode='predict')


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(output_range=(5.0, 1.0)), 'output_range'),
        (dict(num_outputs=6), 'num_outputs'),
        (dict(in_channels=(8, 8)), 'in_channels'),
    ],
)
def test_heads_check_their_options(options, message):
    with pytest.raises(ValueError, match=message):
        MonodepthHead(**options)
