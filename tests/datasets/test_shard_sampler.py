"""The order of shards: each sample once, the same for any number of processes and workers, resumable."""

import time
import tracemalloc
from itertools import islice

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from depth.data_tools.shard_writer import write_shards
from depth.datasets import (
    AlternatingSetSampler,
    MixedDepthDataset,
    ShardDataset,
    ShardSampler,
    SyntheticDataset,
)
from depth.datasets.shard_sampler import ShardOrder, WeightedOrder

pytest.importorskip('zstandard', reason='shards need zstandard')
COUNTS = (3, 5, 1, 7, 4, 6)
PIPELINE = [dict(type='RandomFlip', prob=0.5), dict(type='PackDepthInputs')]


def expected_epoch(counts, lanes, seed, epoch):
    """Return an epoch's order as the text of ShardOrder says it, with lists."""
    starts = [sum(counts[:number]) for number in range(len(counts))]
    sequence = []
    for shard in np.random.RandomState([seed, epoch]).permutation(len(counts)):
        order = np.random.RandomState([seed, epoch, shard]).permutation(counts[shard])
        sequence += [starts[shard] + int(number) for number in order]
    pieces = [list(piece) for piece in np.array_split(sequence, lanes)]
    interleaved = []
    for row in range(len(pieces[0])):
        interleaved += [int(piece[row]) for piece in pieces if row < len(piece)]
    return interleaved


@pytest.mark.parametrize('lanes', [1, 2, 4, 7, 26])
def test_the_order_is_that_of_shuffled_shards_read_side_by_side(lanes):
    order = ShardOrder(COUNTS, lanes, (3,))
    size = sum(COUNTS)
    actual = order.indices(np.arange(3 * size)).tolist()
    for epoch in range(3):
        expected = expected_epoch(COUNTS, lanes, 3, epoch)
        assert sorted(expected) == list(range(size))
        assert actual[epoch * size : (epoch + 1) * size] == expected
    assert actual[:size] != actual[size : 2 * size]
    assert order.indices(np.array([40, 2, 77])).tolist() == [actual[40], actual[2], actual[77]]


def test_without_shuffling_one_lane_keeps_the_order_of_the_files():
    order = ShardOrder(COUNTS, 1, (0,), shuffle=False)
    assert order.indices(np.arange(30)).tolist() == [*range(26), 0, 1, 2, 3]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Shards of 2 or 3 scenes of a data set of 23."""
    folder = tmp_path_factory.mktemp('shards') / 'rooms'
    write_shards(SyntheticDataset(num_scenes=23, image_size=(24, 32)), folder, shard_size=34000)
    return folder


@pytest.fixture
def dataset(folder):
    dataset = ShardDataset(str(folder), pipeline=PIPELINE)
    assert len(dataset.shards) > 6
    return dataset


def sampler_of(dataset, rank, world_size, batch_size, monkeypatch, **kwargs):
    monkeypatch.setattr('depth.datasets.samplers.get_dist_info', lambda: (rank, world_size))
    return ShardSampler(dataset, batch_size=batch_size, **kwargs)


def together(dataset, world_size, batch_size, count, monkeypatch, **kwargs):
    """Return the first samples that all processes see, in the order of the global batches."""
    slices = []
    for rank in range(world_size):
        sampler = sampler_of(dataset, rank, world_size, batch_size, monkeypatch, **kwargs)
        slices.append(iter(sampler))
    samples = []
    while len(samples) < count:
        for process in slices:
            samples += islice(process, batch_size)
    return [(int(index), index.key) for index in samples[:count]]


def test_one_two_and_four_processes_see_one_order(dataset, monkeypatch):
    whole = together(dataset, 1, 8, 80, monkeypatch, lanes=8, seed=5)
    assert sorted(index for index, _ in whole[:23]) == list(range(23))
    assert [key for _, key in whole] == [(5, position) for position in range(80)]
    for world_size in (2, 4):
        options = dict(lanes=8, seed=5)
        batch_size = 8 // world_size
        assert together(dataset, world_size, batch_size, 80, monkeypatch, **options) == whole
    # Also with another number of images a step.
    assert together(dataset, 4, 3, 80, monkeypatch, lanes=8, seed=5) == whole


def test_a_run_goes_on_in_the_middle_of_a_shard_with_any_number_of_processes(dataset, monkeypatch):
    whole = together(dataset, 1, 4, 90, monkeypatch, lanes=4)
    for start in (4, 17, 30):  # no multiples of the images of a step
        for world_size, batch_size in ((1, 3), (2, 5), (4, 2)):
            options = dict(lanes=4, start=start)
            resumed = together(dataset, world_size, batch_size, 60, monkeypatch, **options)
            assert resumed == whole[start : start + 60]


def batches(dataset, workers, start, count):
    sampler = ShardSampler(dataset, batch_size=2, lanes=4, seed=1, start=start)
    loader = DataLoader(
        dataset, 2, sampler=sampler, num_workers=workers, collate_fn=list, prefetch_factor=None
    )
    return list(islice(iter(loader), count))


@pytest.mark.parametrize('workers', [0, 1, 2])
def test_loader_workers_and_resumption_change_no_bit(dataset, workers):
    expected = batches(dataset, 0, 0, 14)
    for start in (0, 7):  # 7: inside a batch of the first run
        flat = [sample for batch in expected for sample in batch][start:]
        actual = [sample for batch in batches(dataset, workers, start, 10) for sample in batch]
        for ours, theirs in zip(actual, flat, strict=False):
            assert torch.equal(ours['inputs'], theirs['inputs'])
            assert torch.equal(ours['data_samples'].gt_depth, theirs['data_samples'].gt_depth)
            assert ours['data_samples'].metainfo == theirs['data_samples'].metainfo


def mixture(folder):
    names = [shard.name for shard in ShardDataset(str(folder)).shards]
    return MixedDepthDataset(
        [
            ShardDataset(str(folder), pipeline=PIPELINE, select=names[:2]),
            ShardDataset(str(folder), pipeline=PIPELINE, select=names[2:]),
        ]
    )


def test_a_mixture_without_weights_has_every_sample_once_in_an_epoch(folder, monkeypatch):
    mixed = mixture(folder)
    samples = together(mixed, 2, 2, 46, monkeypatch, lanes=4)
    for epoch in (samples[:23], samples[23:]):
        assert sorted(index for index, _ in epoch) == list(range(23))


def test_weights_hold_in_every_step_and_within_a_set_all_samples_come_equally_often(
    folder, monkeypatch
):
    mixed = mixture(folder)
    few = len(mixed.datasets[0])
    samples = together(mixed, 2, 10, 2000, monkeypatch, lanes=20, weights=[3, 1])
    assert samples[:400] == together(mixed, 4, 5, 400, monkeypatch, lanes=20, weights=[3, 1])
    indices = np.array([index for index, _ in samples])
    share = (indices.reshape(-1, 20) < few).mean(axis=1)
    assert np.abs(share - 0.75).max() <= 0.05 + 1e-9
    counts = np.bincount(indices, minlength=23)
    # A set ends an epoch in all lanes within a row, so that counts differ by 2 at most.
    assert np.ptp(counts[:few]) <= 2 and np.ptp(counts[few:]) <= 2
    assert abs(counts[:few].sum() - 1500) < 20
    # Counted by hand: sample n of a set in a lane has position n * lanes + lane in its own order,
    # in which every epoch has each sample once.
    orders = []
    for number, member in enumerate(mixed.datasets):
        orders.append(ShardOrder(member.shard_counts, 20, (0, number)))
    drawn = np.zeros((2, 20), int)
    for position, index in enumerate(indices[:400].tolist()):
        number, lane = int(index >= few), position % 20
        (expected,) = orders[number].indices(np.array([drawn[number, lane] * 20 + lane]))
        assert index == number * few + expected
        drawn[number, lane] += 1


def test_shares_of_many_sets_are_those_of_the_weights():
    orders = [ShardOrder([50], 8, (0, number)) for number in range(3)]
    weighted = WeightedOrder(orders, [0.5, 0.3, 0.2], 8)
    indices = weighted.indices(np.arange(8 * 4096))
    shares = np.bincount(indices // 50, minlength=3) / len(indices)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2], atol=1 / 4096)


def test_what_does_not_fit_is_refused(folder, dataset):
    mixed = mixture(folder)
    with pytest.raises(ValueError, match='weights must be 2 positive numbers'):
        ShardSampler(mixed, 2, weights=[1])
    with pytest.raises(ValueError, match='must be at least 1'):
        ShardSampler(dataset, 2, lanes=0)
    with pytest.raises(TypeError, match='SyntheticDataset; write shards of it'):
        ShardSampler(SyntheticDataset(num_scenes=2), 2)
    weighted = MixedDepthDataset(mixed.datasets, weights=[1, 1])
    with pytest.raises(ValueError, match='give weights to the sampler'):
        ShardSampler(weighted, 2)
    with pytest.raises(ValueError, match='cannot start at sample -1'):
        ShardSampler(dataset, 2, start=-1)
    assert not AlternatingSetSampler.starts_anywhere


def simulate(counts, processes, batch_size, lanes):
    """Return index and shard of an epoch's whole steps, (steps, processes, batch_size) each."""
    order = ShardOrder(counts, lanes, (0,))
    images = processes * batch_size
    steps = order.size // images
    indices = order.indices(np.arange(steps * images))
    shards = np.searchsorted(order.starts, indices, side='right') - 1
    shape = (steps, processes, batch_size)
    return indices.reshape(shape), shards.reshape(shape)


def test_a_thousand_shards_and_512_processes():
    begin = time.process_time()
    counts = np.random.RandomState(0).randint(900, 1101, 1000)
    indices, shards = simulate(counts, processes=512, batch_size=8, lanes=4096)
    # Order: every sample once but for the last, incomplete step, and that of half the processes.
    assert len(np.unique(indices)) == indices.size > counts.sum() - 4096
    half, _ = simulate(counts, processes=256, batch_size=16, lanes=4096)
    assert np.array_equal(half.reshape(-1), indices.reshape(-1))
    # Balance: a process reads two to four shards in the epoch, a machine of eight about its share.
    shards_of_process = [len(np.unique(shards[:, rank])) for rank in range(512)]
    assert 2 <= min(shards_of_process) <= max(shards_of_process) <= 5
    shards_of_machine = [len(np.unique(shards[:, rank : rank + 8])) for rank in range(0, 512, 8)]
    assert sum(shards_of_machine) <= 1000 + 64
    assert max(shards_of_machine) <= 1000 / 64 + 2.5
    # Mixing: the images of a step come from nearly all shards.
    assert min(len(np.unique(step)) for step in shards) > 900
    assert time.process_time() - begin < 10


def test_a_process_of_512_remembers_little():
    counts = np.random.RandomState(0).randint(900, 1101, 1000)
    images = 512 * 8
    tracemalloc.start()
    order = ShardOrder(counts, 4096, (0,))
    for step in range(order.size // images):
        order.indices(np.arange(step * images + 800, step * images + 808))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1e6
