"""Losses on the final depth: labels of several meanings in one batch, and normals with holes."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate

from depth.datasets.transforms import MakeLabelsRelative, PackDepthInputs
from depth.datasets.transforms.label_types import scale_to_unit
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.models.estimators import DepthEstimator
from depth.models.losses import GradientMatchingLoss, NormalLoss, RelativeLabelLoss, SILogLoss
from depth.registry import DATASETS, MODELS
from depth.structures import DepthDataSample
from tests.shared import REPO, SEED

MODEL = dict(
    type='DepthEstimator',
    backbone=dict(type='TimmBackbone', model_name='resnet10t', out_indices=(0, 1, 2)),
    decode_head=dict(type='DenseDepthHead', in_channels=(64, 64, 128), channels=64),
    extra_losses=dict(relative=dict(type='RelativeLabelLoss')),
)


def scene(seed=0, shape=(32, 48)):
    rng = np.random.RandomState(seed)
    depth = rng.uniform(1, 9, shape).astype(np.float32)
    depth[rng.uniform(size=shape) < 0.2] = 0
    return dict(img=rng.randint(0, 256, (*shape, 3), np.uint8), gt_depth=depth)


def packed(label_type, seed=0):
    """Return the packed sample of a scene, its labels made relative for a relative type."""
    results = scene(seed)
    if label_type != 'metric':
        results = MakeLabelsRelative(label_type)(results)
    return PackDepthInputs()(results)


def losses_of(samples, **model_options):
    torch.manual_seed(SEED)
    model = MODELS.build(dict(MODEL, **model_options))
    model.backbone.eval()
    batch = model.data_preprocessor(pseudo_collate(samples), training=True)
    return model(**batch, mode='loss')


def test_relative_labels_keep_the_order_and_nothing_of_the_unit():
    results, metric = MakeLabelsRelative()(scene()), scene()['gt_depth']
    valid = metric > 0
    labels = results['gt_depth']
    assert results['label_type'] == 'affine_invariant_disparity'
    assert np.array_equal(labels > 0, valid)
    assert labels[valid].min() == pytest.approx(0.01) and labels[valid].max() == pytest.approx(1)
    line = np.polyfit(1 / metric[valid], labels[valid], 1)
    assert np.allclose(np.polyval(line, 1 / metric[valid]), labels[valid], atol=1e-5)
    twice = MakeLabelsRelative()(dict(scene(), gt_depth=2 * metric))['gt_depth']
    assert np.allclose(twice, labels, atol=1e-5)
    with pytest.raises(ValueError, match='already'):
        MakeLabelsRelative()(results)
    assert not scale_to_unit(metric, np.zeros_like(valid)).any()


def test_packing_puts_labels_where_they_belong():
    assert 'gt_relative_depth' not in packed('metric')['data_samples']
    for label_type, field in (
        ('affine_invariant', 'gt_relative_depth'),
        ('affine_invariant_disparity', 'gt_relative_inverse_depth'),
    ):
        sample = packed(label_type)['data_samples']
        assert sample.label_type == label_type
        assert not sample.gt_depth.any() and sample.get(field).max() == pytest.approx(1)
    depth = scene()['gt_depth']
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
    sample = PackDepthInputs()(dict(scene(), gt_depth=inverse, label_type='inverse_depth'))
    assert np.allclose(sample['data_samples'].gt_depth.numpy(), depth, rtol=1e-5)
    with pytest.raises(ValueError, match='label_type is one of'):
        PackDepthInputs()(dict(scene(), label_type='meters'))


def test_each_sample_of_a_batch_is_trained_by_what_its_labels_mean():
    """The mixed batch's metric loss is that of the metric samples alone, and likewise the relative."""
    metric, relative = packed('metric', 0), packed('affine_invariant_disparity', 1)
    mixed = losses_of([metric, relative])
    assert mixed['loss_depth'].item() == pytest.approx(
        losses_of([packed('metric', 0)])['loss_depth'].item(), rel=1e-4
    )
    alone = losses_of([packed('affine_invariant_disparity', 1)])['loss_relative'].item()
    assert mixed['loss_relative'].item() == pytest.approx(alone / 2, rel=1e-4)  # one image of two
    mixed['loss_relative'].backward()
    assert losses_of([packed('metric', 0)])['loss_relative'] == 0


@pytest.mark.parametrize('prediction_type', ['metric', 'affine_invariant_disparity'])
@pytest.mark.parametrize('label_type', ['affine_invariant', 'affine_invariant_disparity'])
def test_the_comparison_takes_place_in_the_domain_of_the_labels(prediction_type, label_type):
    """A prediction that agrees up to scale and shift of the labels' own domain costs nothing."""
    depth = torch.from_numpy(scene()['gt_depth']).clamp(min=1)[None, None]
    is_inverse_label = label_type == 'affine_invariant_disparity'
    values = 1 / depth if is_inverse_label else depth
    sample = DepthDataSample(gt_depth=torch.zeros(32, 48))
    field = 'gt_relative_inverse_depth' if is_inverse_label else 'gt_relative_depth'
    sample.set_field(0.3 * values[0, 0] + 0.2, field)
    prediction = 1 / depth if prediction_type != 'metric' else depth
    loss = RelativeLabelLoss()
    assert loss(prediction, [sample], None, prediction_type) < 1e-5
    assert loss(1 / prediction, [sample], None, prediction_type) > 1e-3


def test_relative_labels_without_a_loss_are_an_error():
    with pytest.raises(ValueError, match='set model'):
        losses_of([packed('affine_invariant')], extra_losses=None)


def test_an_estimator_with_losses_of_its_own_refuses_more():
    class OwnLosses(DepthEstimator):
        def loss(self, inputs, data_samples):
            return {}

    options = {key: value for key, value in MODEL.items() if key != 'type'}
    with pytest.raises(ValueError, match='OwnLosses has losses of its own'):
        OwnLosses(**options)


def plane(intrinsics, normal, distance, shape=(40, 48)):
    """Return the depth (1, 1, H, W) of the plane with normal . point = -distance."""
    v, u = torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing='ij')
    x = (u - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (v - intrinsics[1, 2]) / intrinsics[1, 1]
    return (-distance / (normal[0] * x + normal[1] * y + normal[2]))[None, None]


@pytest.mark.parametrize('share', [1.0, 0.3])
def test_normals_of_planes_differ_by_the_angle_between_them(share):
    """Also where 70 % of the ground truth are holes."""
    intrinsics = torch.tensor([[60.0, 0, 24], [0, 60, 20], [0, 0, 1]])
    first = torch.tensor([0.0, 0.0, -1.0])
    angle = np.deg2rad(20)
    second = torch.tensor([np.sin(angle), 0.0, -np.cos(angle)], dtype=torch.float32)
    target = plane(intrinsics, first, 4.0)
    holes = torch.rand(target.shape, generator=torch.Generator().manual_seed(0)) > share
    sample = DepthDataSample(gt_depth=torch.where(holes, 0, target)[0, 0], intrinsics=intrinsics)
    loss = NormalLoss()
    prediction = plane(intrinsics, second, 4.0).requires_grad_()
    value = loss(prediction, [sample], None, 'metric')
    assert value.item() == pytest.approx(1 - np.cos(angle), rel=0.02)
    value.backward()
    assert prediction.grad.isfinite().all() and prediction.grad.abs().sum() > 0
    assert loss(1.7 * target, [sample], None, 'metric') < 1e-5
    empty = DepthDataSample(gt_depth=torch.zeros(40, 48), intrinsics=intrinsics)
    assert loss(target, [empty], None, 'metric') == 0


def test_normals_need_a_camera_and_metres():
    sample = DepthDataSample(gt_depth=torch.ones(8, 8))
    with pytest.raises(ValueError, match='no camera'):
        NormalLoss()(torch.ones(1, 1, 8, 8), [sample], None, 'metric')
    with pytest.raises(ValueError, match='metric depth'):
        NormalLoss()(torch.ones(1, 1, 8, 8), [sample], None, 'affine_invariant')


def test_the_config_of_mixed_worlds_trains_both():
    cfg = load_config(REPO / 'configs/synthetic/densedepth_r18_mixed_labels.py')
    check_config(cfg)
    for dataset in cfg.train_dataloader.dataset.datasets:
        dataset.update(num_scenes=1, image_size=(64, 64))
    dataset = DATASETS.build(cfg.train_dataloader.dataset.to_dict())
    model = MODELS.build(cfg.model).train()
    batch = model.data_preprocessor(pseudo_collate([dataset[0], dataset[1]]), training=True)
    labels = [sample.metainfo.get('label_type', 'metric') for sample in batch['data_samples']]
    assert sorted(labels) == ['affine_invariant_disparity', 'metric']
    losses = model(**batch, mode='loss')
    assert losses['loss_depth'] > 0.1 and losses['loss_relative'] > 0
    sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize('method', ['binsformer', 'adabins', 'depth_anything'])
def test_any_head_takes_extra_losses(method):
    """Also heads with losses on bins and of several layers, which see metric samples alone."""
    extra = dict(relative=dict(type='RelativeLabelLoss'), normal=dict(type='NormalLoss'))
    path = REPO / f'configs/synthetic/{method}_tiny_rooms.py'
    cfg = load_config(path, {'model.extra_losses': extra})
    rooms = dict(cfg.train_dataloader.dataset.to_dict(), num_scenes=1, image_size=(64, 64))
    relative = [dict(type='MakeLabelsRelative'), dict(type='PackDepthInputs')]
    samples = [DATASETS.build(rooms)[0], DATASETS.build(dict(rooms, pipeline=relative))[0]]
    torch.manual_seed(SEED)
    model = MODELS.build(cfg.model).train()
    batch = model.data_preprocessor(pseudo_collate(samples), training=True)
    losses = model(**batch, mode='loss')
    for name in ('loss_depth', 'loss_relative', 'loss_normal'):
        assert losses[name].isfinite() and losses[name] > 0, name
    sum(value for name, value in losses.items() if 'loss' in name).backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_the_losses_stay_on_the_device(monkeypatch):
    """No read of the host, and no copy to the device, in losses on labels of all kinds."""
    from tests.fake_cuda import CUDA, Transfers, fake_cuda, run_backward

    with fake_cuda(monkeypatch):
        depth = torch.rand(2, 1, 48, 64, device=CUDA, requires_grad=True)
        intrinsics = torch.rand(3, 3, device=CUDA)
        samples = []
        for _ in range(2):
            sample = DepthDataSample(
                gt_depth=torch.rand(48, 64, device=CUDA), intrinsics=intrinsics
            )
            sample.gt_relative_depth = torch.rand(48, 64, device=CUDA)
            sample.gt_relative_inverse_depth = torch.rand(48, 64, device=CUDA)
            samples.append(sample)
        mask = torch.rand(2, 1, 48, 64, device=CUDA) > 0.5
        with Transfers() as transfers:
            total = RelativeLabelLoss(form='robust')(depth, samples, None, 'metric')
            total = total + RelativeLabelLoss()(depth, samples, None, 'metric')
            total = total + NormalLoss()(depth, samples, None, 'metric')
            total = total + SILogLoss(reduction='image')(depth, depth.detach(), mask)
            total = total + GradientMatchingLoss()(depth, depth.detach(), mask)
            run_backward(total)
        assert transfers.names == []
        assert transfers.count > 100
