"""Parts of ScaleDepth: embeddings, categories, strip mix, scale of windows, messages."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config

from depth.datasets.transforms import DepthStripMix
from depth.registry import MODELS
from depth.structures import DepthDataSample
from projects.ScaleDepth.scaledepth import AddSceneCategory, DoubleSoftmaxClassLoss
from projects.ScaleDepth.scaledepth.text import CATEGORIES, read_class_embeddings
from tests.parity.recorded import load_arrays


def tiny(test_cfg=None, **head):
    torch.manual_seed(0)
    backbone = dict(type='TimmBackbone', model_name='resnet10t', out_indices=(1, 2, 3, 4))
    options = dict(
        in_channels=[64, 128, 256, 512],
        channels=32,
        num_bins=8,
        num_classes=3,
        decoder=dict(num_layers=3, num_heads=2, feedforward_channels=32),
        pixel_decoder=dict(num_layers=1, num_heads=2, feedforward_channels=32),
        aux_layers=(0,),
        aux_weights=(0.5,),
    )
    head = dict(type='ScaleDepthHead', **options | head)
    return MODELS.build(
        Config(
            dict(
                model=dict(
                    type='ScaleDepthEstimator',
                    backbone=backbone,
                    decode_head=head,
                    test_cfg=test_cfg,
                )
            )
        ).model
    )


def samples(count=2, label=1):
    made = [
        DepthDataSample(metainfo=dict(scene_class=label, img_path='a.png')) for _ in range(count)
    ]
    for sample in made:
        sample.gt_depth = torch.rand(64, 96) * 5 + 1
    return made


def test_class_loss_on_probabilities_is_the_published_one():
    values = load_arrays('scaledepth_losses')
    logits = torch.from_numpy(values['input/class_logits'])
    labels = torch.from_numpy(values['input/class_label']).long()
    actual = DoubleSoftmaxClassLoss(0.01)(logits, labels)
    assert actual.item() == pytest.approx(float(values['ce/probabilities']), rel=1e-5)


def test_training_without_embeddings_says_what_to_run(tmp_path):
    missing = tmp_path / 'none.pth'
    model = tiny(class_embeddings=str(missing)).train()
    with pytest.raises(
        ValueError, match=r'none\.pth does not exist; make it by .*make_class_embeddings'
    ):
        model(torch.randn(2, 3, 64, 96), samples(), mode='loss')
    assert model.eval()(torch.randn(1, 3, 64, 96)).shape == (1, 1, 64, 96)


@pytest.mark.parametrize('normalize', [False, True])
def test_gradients_reach_every_parameter(tmp_path, normalize):
    torch.save(F.normalize(torch.randn(3, 96), dim=1), tmp_path / 'texts.pth')
    model = tiny(
        class_embeddings=str(tmp_path / 'texts.pth'),
        normalize_similarity=normalize,
        loss_class=dict(type='SceneClassLoss'),
    ).train()
    losses = model(torch.randn(2, 3, 64, 96), samples(), mode='loss')
    expected = {'loss_depth', 'loss_class', 'aux_loss_depth_0', 'aux_loss_class_0', 'top1', 'top5'}
    assert set(losses) == expected
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    dead = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert dead == []


def test_depth_is_scale_times_relative_depth():
    model = tiny(num_classes=0).eval()
    with torch.no_grad():
        outputs = model.decode_head(model.backbone(torch.randn(2, 3, 64, 96)))
        assert torch.allclose(
            outputs['depth'], outputs['relative_depth'] * outputs['scale'][:, :, None, None]
        )
        assert outputs['scale'].min() >= 0.1
        model.decode_head.scale_predictor.bias.fill_(500.0)
        assert model(torch.randn(1, 3, 64, 96)).max() > 100  # no depth range cuts it
    assert 0 < outputs['relative_depth'].min() <= outputs['relative_depth'].max() < 1.01


def test_without_scale_bins_are_metres():
    with pytest.raises(ValueError, match='max_depth'):
        tiny(with_scale=False)
    model = tiny(num_classes=0, with_scale=False, max_depth=10.0).eval()
    with torch.no_grad():
        outputs = model.decode_head(model.backbone(torch.randn(1, 3, 64, 96)))
    assert torch.allclose(
        outputs['bin_edges'][0, 0, [0, -1]], torch.tensor([1e-3, 10.0]), rtol=1e-4
    )
    assert not any('scale_predictor' in name for name, _ in model.named_parameters())


@pytest.mark.parametrize('depth', [2.0, 12.0])
def test_training_starts_at_a_typical_depth_with_a_live_scale(depth):
    model = tiny()
    model.decode_head.init_depth_bias(depth)
    outputs = model.decode_head(model.extract_feat(torch.rand(4, 3, 64, 96)))
    assert outputs['depth'].detach().log().mean().exp().item() == pytest.approx(depth, rel=0.25)
    outputs['scale'].sum().backward()
    # One for each image, none behind a dead ReLU.
    assert model.decode_head.scale_predictor.bias.grad.item() == 4


def test_windows_share_the_scale_of_the_image_when_asked():
    window = dict(mode='slide', crop_size=(64, 64), stride=(64, 32), flip=True)
    image = torch.randn(1, 3, 64, 96)
    sample = DepthDataSample(metainfo=dict(img_shape=(64, 96), ori_shape=(64, 96)))
    model = tiny(num_classes=0, test_cfg=dict(window, scale='image')).eval()
    with torch.no_grad():
        model.decode_head.scale_predictor.weight.mul_(20)
        model.predict(image, [sample])
        shared = sample.pred_depth.clone()
        scale = model._whole_scale(image).item()
        model.test_cfg['scale'] = 'window'
        model.decode_head.scale_predictor.weight.zero_()
        model.decode_head.scale_predictor.bias.fill_(scale - 0.1)
        model.predict(image, [sample])
    assert torch.allclose(shared, sample.pred_depth, rtol=1e-4)
    with pytest.raises(ValueError, match=r"scale is 'window' or 'image'"):
        tiny(num_classes=0, test_cfg=dict(scale='pixel'))


@pytest.mark.parametrize(
    ('path', 'dataset', 'category'),
    [
        ('data/nyu/living_room_0012a/rgb_00001.jpg', 'nyu', 'living_room'),
        ('data/nyu/images/test/office_kitchen_00013.jpg', 'nyu', 'office_kitchen'),
        ('data/nyu/nyu_office_0/rgb_00001.jpg', 'nyu', 'office'),
        ('data/nyu/study_0003/rgb_00001.jpg', 'nyu', 'study'),
        ('kitti/2011_09_26/x/image_02/data/0000000001.png', 'kitti', 'outdoor_scene'),
        ('data/nyu/garage_0003/rgb_00001.jpg', 'nyu', None),
    ],
)
def test_scene_categories_come_from_paths(path, dataset, category):
    actual = AddSceneCategory().transform(dict(img_path=path, dataset=dataset, scene_class=99))
    assert actual.get('scene_class') == (None if category is None else CATEGORIES.index(category))


def test_there_are_28_categories_and_the_last_is_outdoor():
    assert len(CATEGORIES) == len(set(CATEGORIES)) == 28
    assert (CATEGORIES[0], CATEGORIES[6], CATEGORIES[26], CATEGORIES[27]) == (
        'printer_room',
        'kitchen',
        'bookstore',
        'outdoor_scene',
    )


def test_a_wrong_embedding_file_is_named(tmp_path):
    torch.save(torch.zeros(5, 96), tmp_path / 'five.pth')
    with pytest.raises(
        ValueError, match=r'five\.pth must be a tensor of shape \(3, 96\), found \(5, 96\)'
    ):
        read_class_embeddings(tmp_path / 'five.pth', (3, 96))
    (tmp_path / 'text.pth').write_text('no tensor')
    with pytest.raises(ValueError, match=r'text\.pth cannot be read'):
        read_class_embeddings(tmp_path / 'text.pth', (3, 96))


def test_strip_mix_shows_stored_depth_in_one_strip():
    img = np.full((6, 40, 3), 7, np.uint8)
    depth = np.tile(np.linspace(0.5, 5, 40, dtype=np.float32), (6, 1))
    for seed in range(10):
        results = dict(img=img, gt_depth=depth, depth_scale=1000.0, rng=np.random.RandomState(seed))
        mixed = DepthStripMix(prob=1.0).transform(results)['img']
        changed = np.flatnonzero((mixed != 7).any(axis=(0, 2)))
        assert len(changed)
        inside = np.arange(changed[0], changed[-1] + 1)
        assert np.array_equal(
            mixed[0, inside, 1], np.rint(depth[0, inside] * 1000).astype(int) % 256
        )
        assert (mixed == mixed[:1]).all()
    assert (img == 7).all()
    results = dict(img=img, gt_depth=depth, rng=np.random.RandomState(0))
    assert DepthStripMix(prob=0.0).transform(results)['img'] is img
