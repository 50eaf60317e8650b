import json
import sys

import cv2
import numpy as np
import pytest
import torch

from depth.apis import inference_model, init_model
from depth.datasets import KITTIBenchmarkDataset
from depth.datasets.scenes import render_scene
from tests.shared import REPO
from tests.shared_process import run_python

TEST = dict(img_path='benchmark_test', cam_path='benchmark_test_cam')


@pytest.fixture
def benchmark(tmp_path):
    """Three test images without ground truth, one of them with a camera file."""
    root = tmp_path / 'kitti'
    for folder in ('benchmark_test', 'benchmark_test_cam'):
        (root / folder).mkdir(parents=True)
    for index in range(3):
        scene = render_scene('streets', 0, index, 'test', (64, 96))
        cv2.imwrite(str(root / f'benchmark_test/{index:010d}.png'), scene['img'])
    (root / 'benchmark_test_cam/0000000001.txt').write_text('721.5 0 596.5 0 721.5 149.8 0 0 1')
    (root / 'kitti_benchmark_test.txt').write_text(
        ''.join(f'{index:010d}.png\n' for index in range(3))
    )
    return root


def make(root, pipeline):
    return KITTIBenchmarkDataset(
        data_root=str(root),
        ann_file='kitti_benchmark_test.txt',
        data_prefix=TEST,
        pipeline=pipeline,
        test_mode=True,
    )


def test_images_without_ground_truth(benchmark):
    samples = list(make(benchmark, [dict(type='LoadImage'), dict(type='PackDepthInputs')]))
    assert [tuple(sample['inputs'].shape) for sample in samples] == [(3, 64, 96)] * 3
    assert all('gt_depth' not in sample['data_samples'] for sample in samples)
    cameras = [sample['data_samples'].get('intrinsics') for sample in samples]
    assert cameras[0] is None and cameras[2] is None
    assert cameras[1].tolist() == [[721.5, 0, 596.5], [0, 721.5, pytest.approx(149.8)], [0, 0, 1]]


def test_loading_depth_that_is_not_there_is_refused(benchmark):
    dataset = make(benchmark, [dict(type='LoadImage'), dict(type='LoadDepth')])
    with pytest.raises(ValueError, match='leave LoadDepth out of the pipeline'):
        dataset[0]


def test_lines_with_ground_truth_are_those_of_the_raw_set(tmp_path):
    name = '2011_09_26/2011_09_26_drive_0002_sync/image_03/data/0000000005.png'
    depth = '2011_09_26_drive_0002_sync/proj_depth/groundtruth/image_03/0000000005.png'
    for path, array in (
        (f'input/{name}', np.zeros((4, 6, 3), np.uint8)),
        (f'gt_depth/{depth}', np.full((4, 6), 22016)),
    ):
        (tmp_path / path).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / path), array.astype(np.uint16 if array.ndim == 2 else np.uint8))
    (tmp_path / 'val.txt').write_text(f'{name} {depth}\n')
    sample = KITTIBenchmarkDataset(
        data_root=str(tmp_path),
        ann_file='val.txt',
        data_prefix=dict(img_path='input', depth_path='gt_depth'),
        pipeline=[dict(type='LoadImage'), dict(type='LoadDepth')],
    )[0]
    assert sample['gt_depth'] == pytest.approx(86.0)
    assert sample['max_depth'] == 88.0
    assert sample['cam_intrinsic'][0, 0] == pytest.approx(721.5377)


@pytest.mark.slow
def test_the_test_tool_writes_predictions_and_says_that_none_is_scored(benchmark, tmp_path):
    config = REPO / 'configs/densedepth/densedepth_r18_rooms.py'
    model = init_model(str(config))
    torch.save(dict(state_dict=model.state_dict()), tmp_path / 'model.pth')
    command = [
        *(
            sys.executable,
            'tools/test.py',
            str(config),
            str(tmp_path / 'model.pth'),
            '--work-dir',
            str(tmp_path / 'w'),
        ),
        *(
            '--data',
            'configs/_base_/datasets/kitti_benchmark_test.py',
            '--out',
            str(tmp_path / 'out'),
        ),
        *(
            '--cfg-options',
            f'test_dataloader.dataset.data_root={benchmark}',
            'test_dataloader.num_workers=0',
        ),
    ]
    process = run_python(command, cwd=REPO)
    assert process.returncode == 0, process.stderr
    assert (
        '3 predictions, not scored: this list has no ground truth'
        in process.stdout + process.stderr
    )
    written = sorted((tmp_path / 'out').glob('*.png'))
    assert [path.stem[-10:] for path in written] == ['0000000000', '0000000001', '0000000002']
    image = str(benchmark / 'benchmark_test/0000000000.png')
    expected = inference_model(model, image).pred_depth.numpy()
    scale = json.loads(written[0].with_suffix('.json').read_text())['depth_scale']
    assert cv2.imread(str(written[0]), cv2.IMREAD_UNCHANGED) / scale == pytest.approx(
        expected, abs=1 / scale
    )
