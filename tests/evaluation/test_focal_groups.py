"""Metrics by focal length, against values worked out by hand."""

import dataclasses
import math

import pytest
import torch

from depth.engine.config import load_config
from depth.evaluation import PROTOCOLS, DepthMetric, get_protocol
from depth.evaluation.focal_groups import check_focal_edges, focal_share, group_names, group_of
from depth.evaluation.metric import metric_directions
from tests.shared import REPO

# Of the protocols that were there before groups of focal lengths.
FINGERPRINTS = dict(
    nyu_eigen_10='bc8b3009083b',
    nyu_filled_10='a45c9d9a253f',
    kitti_eigen_garg_80='8f990c39f372',
    midas_disparity_lsq='584f43122c6a',
    rooms_10='f6ef413f9949',
    streets_80='5c68d683982b',
    folder='c539685171f3',
)


def scored_sample(name, factor, focal, depth=2.0, width=10):
    """Return a sample whose prediction is off by a factor, of a camera with ``focal`` pixels."""
    gt_depth = torch.full((4, width), depth)
    camera = None if focal is None else [[focal, 0, 5], [0, focal, 2], [0, 0, 1]]
    sample = dict(img_path=name, gt_depth=gt_depth, pred_depth=factor * gt_depth, dataset='')
    return sample if camera is None else sample | dict(ori_cam_intrinsic=camera)


def measure(samples, **options):
    metric = DepthMetric(**dict(protocol='folder_focal') | options)
    metric.process({}, samples)
    return metric.evaluate(len(samples)), metric


def test_groups_errors_of_scale_and_spread_are_those_worked_out_by_hand():
    samples = [
        scored_sample('a.png', 1.1, 6.0),  # 0.6 widths: 0.5-0.7
        scored_sample('b.png', 1.3, 6.9),
        scored_sample('c.png', 0.8, 8.5),  # 0.7-1
        scored_sample('d.png', 1.0, 12.0),  # 1-1.4
    ]
    values, metric = measure(samples)
    assert values['abs_rel'] == pytest.approx((0.1 + 0.3 + 0.2) / 4)
    assert values['abs_rel_0.5-0.7w'] == pytest.approx(0.2)
    assert values['abs_rel_0.7-1w'] == pytest.approx(0.2)
    assert values['abs_rel_1-1.4w'] == pytest.approx(0, abs=1e-6)
    assert values['scale_error_0.5-0.7w'] == pytest.approx(math.sqrt(1.1 * 1.3) - 1)
    assert values['scale_error_0.7-1w'] == pytest.approx(-0.2)
    assert values['d1_0.5-0.7w'] == pytest.approx(0.5)
    assert values['rmse_0.7-1w'] == pytest.approx(0.4)
    assert values['focal_spread'] == pytest.approx(0.2 / (0.4 / 3))
    assert values['scale_spread'] == pytest.approx(math.sqrt(1.1 * 1.3) / 0.8 - 1)
    assert 'abs_rel_1.4-2w' not in values  # no image there
    result = metric.outcome[0]
    assert result.counts['abs_rel_0.5-0.7w'] == 2
    assert result.values['abs_rel_0.7-1w'] == [None, None, pytest.approx(0.2), None]
    assert result.describe()['focal_edges'] == [0.5, 0.7, 1.0, 1.4, 2.0]


def test_one_focal_length_has_no_spread():
    values, _ = measure([scored_sample('a.png', 1.1, 6.0), scored_sample('b.png', 1.2, 6.0)])
    assert values['abs_rel_0.5-0.7w'] == pytest.approx(0.15)
    assert 'focal_spread' not in values and 'scale_spread' not in values


def test_images_without_ground_truth_that_counts_are_in_no_group():
    samples = [scored_sample('a.png', 1.1, 6.0), scored_sample('b.png', 1.2, 8.5, depth=20.0)]
    values, metric = measure(samples)
    assert metric.outcome[0].skipped == ['b.png']
    assert 'abs_rel_0.7-1w' not in values


@pytest.mark.parametrize('focal', [None, 0.0, float('nan')])
def test_an_image_without_a_camera_is_an_error(focal):
    with pytest.raises(ValueError, match=r'b\.png has no intrinsics.*folder_focal'):
        measure([scored_sample('a.png', 1.1, 6.0), scored_sample('b.png', 1.2, focal)])


def test_any_protocol_takes_groups_and_says_so():
    values, metric = measure(
        [scored_sample('a.png', 1.1, 6.0), scored_sample('b.png', 1.2, 9.0)],
        protocol='folder',
        focal_edges=[0.8],
        protocols=['rooms_focal_10', 'rooms_10'],
    )
    assert values['abs_rel_0-0.8w'] == pytest.approx(0.1)
    assert values['abs_rel_0.8-infw'] == pytest.approx(0.2)
    assert values['rooms_focal_10/abs_rel_0.7-1w'] == pytest.approx(0.2)
    assert 'rooms_10/focal_spread' not in values
    assert metric.protocol.name == 'folder (modified: focal_edges=(0.8,))'
    fingerprint = metric.protocol.describe()['fingerprint']
    assert fingerprint != get_protocol('folder').describe()['fingerprint']


def test_fingerprints_of_earlier_protocols_stay():
    for name, fingerprint in FINGERPRINTS.items():
        assert get_protocol(name).describe()['fingerprint'] == fingerprint


@pytest.mark.parametrize(
    ('name', 'plain'),
    [
        ('rooms_focal_10', 'rooms_10'),
        ('streets_focal_80', 'streets_80'),
        ('folder_focal', 'folder'),
    ],
)
def test_the_family_scores_pixels_as_the_protocols_without_groups(name, plain):
    changes = dict(
        name=plain, focal_edges=(), half_view=(), description=PROTOCOLS[plain].description
    )
    assert dataclasses.replace(PROTOCOLS[name], **changes) == PROTOCOLS[plain]


def test_all_cameras_are_scored_on_the_same_rays():
    protocol = dataclasses.replace(get_protocol('folder'), half_view=(0.4, 0.2))
    gt_depth = torch.ones(2, 11, 21)
    cameras = []
    for focal in (10.0, 20.0):
        cameras.append(dict(ori_cam_intrinsic=[[focal, 0, 10], [0, focal, 5], [0, 0, 1]]))
    limited = protocol.limit_view(gt_depth, cameras)
    # |column - 10| <= 0.4 focal, |row - 5| <= 0.2 focal
    assert limited[0].sum() == (2 * 4 + 1) * (2 * 2 + 1)
    assert limited[1].sum() == (2 * 8 + 1) * (2 * 4 + 1)
    assert limited[0, 5, 6:15].all() and not limited[0, 5, 5] and not limited[0, 2, 10]
    assert torch.equal(get_protocol('folder').limit_view(gt_depth, cameras), gt_depth)
    fingerprint = protocol.describe()['fingerprint']
    assert fingerprint != get_protocol('folder').describe()['fingerprint']
    with pytest.raises(ValueError, match='half_view'):
        dataclasses.replace(protocol, half_view=(0.4,))


def test_an_edge_begins_a_group_and_edges_have_to_grow():
    assert group_names((0.5, 1)) == ['0-0.5w', '0.5-1w', '1-infw']
    assert [group_of(share, (0.5, 1)) for share in (0.49, 0.5, 1.0)] == group_names((0.5, 1))
    assert focal_share(scored_sample('a.png', 1, 6.0)) == pytest.approx(0.6)
    for edges in ((), (0.0, 1.0), (1.0, 1.0), (1.0, math.inf)):
        with pytest.raises(ValueError, match='focal_edges'):
            check_focal_edges(edges)


def test_checkpoints_can_be_chosen_by_the_spread():
    assert metric_directions(protocol='rooms_focal_10')['focal_spread'] is False
    assert 'focal_spread' not in metric_directions(protocol='rooms_10')
    directions = metric_directions(protocols=['streets_focal_80'])
    assert directions['streets_focal_80/d1_0.5-0.7w'] is True
    cfg = load_config(
        REPO / 'configs/synthetic/densedepth_tiny_rooms_one_focal.py',
        {'default_hooks.checkpoint.save_best': 'focal_spread'},
    )
    assert cfg.val_evaluator.protocol == 'rooms_focal_10'
