import numpy as np
import pytest

from depth.datasets import StereoFolderDataset, SyntheticDataset
from depth.datasets.transforms import LoadPair, LoadStereoDepth, PairFromScene
from projects.EPCDepth.depth_hints import (
    ComputeDepthHint,
    compute_hint,
    hint_steps,
    match_all,
    write_hint,
)
from tests.shared import SAMPLES, needs_samples


def quality(hint, gt_depth):
    """Return the median relative error where both are known, and the share of pixels with a hint."""
    both = (hint > 0) & (gt_depth > 0)
    return np.median(np.abs(hint - gt_depth)[both] / gt_depth[both]), (hint > 0).mean()


@pytest.mark.parametrize('side', ['left', 'right'])
def test_hints_of_synthetic_streets_are_near_the_truth(side):
    pipeline = [PairFromScene(right_prob=float(side == 'right')), ComputeDepthHint()]
    dataset = SyntheticDataset('streets', 1, image_size=(96, 320), stereo=True, pipeline=pipeline)
    results = dataset[0]
    assert results['side'] == side
    hint, gt_depth = results['depth_hint'], results['gt_depth']
    both = (hint > 0) & (gt_depth > 0)
    pixels = results['cam_intrinsic'][0, 0] * 0.54 * np.abs(1 / hint[both] - 1 / gt_depth[both])
    assert np.median(pixels) < 0.5
    assert quality(hint, gt_depth)[1] > 0.4


def test_narrow_images_have_fewer_matchers():
    image = np.random.RandomState(0).randint(0, 256, (8, 110, 3), dtype=np.uint8)
    assert match_all(image, image, 'left').shape == (4, 8, 110)
    with pytest.raises(ValueError, match='60 columns is too narrow'):
        match_all(image[:, :60], image[:, :60], 'left')


@needs_samples
@pytest.mark.slow
@pytest.mark.parametrize(('index', 'worst_error'), [(0, 0.05), (1, 0.02)])
def test_hints_of_real_pairs_are_near_the_truth(index, worst_error):
    dataset = StereoFolderDataset(str(SAMPLES / 'stereo'), pipeline=[LoadPair(), LoadStereoDepth()])
    results = dataset[index]
    error, coverage = quality(compute_hint(results), results['gt_depth'])
    assert error < worst_error
    assert coverage > 0.6


def test_written_hints_are_published_files(tmp_path):
    dataset = SyntheticDataset(
        'streets', 1, image_size=(32, 200), stereo=True, pipeline=[PairFromScene()]
    )
    scene = dataset[0]
    path = tmp_path / 'hints' / 'image_02' / '0000000042.npy'
    pair = {
        key: scene[key]
        for key in ('img', 'other_img', 'cam_intrinsic', 'other_cam_intrinsic', 'baseline', 'side')
    }
    sample = dict(pair, img_path='a', other_img_path='b', depth_hint_path=str(path))
    steps, unit = hint_steps([dict(type='LoadPair'), dict(type='LoadDepthHint', unit=5.4)], 200, 32)
    write_hint(sample, steps, unit)
    written = np.load(path)
    assert (written.shape, written.dtype) == ((1, 32, 200), np.float32)
    np.testing.assert_allclose(written[0] * 5.4, compute_hint(scene), rtol=1e-5)
    assert [item.name for item in path.parent.iterdir()] == [path.name]


def test_a_pipeline_that_reads_no_hints_is_answered():
    with pytest.raises(ValueError, match='no LoadDepthHint'):
        hint_steps([dict(type='LoadPair')], 1024, 320)
    steps, unit = hint_steps(
        [dict(type='LoadDepthHint', unit=1.0), dict(type='NominalIntrinsics', fx=0.6)], 64, 32
    )
    assert unit == 1.0
    assert steps[-1] == dict(type='NominalIntrinsics', fx=0.6)
