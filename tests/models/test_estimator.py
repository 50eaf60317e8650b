import pytest
import torch

from depth.models import DepthDataPreprocessor
from depth.models.estimators import DepthEstimator
from depth.models.estimators.test_time import slide_inference, window_starts
from depth.models.heads import BaseDepthHead, DenseDepthHead
from depth.registry import MODELS
from depth.structures import DepthDataSample


@MODELS.register_module()
class PixelBackbone(torch.nn.Module):
    """Features are the image itself at stride 2 in the second level."""

    def forward(self, inputs):
        return [inputs, inputs[..., ::2, ::2]]


@MODELS.register_module()
class BrightnessHead(BaseDepthHead):
    """Depth is three times the mean of the channels: what every pixel says, wherever its window is."""

    def forward(self, feats, data_samples=None):
        return dict(depth=3 * feats[0].mean(dim=1, keepdim=True))


@MODELS.register_module()
class RayHead(BaseDepthHead):
    """Depth is one metre plus the distance of a pixel's ray from the axis: what the camera says, whatever is seen."""

    def forward(self, feats, data_samples=None):
        height, width = feats[0].shape[-2:]
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing='ij')
        maps = []
        for sample in data_samples:
            focal, center_x, center_y = (
                sample.intrinsics[entry] for entry in ((0, 0), (0, 2), (1, 2))
            )
            maps.append(1 + (((x - center_x) ** 2 + (y - center_y) ** 2).sqrt() / focal))
        return dict(depth=torch.stack(maps).unsqueeze(1))


NO_GROUND_TRUTH = [DepthDataSample(metainfo=dict(img_path='a.png'))]


def brightness_model(**test_cfg):
    preprocessor = dict(type='DepthDataPreprocessor', mean=(0, 0, 0), std=(1, 1, 1))
    return DepthEstimator(
        dict(type='PixelBackbone'),
        dict(type='BrightnessHead', min_depth=0.5, max_depth=6.0),
        data_preprocessor=preprocessor,
        test_cfg=test_cfg,
    ).eval()


def tiny_model(**kwargs):
    backbone = dict(type='TimmBackbone', model_name='resnet10t', out_indices=(0, 1, 2))
    channels = MODELS.build(backbone).out_channels
    head = dict(
        type='DenseDepthHead', in_channels=channels, up_sample_channels=[8, 8, 8], channels=8
    )
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
@pytest.mark.parametrize('window_batch', [1, 3, 100])
def test_sliding_windows_of_a_pixelwise_model_are_the_whole_image(size, window_batch):
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size) * 2
    model = brightness_model()
    actual = slide_inference(
        lambda window, positions: model.predict_depth(window),
        image,
        (24, 32),
        (16, 20),
        window_batch,
    )
    assert torch.allclose(actual, model.predict_depth(image), atol=1e-6)


@pytest.mark.parametrize(
    ('length', 'window', 'stride'), [(10, 4, 3), (11, 4, 3), (4, 4, 2), (3, 4, 4), (9, 4, 4)]
)
def test_windows_cover_every_pixel(length, window, stride):
    starts = window_starts(length, window, stride)
    covered = {index for start in starts for index in range(start, start + min(window, length))}
    assert covered == set(range(length))
    assert max(starts) + min(window, length) == length


def predict(model, images, **metas):
    samples = [
        DepthDataSample(
            metainfo=dict(
                img_shape=image.shape[1:], ori_shape=metas.get('ori_shape', image.shape[1:])
            )
        )
        for image in images
    ]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples))
    return model(batch['inputs'], batch['data_samples'], mode='predict')


@pytest.mark.parametrize(
    'test_cfg', [{}, dict(flip=True), dict(mode='slide', crop_size=(8, 8), stride=(5, 5))]
)
def test_images_of_unequal_size_are_predicted_as_if_alone(test_cfg):
    model = brightness_model(**test_cfg)
    images = [
        torch.full((3, 12, 20), 1, dtype=torch.uint8),
        torch.full((3, 9, 14), 2, dtype=torch.uint8),
    ]
    images[0][:, :, 10:] = 0
    together = predict(model, images)
    for image, sample in zip(images, together, strict=True):
        assert sample.pred_depth.shape == image.shape[1:]
        alone = predict(model, [image])[0].pred_depth
        assert torch.allclose(sample.pred_depth, alone)
        assert torch.allclose(sample.pred_depth, (3 * image[0].float()).clamp(0.5, 6))


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize(
    'window',
    [
        {},
        dict(mode='slide', crop_size=(9, 10), stride=(4, 7)),
        dict(mode='slide', crop_size=(9, 10), stride=(4, 7), window_batch=4),
    ],
)
def test_cameras_follow_windows_and_mirror_images(flip, window):
    preprocessor = dict(type='DepthDataPreprocessor', mean=(0, 0, 0), std=(1, 1, 1))
    modules = dict(type='PixelBackbone'), dict(type='RayHead', max_depth=100.0)
    model = DepthEstimator(
        *modules, data_preprocessor=preprocessor, test_cfg=dict(window, flip=flip)
    ).eval()
    samples = []
    for width, center_x in ((24, 7.3), (19, 12.1)):
        sample = DepthDataSample(metainfo=dict(img_shape=(16, width), ori_shape=(16, width)))
        sample.intrinsics = torch.tensor([[20.0, 0, center_x], [0, 20.0, 6.6], [0, 0, 1]])
        samples.append(sample)
    images = [torch.zeros(3, 16, width, dtype=torch.uint8) for width in (24, 19)]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples))
    whole = model.decode_head([batch['inputs']], batch['data_samples'])['depth']
    actual = model(batch['inputs'], batch['data_samples'], mode='predict')
    for sample, expected, image in zip(actual, whole, images, strict=True):
        assert torch.allclose(sample.pred_depth, expected[0, :, : image.shape[-1]], atol=1e-5)
        assert sample.intrinsics[1, 2] == pytest.approx(6.6)


def test_prediction_goes_back_to_the_original_size():
    sample = predict(
        brightness_model(), [torch.ones(3, 8, 10, dtype=torch.uint8)], ori_shape=(16, 25)
    )[0]
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
        (
            dict(mode='slide', crop_size=(4, 4), stride=(4, 4), window_batch=0),
            'window_batch is 1 or more',
        ),
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


def test_the_mirrored_prediction_is_turned_back_and_averaged():
    torch.manual_seed(0)
    model = tiny_model(test_cfg=dict(flip=True)).eval()
    model.decode_head.init_depth_bias(3.0)
    image = torch.randint(0, 255, (3, 32, 48), dtype=torch.uint8)
    actual = predict(model, [image])[0].pred_depth
    inputs = model.data_preprocessor(dict(inputs=[image]))['inputs']
    with torch.no_grad():
        plain, mirrored = model(inputs), model(inputs.flip(-1)).flip(-1)
    assert not torch.allclose(plain, mirrored)
    assert torch.allclose(actual, ((plain + mirrored) / 2)[0, 0], atol=1e-5)
    turned = predict(model, [image.flip(-1)])[0].pred_depth
    assert torch.allclose(turned.flip(-1), actual, atol=1e-5)


def test_padding_does_not_count_in_the_loss():
    torch.manual_seed(0)
    model = brightness_model()
    model.decode_head = tiny_model().decode_head
    depth = torch.rand(2, 1, 12, 20) + 1
    small, large = torch.rand(9, 14) + 1, torch.rand(12, 20) + 1
    images = [torch.zeros(3, *gt.shape, dtype=torch.uint8) for gt in (small, large)]
    samples = [DepthDataSample(gt_depth=gt) for gt in (small, large)]
    batch = model.data_preprocessor(dict(inputs=images, data_samples=samples), training=True)
    gt_depth = torch.stack([sample.gt_depth for sample in batch['data_samples']])[:, None]
    actual = model.decode_head.loss(dict(depth=depth), gt_depth)['loss_depth']
    pred = torch.cat([depth[0, 0, :9, :14].flatten(), depth[1, 0].flatten()])
    error = (pred + 1e-3).log() - (torch.cat([small.flatten(), large.flatten()]) + 1e-3).log()
    assert actual.item() == pytest.approx(
        (error.var() + 0.15 * error.mean() ** 2).sqrt().item(), rel=1e-5
    )


def test_tensor_mode_clamps_before_it_resizes():
    """Two columns of 1 m and 99 m: clamped to 10 m first, the resized ramp runs from 1 to 10 in even steps."""
    model = tiny_model().eval()
    model.decode_head.forward = lambda feats, data_samples=None: dict(
        depth=torch.tensor([[[[1.0, 99.0]]]])
    )
    depth = model(torch.zeros(1, 3, 32, 32))
    assert torch.allclose(depth[0, 0], torch.linspace(1, 10, 32).expand(32, 32))


def test_depth_is_float32_under_autocast():
    model = tiny_model().eval()
    with torch.no_grad(), torch.autocast('cpu', dtype=torch.bfloat16):
        assert (
            model.decode_head(model.extract_feat(torch.zeros(1, 3, 32, 32)))['depth'].dtype
            == torch.float32
        )


@pytest.mark.parametrize(
    ('image', 'message'),
    [
        (torch.zeros(3, 4, 4), 'float32'),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), r'\(1, 4, 4\)'),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r'\(4, 4, 3\)'),
    ],
)
def test_the_preprocessor_refuses_what_is_no_raw_image(image, message):
    with pytest.raises(ValueError, match=message):
        DepthDataPreprocessor()(dict(inputs=[image]))


def test_ground_truth_off_its_image_grid_is_refused_in_training_only():
    def batch():
        sample = DepthDataSample(metainfo=dict(img_path='a.png'), gt_depth=torch.ones(8, 12))
        return dict(inputs=[torch.zeros(3, 4, 6, dtype=torch.uint8)], data_samples=[sample])

    with pytest.raises(
        ValueError, match=r'a\.png: gt_depth is \(8, 12\) but the image is \(4, 6\)'
    ):
        DepthDataPreprocessor()(batch(), training=True)
    assert DepthDataPreprocessor()(batch())['data_samples'][0].gt_depth.shape == (8, 12)


@pytest.mark.parametrize(
    'options', [dict(mean=(1, 2)), dict(std=(1, 0, 1)), dict(pad_size_divisor=0)]
)
def test_wrong_normalisation_is_answered_in_words(options):
    with pytest.raises(ValueError, match=f'DepthDataPreprocessor: .*{next(iter(options))}'):
        DepthDataPreprocessor(**options)


def test_training_options_nobody_reads_are_refused():
    with pytest.raises(ValueError, match=r"model\.train_cfg has no option 'warm_up'"):
        tiny_model(train_cfg=dict(warm_up=True))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(in_channels=[4, 8], up_sample_channels=[4]), 'one for each feature level'),
        (dict(in_channels=[4, 8], up_sample_channels=[4, 8], channels=16), 'must be channels=16'),
        (dict(in_channels=[4, 8], channels=4, max_depth=0), 'min_depth < max_depth'),
    ],
)
def test_wrong_head_arguments_are_answered_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        DenseDepthHead(**arguments)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('divisor', [1, 16])
def test_a_prediction_does_not_depend_on_what_shares_its_batch(flip, divisor):
    torch.manual_seed(0)
    preprocessor = dict(type='DepthDataPreprocessor', pad_size_divisor=divisor)
    model = tiny_model(data_preprocessor=preprocessor, test_cfg=dict(flip=flip)).eval()
    model.decode_head.init_depth_bias(3.0)
    generator = torch.Generator().manual_seed(0)
    sizes = [(40, 60), (33, 70), (40, 60), (20, 30)]
    images = [
        torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator) for size in sizes
    ]
    together = predict(model, images)
    for image, sample in zip(images, together, strict=True):
        alone = predict(model, [image])[0].pred_depth
        torch.testing.assert_close(sample.pred_depth, alone, rtol=1e-5, atol=1e-5)
