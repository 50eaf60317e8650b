"""Metric3D's canvas against recorded pre- and post-processing of real frames; random resize."""

import numpy as np
import pytest
import torch

from depth.datasets.transforms import FitToCanvas, PackDepthInputs, RandomFlip, RandomScale
from depth.models.estimators import CanonicalDepthEstimator
from depth.models.estimators.canonical_depth_estimator import resize_normals
from depth.registry import MODELS
from tests.parity.recorded import draw_noise, load_arrays, load_case

CASES = load_case('foundation_pre_post')['metric3d']['cases']


def error(actual, name):
    """Return the relative L2 distance to a recorded array, or to its samples and statistics."""
    arrays = load_arrays('foundation_pre_post')
    if name in arrays:
        return np.linalg.norm(actual - arrays[name]) / np.linalg.norm(arrays[name])
    assert actual.shape == tuple(arrays[f'{name}/shape'])
    indices = np.linspace(0, actual.size - 1, 64).astype(int)
    stats = np.array([actual.mean(), actual.std(), actual.min(), actual.max()])
    pairs = [(actual.ravel()[indices], f'{name}/samples'), (stats, f'{name}/stats')]
    return max(
        np.linalg.norm(values - arrays[key]) / np.linalg.norm(arrays[key]) for values, key in pairs
    )


def packed(name):
    """Return a recorded frame behind the test pipeline of Metric3D."""
    case = CASES[name]
    image = load_arrays('foundation_pre_post')[f'input/{name.split("/")[1]}']
    fx, fy, cx, cy = case['intrinsic']
    results = dict(
        img=np.ascontiguousarray(image[..., ::-1]),
        cam_intrinsic=np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]]),
        img_path='frame.png',
    )
    return PackDepthInputs()(FitToCanvas(case['crop_size'])(results))


@MODELS.register_module()
class RecordedStandIn(torch.nn.Module):
    """Head that gives the canonical depth and the normals of the recorded cases."""

    SIZE_DIVISOR = 28
    map_names = ('normals',)

    def __init__(self, size):
        super().__init__()
        from depth.models.layers.canonical_camera import CanonicalCamera

        self.camera = CanonicalCamera()
        self.size = tuple(size)

    def forward(self, feats, data_samples=None):
        depth = 20 * (1 + 0.1 * torch.from_numpy(draw_noise((1, 1, *self.size), 13)))
        normals = torch.from_numpy(draw_noise((4, *self.size), 14))[None, :3]
        return dict(depth=self.camera.to_metric(depth, data_samples, False), normals=normals)

    def further_maps(self, outputs, size):
        return dict(normals=outputs['normals'])


@MODELS.register_module()
class NoBackbone(torch.nn.Module):
    def forward(self, inputs):
        return [inputs]


@pytest.mark.parametrize('name', CASES)
def test_frames_reach_the_network_and_come_back_as_published(name):
    case, data = CASES[name], packed(name)
    model = CanonicalDepthEstimator(
        backbone=dict(type='NoBackbone'),
        decode_head=dict(type='RecordedStandIn', size=case['crop_size']),
    )
    batch = model.data_preprocessor(
        dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    )
    assert error(batch['inputs'][0].numpy(), f'{name}/network_input') < 1e-6
    sample = model(**batch, mode='predict')[0]
    assert sample.metainfo['prediction_type'] == 'metric'
    assert error(sample.pred_depth.numpy(), f'{name}/depth') < 1e-6
    top, left, height, width = sample.metainfo['content_box']
    above, below, before, behind = case['pad_top_bottom_left_right']
    assert (top, left) == (above, before)
    assert (top + height + below, left + width + behind) == tuple(case['crop_size'])
    normals = model.decode_head([None], [sample])['normals']
    cut = normals[..., top : top + height, left : left + width]
    resized = resize_normals(cut, case['depth'])[0]
    assert error(resized.numpy(), f'{name}/normal') < 1e-5
    # The published normals are left as the resize mixed them; ours are of unit length.
    torch.testing.assert_close(sample.pred_normals, torch.nn.functional.normalize(resized, dim=0))


def test_the_camera_follows_the_image_into_the_canvas():
    """A checker pixel and its ray keep their direction."""
    results = dict(img=np.zeros((60, 100, 3), np.uint8), gt_depth=np.ones((60, 100), np.float32))
    results['cam_intrinsic'] = np.array([[90.0, 0, 49.5], [0, 90.0, 29.5], [0, 0, 1]])
    out = FitToCanvas((84, 112))(results)
    assert out['content_box'] == (8, 0, 67, 112)
    assert out['gt_depth'].shape == out['ori_shape'] == (60, 100)
    assert out['img'].shape == (*out['img_shape'], 3) == (84, 112, 3)
    np.testing.assert_allclose(out['cam_intrinsic'][0], [90 * 1.12, 0, 55.5])
    np.testing.assert_allclose(out['cam_intrinsic'][1], [0, 90 * 67 / 60, 33 + 8])
    assert out['input_focal'] == pytest.approx(90 * 1.12)
    assert tuple(out['img'][0, 0]) == (104, 116, 124)


def test_what_moves_the_image_comes_in_front():
    padded = FitToCanvas((84, 112))(dict(img=np.zeros((60, 100, 3), np.uint8)))
    with pytest.raises(ValueError, match='put RandomFlip in front of what pads'):
        RandomFlip(prob=1.0)(padded)


def test_images_without_a_camera_pass_and_fail_in_words_at_the_model():
    data = PackDepthInputs()(FitToCanvas((56, 56))(dict(img=np.zeros((40, 50, 3), np.uint8))))
    model = CanonicalDepthEstimator(
        backbone=dict(type='NoBackbone'), decode_head=dict(type='RecordedStandIn', size=(56, 56))
    )
    batch = model.data_preprocessor(
        dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    )
    model.backbone.forward = None  # the network does not run
    with pytest.raises(ValueError, match='has no intrinsics'):
        model(**batch, mode='predict')


def test_a_random_resize_scales_focal_lengths_and_keeps_metres():
    results = dict(
        img=np.zeros((60, 100, 3), np.uint8),
        gt_depth=np.full((60, 100), 3.0, np.float32),
        cam_intrinsic=np.array([[90.0, 0, 49.5], [0, 90.0, 29.5], [0, 0, 1]]),
        rng=np.random.RandomState(0),
    )
    out = RandomScale(prob=1.0, ratio_range=(1.1, 1.1))(dict(results))
    assert out['img'].shape[:2] == out['gt_depth'].shape == (66, 110)
    assert out['cam_intrinsic'][0, 0] == pytest.approx(99)
    assert (out['gt_depth'] == 3).all()
    same = RandomScale(prob=0.0)(dict(results))
    assert same['img'].shape == (60, 100, 3)
    for ratio_range in ((0, 1), (1.2, 1.1)):
        with pytest.raises(ValueError, match='ratio_range'):
            RandomScale(ratio_range=ratio_range)


def test_sizes_that_are_no_multiple_are_padded_and_cut():
    class Flat(RecordedStandIn):
        def forward(self, feats, data_samples=None):
            assert feats[0].shape[-2:] == (56, 84)
            return dict(depth=feats[0][:, :1])

    model = CanonicalDepthEstimator(
        backbone=dict(type='NoBackbone'), decode_head=dict(type='RecordedStandIn', size=(56, 84))
    )
    model.decode_head = Flat((56, 84))
    images = torch.randn(2, 3, 40, 61)
    assert torch.equal(model(images, mode='tensor'), images[:, :1])
