import cv2
import numpy as np
import pytest
import torch

from depth.datasets.transforms import RandomFlip, Resize
from depth.datasets.velodyne import project_velodyne, resize_nearest, velodyne_to_image
from depth.evaluation import batched_depth_metrics
from depth.evaluation.crops import garg_crop
from depth.models.estimators import blend_mirrored
from depth.models.layers import resize_map, synthesize_view
from depth.models.losses import photometric_error
from projects.EPCDepth.data_grafting import graft_rows
from projects.EPCDepth.depth_hints import (
    BLOCK_SIZES,
    NUM_DISPARITIES,
    disparities_to_depths,
    fuse,
    match_all,
)

from .reference import UNIT, recorded, values

METRICS = ('abs_rel', 'sq_rel', 'rmse', 'rmse_log', 'd1', 'd2', 'd3')
FOCAL_SHARE, BASELINE = 0.58, 0.1  # the published camera and unit


@pytest.mark.parametrize(
    ('case', 'ratio', 'swap'),
    [
        ('ratio0', 0, False),
        ('ratio0.4', 0.4, False),
        ('ratio0.4_swap', 0.4, True),
        ('ratio0.8_swap', 0.8, True),
    ],
)
def test_grafted_rows(case, ratio, swap):
    side = values()['graft/in/side']
    partners = torch.arange(len(side))
    for number, name in ((2, 'left'), (3, 'right')):
        members = np.flatnonzero(side == number)
        partners[members] = torch.from_numpy(members[values()[f'graft/perm_{name}']])
    for key in ('curr', 'curr_color_aug', 'other_side', 'depth_hint'):
        actual = graft_rows(recorded(f'graft/in/{key}'), partners, int(ratio * 20), swap)
        assert torch.equal(actual, recorded(f'graft/{case}/{key}'))


def test_post_processing():
    actual = blend_mirrored(recorded('post/l_disp').double(), recorded('post/r_disp').double())
    torch.testing.assert_close(actual, recorded('post/out'), rtol=0, atol=1e-6)


def scored(pred, gt, mask, low, high):
    metrics = batched_depth_metrics(pred.clamp(low, high), gt, mask)
    return torch.stack([metrics[name] for name in METRICS], dim=1).numpy()


def test_evaluation_with_the_stereo_scale_and_with_medians():
    gt = recorded('eval/gt')
    inverse = resize_map(recorded('eval/disp')[:, None], gt.shape[-2:])[:, 0]
    np.testing.assert_allclose(inverse[0].numpy(), values()['eval/resized_disp_0'], rtol=1e-5)
    assert garg_crop(*gt.shape[-2:]) == tuple(values()['eval/crop'])
    assert garg_crop(375, 1242) == (153, 371, 44, 1197)
    inside = torch.zeros_like(gt, dtype=torch.bool)
    top, bottom, left, right = garg_crop(*gt.shape[-2:])
    inside[:, top:bottom, left:right] = True
    mask = inside & (gt > 1e-3) & (gt < 80)
    metric = scored(UNIT / inverse, gt, mask, 1e-3, 80)
    np.testing.assert_allclose(metric, values()['eval/stereo_per_image'], rtol=1e-5)
    np.testing.assert_allclose(metric.mean(axis=0), values()['eval/stereo'], rtol=1e-5)
    factors = torch.tensor(
        [np.median(g[m]) / np.median(1 / p[m]) for g, p, m in zip(gt, inverse, mask, strict=True)]
    )
    median = scored(factors[:, None, None] / inverse, gt, mask, 1e-3, 80)
    np.testing.assert_allclose(median.mean(axis=0), values()['eval/median'], rtol=1e-5)
    whole = scored(UNIT / inverse, gt, gt > 0, 1e-3, 80)
    np.testing.assert_allclose(whole.mean(axis=0), values()['eval/stereo_nocrop'], rtol=1e-5)


def test_nyu_evaluation_resizes_depth():
    gt = recorded('nyu/gt')
    depth = resize_map(1 / recorded('nyu/disp')[None, None], gt.shape)[0, 0]
    mask = gt > 0
    depth = depth * float(np.median(gt[mask]) / np.median(depth[mask]))
    np.testing.assert_allclose(
        scored(depth[None], gt[None], mask[None], 0.1, 10)[0], values()['nyu/errors'], rtol=1e-5
    )


@pytest.fixture
def calib_dir(tmp_path):
    """Write the recorded calibration as KITTI does; returns a function of the image's size."""

    def write(width, height):
        def line(name, numbers):
            return f'{name}: ' + ' '.join(f'{number:.12e}' for number in np.ravel(numbers)) + '\n'

        cameras = ''.join(
            line(name, values()[f'velo/{name}']) for name in ('P_rect_02', 'P_rect_03', 'R_rect_00')
        )
        cameras = (
            'calib_time: 09-Jan-2012 13:57:47\n' + cameras + line('S_rect_02', [width, height])
        )
        (tmp_path / 'calib_cam_to_cam.txt').write_text(cameras)
        rigid = line('R', values()['velo/R_velo_to_cam']) + line(
            'T', values()['velo/T_velo_to_cam']
        )
        (tmp_path / 'calib_velo_to_cam.txt').write_text(rigid)
        return tmp_path

    return write


@pytest.mark.parametrize(
    'name',
    [
        '1224x370/cam2_forward',
        '1224x370/cam2_forward_resized',
        '1242x375/cam2_forward',
        '1242x375/cam2_forward_resized',
        '1242x375/cam2_z',
        '1242x375/cam3_forward',
        '1242x375/cam3_z',
        '1241x376/cam2_forward',
        '1241x376/cam2_forward_resized',
    ],
)
def test_laser_points_become_ground_truth(name, calib_dir):
    size, _, kind = name.partition('/')
    projection, shape = velodyne_to_image(calib_dir(*map(int, size.split('x'))), int(kind[3]))
    depth = project_velodyne(
        values()['velo/points'], projection, shape, 'camera' if '_z' in kind else 'forward'
    )
    if kind.endswith('resized'):
        depth = resize_nearest(depth, (375, 1242))
    expected = values()[f'velo/{name}']
    if '_z' in kind:  # the published code shifts this one too; here it lies where K says
        assert len(expected) == np.count_nonzero(depth[1:, 1:])
        depth = depth[1:, 1:]
    rows, columns = np.nonzero(depth)
    np.testing.assert_array_equal(np.stack([rows, columns], axis=1), expected[:, :2])
    np.testing.assert_allclose(depth[rows, columns], expected[:, 2], rtol=1e-5)


@pytest.mark.parametrize('mirrored', [False, True])
def test_training_resizes(mirrored):
    results = dict(
        img=values()['transform/image'].copy(), depth_hint=values()['transform/hint'][0].copy()
    )
    resize = Resize(scale=(48, 24), resize_depth=False, interpolation='lanczos')
    results = resize(RandomFlip(prob=float(mirrored))(results))
    suffix = '_flip' if mirrored else ''
    actual = results['img'].transpose(2, 0, 1) / 255
    np.testing.assert_allclose(actual, values()[f'transform/out{suffix}'], atol=1e-6)
    np.testing.assert_array_equal(results['depth_hint'], values()[f'transform/hint_out{suffix}'][0])


def camera(height, width):
    return torch.tensor(
        [[FOCAL_SHARE * width, 0, width / 2], [0, 1.92 * height, height / 2], [0, 0, 1]]
    )


def shift(side):
    transform = torch.eye(4)
    transform[0, 3] = -BASELINE if side == 'left' else BASELINE
    return transform


def test_fusion_keeps_the_best_candidate():
    base, lookup, candidates = (
        recorded(f'fusion/{name}') for name in ('base', 'lookup', 'candidates')
    )
    geometry = camera(*base.shape[1:]), shift('left')
    actual, expected = fuse(base, lookup, candidates, *geometry), recorded('fusion/best_depth')[0]
    assert (actual == expected).float().mean() > 0.99
    # The rest are ties: all candidates look past the border, where rounding decides.
    errors = [
        photometric_error(
            synthesize_view(lookup[None], depth[None, None], *(m[None] for m in geometry)),
            base[None],
        )
        for depth in candidates
    ]
    errors = torch.cat(errors, dim=1)[0]
    chosen = errors.gather(0, recorded('fusion/best_index').long())[0]
    assert (chosen - errors.amin(dim=0)).max() < 1e-5


@pytest.mark.parametrize('side', ['left', 'right'])
def test_matching_and_fused_hints(side):
    target, other = values()['sgbm/left'], values()['sgbm/right']
    if side == 'right':
        target, other = other, target
    height, width = target.shape[:2]
    depths = disparities_to_depths(match_all(target, other, side), FOCAL_SHARE * width, BASELINE)
    recorded_depths = (
        values()[f'sgbm/depths_{side}_samples'].reshape(3, 4, -1)[[0, 2]].reshape(8, -1)
    )
    indices = np.linspace(0, height * width - 1, 256).astype(int)
    agree = np.isclose(depths.reshape(len(depths), -1)[:, indices], recorded_depths, rtol=1e-4)
    assert agree.mean() > 0.99  # matching may differ between OpenCV's versions
    images = (
        torch.from_numpy(view.transpose(2, 0, 1).copy()).float() / 255 for view in (target, other)
    )
    fused = fuse(*images, torch.from_numpy(depths), camera(height, width), shift(side))
    assert np.isclose(fused.numpy(), values()[f'sgbm/fused_{side}'][0], rtol=1e-4).mean() > 0.99


def test_block_sizes_two_and_three_match_alike():
    target, other = values()['sgbm/left'], values()['sgbm/right']
    for num_disparities in NUM_DISPARITIES:
        settings = dict(
            minDisparity=0,
            numDisparities=num_disparities,
            P1=36,
            P2=288,
            preFilterCap=63,
            uniquenessRatio=10,
        )
        two, three = (
            cv2.StereoSGBM_create(blockSize=size, **settings).compute(target, other)
            for size in (2, 3)
        )
        np.testing.assert_array_equal(two, three)
    assert BLOCK_SIZES == (1, 3)
