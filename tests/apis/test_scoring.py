"""Anybody's predictions on a folder data set that the test renders."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from depth.apis import score_predictions
from depth.apis.scoring import compare_scale, cut_like, is_reduced_frame, suspicions
from depth.datasets.scenes import render_scene
from depth.engine.config import load_config
from depth.evaluation import DepthMetric, PredictionType, depth_metrics
from depth.visualization import save_depth_png
from depth.visualization.output_files import write_image
from tests.shared import REPO, SAMPLES, needs_samples
from tests.shared_process import run_python

FACTORS = (1.1, 1.25, 0.9, 1.05)
PROTOCOL = 'kitti_eigen_garg_80'


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    """A folder data set of four rooms in two sub-folders, its config, and the true depth by name."""
    root = tmp_path_factory.mktemp('data')
    truth = {}
    for index in range(4):
        scene = render_scene('rooms', 0, index, 'test', (48, 64))
        name = f'{"ab"[index % 2]}/{index}'
        write_image(root / f'images/{name}.png', scene['img'])
        write_image(root / f'depth/{name}.png', np.rint(scene['gt_depth'] * 1000).astype(np.uint16))
        truth[name] = (np.rint(scene['gt_depth'] * 1000) / 1000).astype(np.float32)
    steps = [dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='PackDepthInputs')]
    dataset = dict(
        type='FolderDepthDataset', data_root=str(root), depth_scale=1000.0, pipeline=steps
    )
    evaluator = dict(type='DepthMetric', protocol='folder')
    cfg = Config(dict(test_dataloader=dict(dataset=dataset), test_evaluator=evaluator))
    return cfg, truth


def predictions(folder, truth, make=lambda depth: depth, factors=FACTORS):
    for (name, depth), factor in zip(truth.items(), factors, strict=False):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(folder / f'{name}.npy', make(factor * depth))
    return folder


def test_the_numbers_are_those_of_the_maps(scenes, tmp_path):
    cfg, truth = scenes
    score = score_predictions(predictions(tmp_path, truth), cfg)
    singles = [
        depth_metrics(np.float32(f) * gt, gt) for f, gt in zip(FACTORS, truth.values(), strict=True)
    ]
    for name in singles[0]:
        assert score.metrics[name] == pytest.approx(
            np.mean([single[name] for single in singles]), rel=1e-4, abs=1e-4
        )
    assert score.notes == []
    assert score.metric.outcome[0].names[0].endswith('a/0.png')


def test_metrics_are_computed_where_asked_for(scenes, tmp_path, monkeypatch):
    cfg, truth = scenes
    devices = []

    def process(self, batch, samples):
        devices.append(samples[0]['pred_depth'].device.type)

    monkeypatch.setattr(DepthMetric, 'process', process)
    monkeypatch.setattr(DepthMetric, 'evaluate', lambda self, size: {})
    score_predictions(predictions(tmp_path, truth), cfg, device='meta')
    assert devices == ['meta'] * len(truth)


@pytest.mark.parametrize(
    ('device', 'message'),
    [('gpu', r"device is 'cpu', 'cuda' or 'cuda:N', got 'gpu'"), ('cuda:99', 'CUDA devices are')],
)
def test_a_device_that_is_not_there_is_named(scenes, tmp_path, device, message):
    cfg, truth = scenes
    with pytest.raises(ValueError, match=message):
        score_predictions(predictions(tmp_path, truth), cfg, device=device)


def test_another_protocol_keeps_the_further_metrics_of_the_config(scenes, tmp_path):
    cfg, truth = scenes
    cfg = Config(
        dict(
            test_dataloader=cfg.test_dataloader,
            test_evaluator=dict(cfg.test_evaluator, max_depth=3.0),
        )
    )
    cfg.test_evaluator.distance_bins = [0, 2, 8]
    score = score_predictions(predictions(tmp_path, truth), cfg, protocol='scale_depth_lsq_10')
    assert 'abs_rel_0-2m' in score.metrics
    assert score.metric.protocol.name == 'scale_depth_lsq_10'


def test_other_types_need_a_protocol_that_aligns(scenes, tmp_path):
    cfg, truth = scenes
    folder = predictions(tmp_path, truth, lambda depth: 30 / depth - 1)
    with pytest.raises(
        ValueError, match='folder cannot score predictions of type affine_invariant_disparity'
    ):
        score_predictions(folder, cfg, prediction_type='affine_invariant_disparity')
    score = score_predictions(
        folder, cfg, 'midas_disparity_lsq_10', 'affine_invariant_disparity', protocols='all'
    )
    assert score.metrics['abs_rel'] < 1e-4
    assert [result.protocol.name for result in score.metric.outcome] == ['midas_disparity_lsq_10']


def test_missing_ones_are_refused_and_extra_ones_reported(scenes, tmp_path):
    cfg, truth = scenes
    folder = predictions(tmp_path, truth)
    np.save(folder / 'other.npy', np.ones((4, 4), np.float32))
    (folder / 'a/0.npy').unlink()
    with pytest.raises(ValueError, match=r'1 of 4 images have no prediction: .*a/0\.png.*--force'):
        score_predictions(folder, cfg)
    heard = []
    score = score_predictions(folder, cfg, force=True, report=heard.append)
    assert score.metric.num_images == 3
    assert heard == score.notes
    assert 'belong to no image of the data set: other' in heard[0]


def test_names_that_fit_nothing_are_shown(scenes, tmp_path):
    np.save(tmp_path / 'result.npy', np.ones((2, 4, 4)))
    (tmp_path / 'p').mkdir()
    np.save(tmp_path / 'p/x.npy', np.ones((4, 4)))
    with pytest.raises(ValueError, match=r'none of the 4 images.*a prediction x'):
        score_predictions(tmp_path / 'p', scenes[0])


@pytest.mark.parametrize('name', ['10', '100', '256', '1000', '1/10', '1/100', '1/256', '1/1000'])
def test_a_forgotten_scale_is_noticed(scenes, tmp_path, name):
    cfg, truth = scenes
    factor = 1 / float(name[2:]) if name.startswith('1/') else float(name)
    folder = predictions(tmp_path, truth, lambda depth: depth * np.float32(factor))
    with pytest.raises(ValueError, match=f'near {name}: .*--depth-scale'):
        score_predictions(folder, cfg)
    assert score_predictions(folder, cfg, depth_scale=factor).metrics['abs_rel'] < 0.2
    assert (
        score_predictions(folder, cfg, 'scale_depth_lsq', 'scale_invariant').metrics['abs_rel']
        < 0.2
    )


def test_disparity_taken_for_depth_is_noticed(scenes, tmp_path):
    cfg, truth = scenes
    folder = predictions(tmp_path, truth, lambda depth: 5 / depth)
    with pytest.raises(ValueError, match='fall where they should rise'):
        score_predictions(folder, cfg)
    assert score_predictions(folder, cfg, 'scale_depth_lsq', 'disparity').metrics['abs_rel'] < 1e-4


def test_another_size_needs_a_rule_and_shows(scenes, tmp_path):
    cfg, truth = scenes
    folder = predictions(tmp_path, truth, lambda depth: depth[::2, ::2])
    with pytest.raises(ValueError, match=r'is \(24, 32\), the ground truth \(48, 64\).*--resize'):
        score_predictions(folder, cfg)
    score = score_predictions(folder, cfg, resize='bilinear')
    assert score.metric.protocol.name == 'folder (modified: resize=bilinear)'
    assert '4 predictions have another size' in score.notes[0]
    assert score.metrics['abs_rel'] < 0.3


def test_a_full_frame_is_cut_to_the_pipelines_crop():
    pred = torch.arange(375 * 1242).reshape(375, 1242)
    cut = cut_like(pred, (352, 1216), (23, 13, 352, 1216))
    assert torch.equal(cut, pred[23:375, 13:1229])
    assert cut_like(cut, (352, 1216), (23, 13, 352, 1216)) is cut
    assert cut_like(pred[:300], (352, 1216), (23, 13, 352, 1216)).shape == (300, 1242)
    assert cut_like(pred, (375, 1242), None) is pred


def test_a_reduced_frame_is_told_from_a_reduced_crop():
    box = (23, 13, 352, 1216)
    for shape in ((188, 621), (192, 640), (320, 1024)):
        assert is_reduced_frame(shape, (352, 1216), box), shape
    for shape in ((352, 1216), (176, 608), (128, 448)):
        assert not is_reduced_frame(shape, (352, 1216), box), shape
    assert not is_reduced_frame((192, 640), (375, 1242), None)


def test_scale_and_direction_of_a_pair():
    gt = np.array([[0, 2.0, 4.0, 8.0]])
    assert compare_scale(gt * 3, gt, inverse=False) == (3, pytest.approx(1))
    assert compare_scale(1 / np.maximum(gt, 1), gt, inverse=True) == (1, pytest.approx(1))
    assert compare_scale(1 / np.maximum(gt, 1), gt, inverse=False)[1] < -0.9
    assert compare_scale(gt, 0 * gt, inverse=False) is None
    assert compare_scale(gt * np.nan, gt, inverse=False) is None
    assert suspicions([1.4, 3.0, 60.0], [0.9] * 3, PredictionType.METRIC) == []
    assert suspicions([1000.0], [0.9], PredictionType.SCALE_INVARIANT) == []


def test_without_a_protocol_or_ground_truth_there_is_an_answer(scenes, tmp_path):
    cfg, truth = scenes
    predictions(tmp_path, truth)
    with pytest.raises(ValueError, match='say which --protocol'):
        score_predictions(tmp_path, Config(dict(test_dataloader=cfg.test_dataloader)))
    with pytest.raises(ValueError, match='no test_dataloader'):
        score_predictions(tmp_path, Config(dict(test_evaluator=cfg.test_evaluator)))


def test_synthetic_scenes_are_matched_by_name(tmp_path):
    cfg = load_config(REPO / 'configs/_base_/datasets/synthetic_rooms.py')
    cfg.test_dataloader.dataset.update(num_scenes=2, image_size=(48, 64))
    for index in range(2):
        np.save(tmp_path / f'{index:05d}.npy', np.full((48, 64), 3.0))
    assert score_predictions(tmp_path, cfg).metric.num_images == 2


def kitti_like(root, *steps, count=2):
    """Write frames of KITTI's size and return their config with some steps in the test pipeline, and the depth."""
    rng, truth = np.random.RandomState(0), {}
    for index in range(count):
        coarse = (500 + 15000 * rng.rand(6, 20)).astype(np.float32)
        stored = cv2.resize(coarse, (1242, 375)).astype(np.uint16)
        write_image(root / f'images/{index}.png', np.zeros((375, 1242, 3), np.uint8))
        write_image(root / f'depth/{index}.png', stored)
        truth[str(index)] = stored.astype(np.float32) / 256
    pipeline = [
        dict(type='LoadImage'),
        dict(type='LoadDepth'),
        *steps,
        dict(type='PackDepthInputs'),
    ]
    dataset = dict(
        type='FolderDepthDataset',
        data_root=str(root),
        depth_scale=256.0,
        max_depth=80.0,
        pipeline=pipeline,
    )
    return Config(dict(test_dataloader=dict(dataset=dataset))), truth


def test_one_name_means_one_window_of_a_frame(tmp_path):
    """Cropped and whole files of one prediction agree; another window of the frame has no such name."""
    noise = 1 + 0.1 * np.random.RandomState(1).rand(375, 1242).astype(np.float32)
    cfg, truth = kitti_like(tmp_path / 'data', dict(type='KBCrop'))
    maps = {name: depth * noise for name, depth in truth.items()}
    np.savez(tmp_path / 'whole.npz', **maps)
    np.savez(
        tmp_path / 'cropped.npz', **{name: depth[23:375, 13:1229] for name, depth in maps.items()}
    )
    whole, cropped = (
        score_predictions(tmp_path / f'{name}.npz', cfg, PROTOCOL) for name in ('whole', 'cropped')
    )
    assert whole.metrics == cropped.metrics
    for step in (dict(type='RandomCrop', crop_size=(352, 1216)), None):
        cfg, _ = kitti_like(tmp_path / 'data', *([] if step is None else [step]))
        with pytest.raises(
            ValueError, match=r'protocol kitti_eigen_garg_80 scores the KB crop.*--view any'
        ):
            score_predictions(tmp_path / 'whole.npz', cfg, PROTOCOL)
    named = (
        score_predictions(tmp_path / 'whole.npz', cfg, PROTOCOL, view='any')
        .metric.outcome[0]
        .describe()
    )
    assert named['name'] == 'kitti_eigen_garg_80 (modified: view=any)'
    assert named['fingerprint'] != cropped.metric.outcome[0].describe()['fingerprint']


def test_every_reduced_frame_is_noticed_not_only_the_first(tmp_path):
    cfg, truth = kitti_like(tmp_path / 'data', dict(type='KBCrop'))
    np.savez(tmp_path / 'mixed.npz', **{'0': truth['0'], '1': truth['1'][::2, ::2]})
    with pytest.raises(
        ValueError, match=r'prediction 1 of \(188, 621\) has the shape of the whole frame'
    ):
        score_predictions(tmp_path / 'mixed.npz', cfg, 'zoedepth_kitti')


def test_the_configs_resize_rule_stays_unless_another_is_asked_for(scenes, tmp_path):
    cfg, truth = scenes
    cfg = Config(
        dict(
            test_dataloader=cfg.test_dataloader,
            test_evaluator=dict(cfg.test_evaluator, resize='bilinear'),
        )
    )
    folder = predictions(tmp_path, truth, lambda depth: depth[::2, ::2])
    assert (
        score_predictions(folder, cfg).metric.protocol.name == 'folder (modified: resize=bilinear)'
    )


@needs_samples
def test_real_kitti_frames_of_full_size_are_scored_on_the_crop(tmp_path):
    cfg = load_config(REPO / 'configs/_base_/datasets/kitti_eigen.py')
    dataset = cfg.test_dataloader.dataset
    dataset.update(
        data_root=str(SAMPLES / 'kitti'),
        ann_file='split.txt',
        data_prefix=dict(img_path='', depth_path=''),
    )
    rows = np.linspace(60, 5, 375)[:, None].repeat(1242, axis=1)
    for line in (SAMPLES / 'kitti/split.txt').read_text().split('\n'):
        if line:
            stem = line.split()[0].rsplit('/', 1)[-1].split('.')[0]
            height, width = cv2.imread(str(SAMPLES / 'kitti' / line.split()[0])).shape[:2]
            save_depth_png(
                tmp_path / f'{stem}.png', cv2.resize(rows, (width, height)), depth_scale=256
            )
    score = score_predictions(tmp_path, cfg, protocols='all')
    assert 'cut to the crop of the test pipeline' in score.notes[0]
    assert 0 < score.metrics['abs_rel'] < 1
    assert 'kitti_eigen_crop_80/abs_rel' in score.metrics
    assert 'scores full frames' in score.metric.left_out['monodepth2_improved_median']
    stems = [path.stem for path in tmp_path.glob('*.png')]
    np.savez(tmp_path / 'small.npz', **dict.fromkeys(stems, rows[::2, ::2]))
    with pytest.raises(ValueError, match=r'\(188, 621\) has the shape of the whole frame'):
        score_predictions(tmp_path / 'small.npz', cfg, protocol='zoedepth_kitti')


@pytest.mark.slow
def test_the_commands(scenes, tmp_path):
    cfg, truth = scenes
    cfg.dump(str(tmp_path / 'data.py'))
    for model, factors in (('a', FACTORS), ('b', (1.02, 1.01, 0.99, 1.0))):
        folder = predictions(tmp_path / model, truth, factors=factors)
        command = [
            'tools/score.py',
            folder,
            '--dataset-config',
            tmp_path / 'data.py',
            '--out',
            tmp_path / f'{model}.json',
        ]
        process = run_python([sys.executable, *map(str, command)], cwd=REPO)
        assert process.returncode == 0, process.stderr
        assert 'protocol folder v1' in process.stdout
    metrics = json.loads((tmp_path / 'b.json').read_text())
    assert all(isinstance(value, float) for value in metrics.values())
    command = ['tools/analysis_tools/compare_results.py', tmp_path / 'a.json', tmp_path / 'b.json']
    process = run_python(
        [sys.executable, *map(str, command), '--out', str(tmp_path / 'ab.json')],
        cwd=REPO,
    )
    assert process.returncode == 0, process.stderr
    compared = json.loads((tmp_path / 'ab.json').read_text())['metrics']['abs_rel']
    assert compared['second']['mean'] == pytest.approx(metrics['abs_rel'])
    assert compared['p_value'] == pytest.approx(2 / 2**4)
    assert compared['wins'] == 1
