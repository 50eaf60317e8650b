import numpy as np
import pytest
import torch

from depth.evaluation import DepthMetric
from depth.structures import DepthDataSample
from projects.EPCDepth.disparities import disparity_to_metres, draw_disparity, score_disparities
from projects.EPCDepth.nyu_h5 import LoadNYUH5, NYUH5Dataset

GT = torch.tensor([[2.0, 4.0, 0.0, 8.0]]).repeat(3, 1)


def packed(count=2):
    return [dict(data_samples=DepthDataSample(gt_depth=GT.clone())) for _ in range(count)]


def perfect():
    return np.stack([(5.4 / np.where(GT > 0, GT, 1)).astype(np.float32)] * 2)


def test_perfect_disparities_score_perfectly_and_half_ones_do_not():
    assert score_disparities(perfect(), packed(), DepthMetric('folder'))[
        'abs_rel'
    ] == pytest.approx(0, abs=1e-6)
    metrics = score_disparities(perfect() / 2, packed(), DepthMetric('streets_80'))
    assert metrics['abs_rel'] == pytest.approx(1.0, abs=1e-6)
    assert metrics['d1'] == 0


@pytest.mark.parametrize(
    ('disparities', 'message'),
    [
        (perfect()[:1], r'N = 2'),
        (perfect()[0], r'\(N, H, W\)'),
        (perfect() * 0, 'positive'),
    ],
)
def test_files_that_do_not_fit_are_refused(disparities, message):
    with pytest.raises(ValueError, match=message):
        score_disparities(disparities, packed(), DepthMetric('folder'))


def test_resizing_disparity_or_depth_differ():
    disparity = torch.tensor([[1.0, 3.0]])
    middle = [
        disparity_to_metres(disparity, (1, 3), 6.0, way)[0, 1].item()
        for way in ('inverse_depth', 'depth')
    ]
    assert middle == pytest.approx([6 / 2, (6 + 2) / 2])


def test_pictures_span_the_smallest_value_to_the_95th_percentile():
    disparity = np.linspace(1, 2, 200).reshape(10, 20)
    picture = draw_disparity(disparity)
    assert picture.shape == (10, 20, 3)
    assert np.array_equal(picture[-1, -1], picture[-1, -9])  # both beyond the 95th percentile
    assert picture[0, 0].sum() < 20 < picture[-1, -1].sum()


def test_nyu_files_are_cropped_as_published(tmp_path):
    h5py = pytest.importorskip('h5py')
    rgb = np.random.RandomState(0).randint(0, 256, (3, 480, 640), dtype=np.uint8)
    depth = np.random.RandomState(1).rand(480, 640).astype(np.float32) + 1
    with h5py.File(tmp_path / '00001.h5', 'w') as file:
        file['rgb'], file['depth'] = rgb, depth
    sample = NYUH5Dataset(data_root=str(tmp_path), pipeline=[LoadNYUH5()])[0]
    assert sample['img'].shape == (427, 561, 3)
    assert sample['img'][0, 0].tolist() == rgb[::-1, 44, 40].tolist()
    np.testing.assert_array_equal(sample['gt_depth'], depth[44:471, 40:601])
    assert tuple(sample['ori_shape']) == (427, 561)
    with h5py.File(tmp_path / '00001.h5', 'w') as file:
        file['rgb'] = rgb
    with pytest.raises(ValueError, match='expected rgb and depth'):
        NYUH5Dataset(data_root=str(tmp_path), pipeline=[LoadNYUH5()])[0]
    (tmp_path / '00001.h5').unlink()
    with pytest.raises(ValueError, match='holds no h5 file'):
        NYUH5Dataset(data_root=str(tmp_path))
