import json
import signal
import sys
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import torch

from depth.datasets import (
    MixedDepthDataset,
    ResumableInfiniteSampler,
    SampleIndex,
    SyntheticDataset,
)
from depth.engine.config import load_config
from depth.engine.config_check import check_data_paths
from depth.engine.errors import ConfigError
from depth.evaluation import DepthMetric, MixedDepthMetric
from tests.engine.conftest import run, scalars, start
from tests.shared import REPO, TINY_DENSEDEPTH

PACK = [dict(type='PackDepthInputs')]


class Numbers(torch.utils.data.Dataset):
    """A data set that returns the index it was asked for."""

    def __init__(self, name, size):
        self.size = size
        self.metainfo = dict(dataset_name=name, min_depth=1e-3, max_depth=10.0)

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        return dict(inputs=torch.zeros(3, 4, 4), index=int(index), key=getattr(index, 'key', None))


def draw(dataset, count, seed=0, start=0):
    """Return what an endless training sees: (data set, image) of ``count`` samples."""
    sampler = ResumableInfiniteSampler(dataset, batch_size=1, seed=seed, start=start)
    return [dataset.locate(index) for index in islice(iter(sampler), count)]


def test_without_weights_every_image_comes_once_in_a_pass():
    dataset = MixedDepthDataset([Numbers('a', 5), Numbers('b', 8)])
    assert len(dataset) == 13
    everything = {(0, index) for index in range(5)} | {(1, index) for index in range(8)}
    drawn = draw(dataset, 26)
    assert set(drawn[:13]) == set(drawn[13:]) == everything
    assert [dataset.locate(index) for index in (0, 4, 5, 12)] == [(0, 0), (0, 4), (1, 0), (1, 7)]


def test_weights_give_each_set_its_share_and_spread_it_over_its_images():
    dataset = MixedDepthDataset([Numbers('a', 4), Numbers('b', 36)], weights=[3, 1])
    assert dataset.counts == [30, 10]
    drawn = draw(dataset, 40 * 36)
    for first in range(0, len(drawn), 40):
        assert Counter(which for which, _ in drawn[first : first + 40]) == {0: 30, 1: 10}
    times = Counter(drawn)
    assert {times[0, index] for index in range(4)} == {30 * 36 // 4}
    assert {times[1, index] for index in range(36)} == {10}
    # No image of the large set comes again before the others came.
    large = [image for which, image in drawn[: 40 * 3] if which == 1]
    assert len(set(large)) == 30


def test_the_sequence_follows_from_seed_and_position_alone():
    def mixed():
        return MixedDepthDataset([Numbers('a', 4), Numbers('b', 36)], weights=[1, 1])

    whole = draw(mixed(), 300, seed=5)
    assert draw(mixed(), 177, seed=5, start=123) == whole[123:]
    assert draw(mixed(), 300, seed=6) != whole


def test_a_sample_keeps_its_key_and_its_own_augmentation():
    dataset = MixedDepthDataset([Numbers('a', 4), Numbers('b', 6)], weights=[1, 1])
    sample = dataset[SampleIndex(7, (3, 47))]
    assert sample['key'] == (3, 47)
    assert (1, sample['index']) == dataset.locate(SampleIndex(7, (3, 47)))
    assert dataset[2]['key'] is None
    with pytest.raises(IndexError, match='sample 10 of 10'):
        dataset[10]


@pytest.mark.parametrize('weights', [[1], [1, 0], [1, -1], [1, 2, 3]])
def test_weights_that_make_no_sense_are_refused(weights):
    with pytest.raises(ValueError, match='2 positive numbers'):
        MixedDepthDataset([Numbers('a', 4), Numbers('b', 6)], weights=weights)


def test_shares_add_up_however_uneven():
    dataset = MixedDepthDataset(
        [Numbers('a', 2), Numbers('b', 2), Numbers('c', 96)], weights=[1e-6, 1e-6, 1]
    )
    assert dataset.counts == [1, 1, 98]
    with pytest.raises(ValueError, match='datasets is empty'):
        MixedDepthDataset([])


def synthetic(world, size=(32, 48), **kwargs):
    return dict(
        type='SyntheticDataset', world=world, num_scenes=3, image_size=size, pipeline=PACK, **kwargs
    )


def test_samples_carry_their_set_range_and_scene():
    dataset = MixedDepthDataset([synthetic('rooms'), synthetic('streets')])
    metas = [sample['data_samples'].metainfo for sample in dataset]
    assert [meta['dataset'] for meta in metas] == ['synthetic_rooms'] * 3 + [
        'synthetic_streets'
    ] * 3
    assert [meta['max_depth'] for meta in metas] == [10.0] * 3 + [80.0] * 3
    assert {meta['scene'] for meta in metas} == {'room', 'outdoor_scene'}
    assert dataset.metainfo['datasets'] == ['synthetic_rooms', 'synthetic_streets']
    assert (dataset.min_depth, dataset.max_depth) == (1e-3, 80.0)
    rooms = SyntheticDataset('rooms', 3, image_size=(32, 48), pipeline=PACK)
    assert torch.equal(dataset[1]['inputs'], rooms[1]['inputs'])


def test_sizes_that_differ_after_the_pipelines_are_refused_in_training():
    datasets = [synthetic('rooms'), synthetic('streets', size=(32, 64))]
    dataset = MixedDepthDataset(datasets)
    dataset[0]
    with pytest.raises(
        ValueError, match=r'synthetic_streets \(datasets\[1\]\) are 32x64.*synthetic_rooms.* 32x48'
    ):
        dataset[4]
    assert len(list(MixedDepthDataset(datasets, test_mode=True))) == 6


def scored(dataset, factor, seed):
    gt_depth = torch.from_numpy(
        np.random.default_rng(seed).uniform(1, 9, (8, 8)).astype(np.float32)
    )
    return dict(
        dataset=dataset,
        img_path=f'{dataset}/{seed}',
        gt_depth=gt_depth,
        pred_depth=gt_depth * factor,
    )


def test_each_set_is_scored_under_its_own_protocol():
    metric = MixedDepthMetric(dict(synthetic_rooms='rooms_10', synthetic_streets='streets_80'))
    samples = [
        scored('synthetic_rooms', 1.1, 1),
        scored('synthetic_streets', 1.5, 2),
        scored('synthetic_rooms', 1.3, 3),
    ]
    metric.process({}, samples[:2])
    metric.process({}, samples[2:])
    metrics = metric.evaluate(3)
    assert metrics['synthetic_rooms/abs_rel'] == pytest.approx(0.2, abs=1e-6)
    assert metrics['synthetic_streets/abs_rel'] == pytest.approx(0.5, abs=1e-6)
    # Of the sets, not of the three images.
    assert metrics['abs_rel'] == pytest.approx(0.35, abs=1e-6)
    metric.process({}, samples)
    assert metric.evaluate(3) == metrics  # nothing is left over from the first time
    alone = DepthMetric('streets_80')
    alone.process({}, samples[1:2])
    assert alone.evaluate(1)['rmse'] == pytest.approx(metrics['synthetic_streets/rmse'])


def test_the_mixed_metric_writes_a_protocol_a_set(tmp_path):
    metric = MixedDepthMetric(
        dict(synthetic_rooms='rooms_10', synthetic_streets=dict(protocol='streets_80'))
    )
    metric.process({}, [scored('synthetic_rooms', 1.1, 1), scored('synthetic_streets', 1.5, 2)])
    metric.evaluate(2)
    metric.write_protocol(tmp_path / 'protocol.json')
    assert '"rooms_10"' in (tmp_path / 'protocol_synthetic_rooms.json').read_text()
    assert '"streets_80"' in (tmp_path / 'protocol_synthetic_streets.json').read_text()
    metric.write_per_image(tmp_path / 'per_image.json')
    rows = json.loads((tmp_path / 'per_image_synthetic_rooms.json').read_text())['results'][0]
    assert rows['values']['abs_rel'] == pytest.approx([0.1], abs=1e-6)


def test_a_set_without_protocol_or_without_samples_is_named():
    metric = MixedDepthMetric(dict(nyu='nyu_eigen_10', synthetic_rooms='rooms_10'))
    with pytest.raises(ValueError, match="data set 'kitti', but"):
        metric.process({}, [scored('kitti', 1.1, 1)])
    metric.process({}, [scored('synthetic_rooms', 1.1, 1)])
    with pytest.raises(ValueError, match="no sample of data set 'nyu' came"):
        metric.evaluate(1)


def test_paths_of_mixed_sets_are_checked_before_the_start(tmp_path):
    cfg = load_config(str(REPO / 'configs/_base_/datasets/nyu_kitti_mixed.py'))
    datasets = cfg.train_dataloader.dataset.datasets
    datasets[0].data_root = str(tmp_path)
    (tmp_path / 'nyu_train.txt').write_text('')
    datasets[1].data_root = str(tmp_path / 'nowhere')
    with pytest.raises(
        ConfigError, match=r'train_dataloader\.dataset\.datasets\.1\.data_root: .*nowhere'
    ):
        check_data_paths(cfg, ['train_dataloader'])


OPTIONS = [
    'train_cfg.max_iters=9',
    'train_cfg.val_interval=5',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.weights=[2,1]',
    *(f'train_dataloader.dataset.datasets.{index}.num_scenes={3 + index}' for index in (0, 1)),
    *(f'train_dataloader.dataset.datasets.{index}.image_size=(64,64)' for index in (0, 1)),
    *(f'val_dataloader.dataset.datasets.{index}.num_scenes=2' for index in (0, 1)),
    *(f'val_dataloader.dataset.datasets.{index}.image_size=(64,64)' for index in (0, 1)),
    *TINY_DENSEDEPTH,
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.visualization.num_images=1',
]


@pytest.mark.slow
def test_a_killed_mixed_training_continues_bit_for_bit(tmp_path):
    def command(work_dir, *extra):
        config = 'configs/densedepth/densedepth_r18_synthetic_mixed.py'
        return [
            sys.executable,
            'tools/train.py',
            config,
            '--work-dir',
            str(work_dir),
            *extra,
            '--cfg-options',
            *OPTIONS,
        ]

    run(*command(tmp_path / 'whole'))
    process = start(*command(tmp_path / 'cut'))
    process.wait_for('Iter(train) [5/9]')
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(*command(tmp_path / 'cut', '--resume', 'auto'))
    expected, actual = (
        torch.load(tmp_path / name / 'iter_9.pth', weights_only=True)['state_dict']
        for name in ('whole', 'cut')
    )
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert scalars(tmp_path / 'cut') == scalars(tmp_path / 'whole')
