"""Calibration of the depth scale: planted factors, held-out errors, and the way through a checkpoint."""

import json

import numpy as np
import pytest
import torch

from depth.apis import init_model
from depth.apis.calibrate import calibrate
from depth.calibration import DepthCalibration, apply_fit, fit_calibration
from depth.cli import calibrate as command
from depth.engine.checkpoint import load_checkpoint_file, save_atomically
from depth.engine.config import load_config
from depth.engine.stored_config import config_to_data
from tests.shared import REPO

CONFIG = REPO / 'configs/synthetic/dpt_tiny_rooms.py'


def images(count=20, pixels=500, noise=0.1, seed=0):
    """Return prediction and ground truth (K, P) that differ by independent noise."""
    rng = np.random.default_rng(seed)
    pred = rng.uniform(1, 9, (count, pixels))
    gt_depth = pred * np.exp(noise * rng.standard_normal((count, pixels)))
    gt_depth[:, :50] = 0
    return torch.from_numpy(pred), torch.from_numpy(gt_depth)


@pytest.mark.parametrize('factor', [1.7, 0.4])
def test_a_planted_factor_is_recovered_to_one_per_cent_from_20_images(factor):
    pred, gt_depth = images()
    calibration, errors = fit_calibration(pred / factor, gt_depth)
    assert calibration.kind == 'scale'
    assert calibration.slope == pytest.approx(factor, rel=0.01)
    low, high = calibration.slope_interval
    assert low < calibration.slope < high < 1.05 * low
    assert errors['none'] == pytest.approx(calibration.abs_rel_before)
    assert errors['scale'] < 0.1 < 0.25 < errors['none']


def test_a_planted_curve_is_recovered_and_preferred_to_a_factor():
    pred, gt_depth = images(noise=0.02)
    bent = torch.exp((pred.log() - 0.3) / 1.4)
    calibration, errors = fit_calibration(bent, gt_depth)
    assert calibration.kind == 'log_scale_shift'
    assert calibration.slope == pytest.approx(1.4, rel=0.02)
    assert calibration.offset == pytest.approx(0.3, abs=0.03)
    assert errors['log_scale_shift'] < 0.2 * errors['scale']

    offset_in_inverse_depth = 1 / ((1 / pred - 0.05) / 0.8)
    calibration, _ = fit_calibration(offset_in_inverse_depth.abs(), gt_depth, 'inverse_scale_shift')
    assert calibration.slope == pytest.approx(0.8, rel=0.05)


def test_held_out_errors_are_those_of_fits_without_the_image():
    pred, gt_depth = images(count=5)
    _, errors = fit_calibration(pred / 1.3, gt_depth, 'log_scale_shift')
    expected = []
    for index in range(5):
        fitted = [image for image in range(5) if image != index]
        x = (pred[fitted] / 1.3).log()[:, 50:].flatten()
        y = gt_depth[fitted].log()[:, 50:].flatten()
        slope, offset = np.polyfit(x, y, 1)
        mapped = np.exp(slope * (pred[index, 50:] / 1.3).log().numpy() + offset)
        expected.append((np.abs(mapped / gt_depth[index, 50:].numpy() - 1)).mean())
    assert errors['log_scale_shift'] == pytest.approx(float(np.mean(expected)), rel=1e-9)


def test_no_depth_stays_no_depth_and_far_points_stay_finite():
    depth = torch.tensor([0.0, 2.0, 1000.0])
    for kind in ('scale', 'log_scale_shift', 'inverse_scale_shift'):
        mapped = apply_fit(kind, depth, 1.5, -0.01)
        assert mapped[0] == 0
        assert mapped.isfinite().all() and (mapped[1:] > 0).all()


def test_too_few_images_and_senseless_fits_are_refused():
    pred, gt_depth = images(count=3)
    with pytest.raises(ValueError, match='needs 4 labelled images, got 3'):
        fit_calibration(pred, gt_depth, 'log_scale_shift')
    with pytest.raises(ValueError, match='needs 2 labelled images, got 1'):
        fit_calibration(pred[:1], gt_depth[:1])
    pred, gt_depth = images(count=6)
    with pytest.raises(ValueError, match='do not grow together'):
        fit_calibration(10 / pred, gt_depth, 'log_scale_shift')
    with pytest.raises(ValueError, match='no calibration helps'):
        fit_calibration(pred, pred * torch.tensor([2, 0.5, 2, 0.5, 2, 0.5])[:, None])
    gt_depth[2] = 0
    with pytest.raises(ValueError, match='image c has no pixel with ground truth'):
        fit_calibration(pred, gt_depth, images='abcdef')
    with pytest.raises(ValueError, match=r'model\.pth: the calibration in its metadata is damaged'):
        DepthCalibration.from_plain(dict(kind='scale', slope=-1), 'model.pth')


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    """Return a checkpoint of a tiny model that predicts 0.3 m nearly everywhere, with small data sets."""
    options = {
        'val_dataloader.dataset.num_scenes': 4,
        'val_dataloader.num_workers': 0,
        'test_dataloader.dataset.num_scenes': 3,
        'test_dataloader.num_workers': 0,
    }
    cfg = load_config(CONFIG, options)
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp('calibration') / 'model.pth'
    model = init_model(cfg)
    model.decode_head.conv_depth.head[-1].weight.data.mul_(0.01)
    model.decode_head.init_depth_bias(0.3)  # a tenth of the depth of the rooms
    save_atomically(dict(state_dict=model.state_dict(), meta=dict(cfg=config_to_data(cfg))), path)
    return path


def test_a_calibrated_checkpoint_is_applied_by_inference_and_named_by_tests(
    checkpoint, tmp_path, capsys
):
    from depth.apis import DepthInferencer, test

    out = tmp_path / 'calibrated.pth'
    # On the images of the test, so that its numbers must improve.
    options = ['--split', 'test', '--num-images', '3', '--kind', 'scale']
    assert command.main([str(checkpoint), '--out', str(out), *options]) == 0
    assert '<- chosen' in capsys.readouterr().out
    stored = load_checkpoint_file(out)['meta']['calibration']
    assert len(stored['images']) == stored['num_images'] == 3
    assert stored['abs_rel_after'] < stored['abs_rel_before']

    image = np.random.default_rng(0).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    plain = DepthInferencer(None, checkpoint)(image)
    calibrated = DepthInferencer(None, out)(image)
    expected = plain['predictions'][0].pred_depth * stored['slope']
    torch.testing.assert_close(calibrated['predictions'][0].pred_depth, expected)
    assert any('calibrated on 3 images' in note for note in calibrated['notes'])

    cfg = init_model(None, out).cfg
    metrics = test(cfg, out, work_dir=tmp_path / 'test')
    uncalibrated = test(cfg, checkpoint, work_dir=tmp_path / 'plain')
    assert metrics['abs_rel'] < uncalibrated['abs_rel']
    described = [path.read_text() for path in (tmp_path / 'test').rglob('*.json')]
    assert any('calibrated on 3 images' in text for text in described)
    assert not any(
        'calibrated' in path.read_text() for path in (tmp_path / 'plain').rglob('*.json')
    )


def test_a_calibration_is_fitted_to_the_network_not_to_an_earlier_one(checkpoint, tmp_path):
    first = calibrate(checkpoint, tmp_path / 'first.pth', num_images=4, kind='scale')
    second = calibrate(tmp_path / 'first.pth', tmp_path / 'second.pth', num_images=4, kind='scale')
    assert second.calibration == first.calibration


def test_missing_sets_are_refused(checkpoint, tmp_path):
    from depth.engine.errors import ConfigError

    with pytest.raises(ConfigError, match='no train_dataloader'):
        calibrate(
            checkpoint, tmp_path / 'out.pth', dict_config(train_dataloader=None), split='train'
        )
    assert not (tmp_path / 'out.pth').exists()


def dict_config(**changes):
    cfg = load_config(CONFIG)
    for key, value in changes.items():
        cfg[key] = value
    return cfg


def test_results_carry_the_calibration_as_json():
    pred, gt_depth = images(count=4)
    calibration, _ = fit_calibration(pred / 1.5, gt_depth, images=list('abcd'))
    restored = DepthCalibration.from_plain(json.loads(json.dumps(calibration.to_plain())), 'x')
    assert restored == calibration
