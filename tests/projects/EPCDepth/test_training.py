import dataclasses

import pytest
import torch
from mmengine.runner import set_random_seed

from depth.datasets import SyntheticDataset
from depth.datasets.transforms import ColorJitterPair, PackStereoInputs, PairFromScene, RandomFlip
from depth.engine.acceleration import compile_losses
from depth.models.layers import synthesize_view
from depth.registry import MODELS
from depth.structures import ViewBatch
from projects.EPCDepth.data_grafting import draw_partners, graft, graft_rows, group_by_rig
from projects.EPCDepth.depth_hints import ComputeDepthHint
from projects.EPCDepth.epcdepth_loss import EPCDepthLoss
from projects.EPCDepth.modules import EPCDepth


def scenes(size, hints=True):
    pipeline = [
        PairFromScene(right_prob=0.5),
        *([ComputeDepthHint()] if hints else []),
        RandomFlip(prob=0.5),
        ColorJitterPair(prob=0.5),
        PackStereoInputs(),
    ]
    dataset = SyntheticDataset('streets', 2, image_size=size, stereo=True, pipeline=pipeline)
    return [dataset[index] for index in range(2)]


def model(head, view_loss=None, backbone='resnet18', **train_cfg):
    return EPCDepth(
        dict(type='TimmBackbone', model_name=backbone),
        dict(type=head, output_range=(2.0, 100.0)),
        view_loss=dict(type='EPCDepthLoss', **(view_loss or {})),
        train_cfg=train_cfg,
    )


def losses_of(network, samples):
    torch.manual_seed(0)
    network.train()
    batch = dict(
        inputs=[s['inputs'] for s in samples], data_samples=[s['data_samples'] for s in samples]
    )
    return network(**network.data_preprocessor(batch, training=True), mode='loss')


@pytest.mark.slow
def test_full_epcdepth_trains_every_parameter():
    network = model('FullScaleHead', dict(smoothness_weight=0.1))
    losses = losses_of(network, scenes((160, 160)))
    assert set(losses) == {'loss_photometric', 'loss_hint', 'loss_distill', 'loss_smooth'}
    sum(losses.values()).backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    assert all(torch.isfinite(parameter.grad).all() for parameter in network.parameters())


def test_compiled_losses_are_one_graph_whatever_is_grafted():
    compiled, eager = (model('MonodepthHead', backbone='resnet10t') for _ in range(2))
    eager.load_state_dict(compiled.state_dict())
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    compile_losses(compiled, dict(backend=backend, fullgraph=True))
    samples = scenes((32, 96))
    first_losses = set()
    for seed in range(5):
        results = []
        for network in (eager, compiled):
            set_random_seed(seed)
            losses = losses_of(network, samples)
            results.append({name: value.item() for name, value in losses.items()})
        assert results[1] == pytest.approx(results[0], rel=1e-4)
        first_losses.add(results[0]['loss_photometric'])
    assert len(first_losses) > 1
    assert len(graphs) == 1
    torch.compiler.reset()


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (dict(), {'loss_photometric', 'loss_hint', 'loss_distill'}),
        (dict(hint_weight=0.0), {'loss_photometric', 'loss_distill'}),
        (dict(distill_weight=0.0), {'loss_photometric', 'loss_hint'}),
    ],
)
def test_each_term_can_be_left_out(options, expected):
    network = model('MonodepthHead', options, graft=False)
    losses = losses_of(network, scenes((32, 96)))
    assert set(losses) == expected
    assert all(torch.isfinite(value) for value in losses.values())


def test_weighted_hints_have_to_be_there():
    with pytest.raises(ValueError, match='LoadDepthHint'):
        losses_of(model('MonodepthHead'), scenes((32, 96), hints=False))


def test_pairs_only_exchange_rows_within_their_group():
    torch.manual_seed(0)
    groups = torch.tensor([0, 1, 1, 0, 0, 1, 0])
    first_losses = set()
    for _ in range(50):
        partners = draw_partners(groups)
        assert sorted(partners.tolist()) == list(range(7))
        assert torch.equal(groups[partners], groups)
        first_losses.add(tuple(partners.tolist()))
    assert len(first_losses) > 30  # of 4! * 3!
    assert draw_partners(torch.tensor([0, 1])).tolist() == [0, 1]


def two_lefts(mirror_second):
    """Two left images at a constant depth, a disparity of four pixels; the second may be mirrored."""
    torch.manual_seed(0)
    scene = torch.nn.functional.interpolate(
        torch.rand(2, 3, 10, 12), size=(20, 48), mode='bicubic'
    ).clamp(0, 1)
    target, source = scene[..., :40], scene[..., 4:44]
    transform = torch.eye(4).repeat(2, 1, 1)
    transform[:, 0, 3] = -0.5
    if mirror_second:
        target, source = (torch.stack([view[0], view[1].flip(-1)]) for view in (target, source))
        transform[1, 0, 3] = 0.5
    camera = torch.tensor([[40.0, 0, 19.5], [0, 40.0, 9.5], [0, 0, 1]]).repeat(2, 1, 1)
    return ViewBatch(target, [source], [transform], camera, [camera])


def inner_error(views):
    depth = torch.full((2, 1, 20, 40), 5.0)
    warped = synthesize_view(views.sources[0], depth, views.intrinsics, views.transforms[0])
    return (warped - views.target)[..., 4:-4].abs().max().item()


def test_grafted_rows_keep_a_perfect_depth_perfect():
    for mirror_second in (False, True):
        views = two_lefts(mirror_second)
        for seed in range(20):
            set_random_seed(seed)
            inputs, grafted = graft(views.target.clone(), views)
            assert torch.equal(inputs, grafted.target)
            assert inner_error(grafted) < 1e-4
    # Grouping by the camera alone, as published, would paste rows of the other sign.
    partners = torch.tensor([1, 0])
    mixed = ViewBatch(
        graft_rows(views.target, partners, 8, False),
        [graft_rows(views.sources[0], partners, 8, False)],
        views.transforms,
        views.intrinsics,
        views.source_intrinsics,
    )
    assert inner_error(mixed) > 0.2


def two_rigs(change):
    """Four images of one rig each, in pairs of equal rigs; ``change`` makes the second rig from the first one's."""
    torch.manual_seed(0)
    scene = torch.nn.functional.interpolate(
        torch.rand(4, 3, 10, 16), size=(20, 64), mode='bicubic'
    ).clamp(0, 1)
    camera = torch.tensor([[40.0, 0, 19.5], [0, 40.0, 9.5], [0, 0, 1]]).repeat(4, 1, 1)
    other_camera, transform = camera.clone(), torch.eye(4).repeat(4, 1, 1)
    transform[:, 0, 3] = -0.5
    for index in (1, 3):
        change(camera[index], other_camera[index], transform[index])
    shifts = -camera[:, 0, 0] * transform[:, 0, 3] / 5.0 + camera[:, 0, 2] - other_camera[:, 0, 2]
    columns = [slice(8 + round(shift.item()), 48 + round(shift.item())) for shift in shifts]
    source = torch.stack([image[..., cut] for image, cut in zip(scene, columns, strict=True)])
    return ViewBatch(
        scene[..., 8:48],
        [source],
        [transform],
        camera,
        [other_camera],
        torch.full((4, 1, 20, 40), 5.0),
    )


@pytest.mark.parametrize(
    'quantity', ['focal_length', 'baseline', 'principal_point', 'other_principal_point']
)
def test_grafting_never_mixes_cameras(quantity):
    """The error of a perfect depth stays what it was, and rows are still exchanged among equal cameras."""

    def change(camera, other_camera, transform):
        if quantity == 'focal_length':
            camera[0, 0] = other_camera[0, 0] = 60.0
        elif quantity == 'baseline':
            transform[0, 3] = -0.75
        elif quantity == 'principal_point':
            camera[0, 2] += 3
        else:
            other_camera[0, 2] += 3

    views = two_rigs(change)

    def error(batch):
        geometry = batch.intrinsics, batch.transforms[0], batch.source_intrinsics[0]
        warped = synthesize_view(batch.sources[0], batch.depth_hint, *geometry)
        return (warped - batch.target)[..., 10:-10].abs().max().item()

    assert error(views) < 1e-4
    assert group_by_rig(views).tolist() == [0, 1, 0, 1]
    exchanged = 0
    for seed in range(20):
        set_random_seed(seed)
        grafted = graft(views.target.clone(), views)[1]
        assert error(grafted) < 1e-4
        exchanged += not torch.equal(grafted.target, views.target)
    assert exchanged > 5
    mixed = graft_rows(views.sources[0], torch.tensor([1, 0, 3, 2]), 8, False)
    foreign = graft_rows(views.target, torch.tensor([1, 0, 3, 2]), 8, False)
    assert error(dataclasses.replace(views, target=foreign, sources=[mixed])) > 0.1


def test_the_seed_decides_the_graft():
    views = two_lefts(False)
    actual = []
    for _ in range(2):
        set_random_seed(3)
        actual.append(torch.stack([graft(views.target, views)[0] for _ in range(6)]))
    assert torch.equal(*actual)
    assert not torch.equal(actual[0][0], views.target) or not torch.equal(
        actual[0][1], views.target
    )


def test_distillation_pulls_to_the_best_map():
    views = two_lefts(False)
    good, bad = (torch.full((2, 1, 20, 40), value, requires_grad=True) for value in (5.0, 9.0))
    module = EPCDepthLoss(hint_weight=0.0, auto_mask=False)
    maps = [bad, good]
    errors = [module.reprojection_error(values, views) for values in maps]
    loss = module.distillation(maps, errors)
    loss.backward()
    inner = bad.grad[..., 8:-8]
    assert (inner > 0).float().mean() > 0.95  # lower is better here: towards 5
    assert loss.item() > 0


def test_the_project_is_registered():
    for name in (
        'EPCDepth',
        'EPCDepthLoss',
        'FullScaleHead',
        'MonodepthHead',
        'SelfSupervisedEstimator',
    ):
        assert MODELS.get(name) is not None
