import pytest
import torch

from depth.models import DepthDataPreprocessor
from depth.models.estimators import DepthEstimator
from depth.models.estimators.sliding_window import slide_inference, window_starts
from depth.registry import MODELS
from depth.structures import DepthDataSample


@MODELS.register_module()
class PixelBackbone(torch.nn.Module):
    """Features are the image itself at stride 2 in the second level."""

    def forward(self, inputs):
        return [inputs, inputs[..., ::2, ::2]]


@MODELS.register_module()
class BrightnessHead(torch.nn.Module):
    """Depth is three times the mean of the channels: what every pixel says, wherever its window is."""

    min_depth, max_depth, align_corners = 0.5, 6.0, False

    def forward(self, feats, data_samples=None):
        return dict(depth=3 * feats[0].mean(dim=1, keepdim=True))

    def resize(self, depth, size):
        assert depth.shape[-2:] == tuple(size)
        return depth


NO_GROUND_TRUTH = [DepthDataSample(metainfo=dict(img_path='a.png'))]


def brightness_model(**test_cfg):
    preprocessor = dict(type='DepthDataPreprocessor', mean=(0, 0, 0), std=(1, 1, 1))
    return DepthEstimator(
        dict(type='PixelBackbone'), dict(type='BrightnessHead'), data_preprocessor=preprocessor, test_cfg=test_cfg
    ).eval()


def tiny_model(**kwargs):
    backbone = dict(type='TimmBackbone', model_name='resnet10t', out_indices=(0, 1, 2))
    channels = MODELS.build(backbone).out_channels
    head = dict(type='DenseDepthHead', in_channels=channels, up_sample_channels=[8, 8, 8], channels=8)
    return DepthEstimator(backbone, head, **kwargs)


def test_tensor_mode_gives_clamped_metres_at_the_input_size():
    torch.manual_seed(0)
    model = tiny_model().eval()
    depth = model(torch.randn(2, 3, 33, 50), mode='tensor')
    assert depth.shape == (2, 1, 33, 50)
    assert depth.min() >= model.decode_head.min_depth
    model.decode_head.conv_depth.bias.data.fill_(1000.0)
    farthest = model(torch.randn(1, 3, 32, 32), mode='tensor').max().item()
    assert farthest == pytest.approx(model.decode_head.max_depth, rel=1e-6)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = tiny_model()
    model.decode_head.init_depth_bias(3.0)
    samples = [DepthDataSample(gt_depth=torch.rand(32, 48) * 5 + 1) for _ in range(2)]
    losses = model(torch.randn(2, 3, 32, 48), samples, mode='loss')
    losses['loss_depth'].backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []


@pytest.mark.parametrize('size', [(40, 60), (41, 67), (20, 30)])
def test_sliding_windows_of_a_pixelwise_model_are_the_whole_image(size):
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size) * 2
    model = brightness_model()
    found = slide_inference(model.predict_depth, image, (24, 32), (16, 20))
    assert torch.allclose(found, model.predict_depth(image), atol=1e-6)


@pytest.mark.parametrize(('length', 'window', 'stride'), [(10, 4, 3), (11, 4, 3), (4, 4, 2), (3, 4, 4), (9, 4, 4)])
def test_windows_cover_every_pixel(length, window, stride):
    starts = window_starts(length, window, stride)
    seen = {place for start in starts for place in range(start, start + min(window, length))}
    assert seen == set(range(length))
    assert max(starts) + min(window, length) == length


def predict(model, images, **metas):
    samples = [
        DepthDataSample(metainfo=dict(img_shape=image.shape[1:], ori_shape=metas.get('ori_shape', image.shape[1:])))
        for image in images
    ]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples))
    return model(batch['inputs'], batch['data_samples'], mode='predict')


@pytest.mark.parametrize('test_cfg', [{}, dict(flip=True), dict(mode='slide', crop_size=(8, 8), stride=(5, 5))])
def test_images_of_unequal_size_are_predicted_as_if_alone(test_cfg):
    model = brightness_model(**test_cfg)
    images = [torch.full((3, 12, 20), 1, dtype=torch.uint8), torch.full((3, 9, 14), 2, dtype=torch.uint8)]
    images[0][:, :, 10:] = 0
    together = predict(model, images)
    for image, sample in zip(images, together, strict=True):
        assert sample.pred_depth.shape == image.shape[1:]
        alone = predict(model, [image])[0].pred_depth
        assert torch.allclose(sample.pred_depth, alone)
        assert torch.allclose(sample.pred_depth, (3 * image[0].float()).clamp(0.5, 6))


def test_prediction_goes_back_to_the_original_size():
    sample = predict(brightness_model(), [torch.ones(3, 8, 10, dtype=torch.uint8)], ori_shape=(16, 25))[0]
    assert sample.pred_depth.shape == (16, 25)
    assert torch.allclose(sample.pred_depth, torch.tensor(3.0))


def test_preprocessor_normalises_rgb_and_pads_with_nothing():
    preprocessor = DepthDataPreprocessor(mean=(10, 20, 30), std=(1, 2, 4), pad_size_divisor=8)
    bgr = torch.stack([torch.full((5, 7), value, dtype=torch.uint8) for value in (34, 24, 11)])
    sample = DepthDataSample(gt_depth=torch.ones(5, 7))
    batch = preprocessor(dict(inputs=[bgr], data_samples=[sample]), training=True)
    assert batch['inputs'].shape == (1, 3, 8, 8)
    assert batch['inputs'][0, :, 0, 0].tolist() == [1.0, 2.0, 1.0]
    assert batch['inputs'][0, :, 5:].abs().sum() == 0
    padded = batch['data_samples'][0].gt_depth
    assert padded.shape == (8, 8)
    assert padded.sum() == 35


@pytest.mark.parametrize(
    ('inputs', 'samples', 'mode', 'message'),
    [
        (torch.zeros(3, 8, 8), None, 'tensor', r'\(N, 3, H, W\)'),
        (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), None, 'tensor', 'uint8'),
        (torch.zeros(1, 3, 8, 8), None, 'predict', '1 images, none samples'),
        (
            torch.zeros(1, 3, 8, 8),
            [DepthDataSample(metainfo=dict(img_path='a.png'))],
            'loss',
            r'a\.png has no gt_depth',
        ),
        (torch.zeros(1, 3, 8, 8), None, 'train', "'loss', 'predict' or 'tensor'"),
    ],
)
def test_wrong_inputs_are_answered_in_words(inputs, samples, mode, message):
    with pytest.raises(ValueError, match=message):
        brightness_model()(inputs, samples, mode=mode)


@pytest.mark.parametrize(
    ('test_cfg', 'message'),
    [
        (dict(flipp=True), "did you mean 'flip'"),
        (dict(mode='whole image'), "'whole' or 'slide'"),
        (dict(mode='slide', stride=(4, 4)), 'crop_size must be'),
        (dict(mode='slide', crop_size=(4, 4), stride=(4, 5)), 'larger than crop_size'),
    ],
)
def test_wrong_test_options_are_answered_in_words(test_cfg, message):
    with pytest.raises(ValueError, match=message):
        brightness_model(**test_cfg)


@pytest.mark.parametrize('scale_up', [False, True])
def test_the_head_starts_where_it_is_told(scale_up):
    torch.manual_seed(0)
    head = tiny_model().decode_head
    head.scale_up = scale_up
    head.init_depth_bias(2.5)
    depth = head.regress(torch.randn(1, 8, 16, 16).abs())
    assert depth.mean().item() == pytest.approx(2.5, abs=0.1)
    with pytest.raises(ValueError, match='outside the depth range'):
        head.init_depth_bias(11.0)
