import pickle
from itertools import islice

import pytest

from depth.datasets import (
    AlternatingSetSampler,
    MixedDepthDataset,
    ResumableInfiniteSampler,
    SampleIndex,
)


def take(sampler, count):
    return list(islice(iter(sampler), count))


def at_rank(rank, world_size, batch_size, monkeypatch, **kwargs):
    monkeypatch.setattr('depth.datasets.samplers.get_dist_info', lambda: (rank, world_size))
    return ResumableInfiniteSampler(range(10), batch_size=batch_size, **kwargs)


def test_two_processes_see_the_batches_of_one(monkeypatch):
    whole = take(at_rank(0, 1, 6, monkeypatch, seed=3), 36)
    halves = [take(at_rank(rank, 2, 3, monkeypatch, seed=3), 18) for rank in (0, 1)]
    for batch in range(6):
        together = halves[0][3 * batch : 3 * batch + 3] + halves[1][3 * batch : 3 * batch + 3]
        assert together == whole[6 * batch : 6 * batch + 6]
        assert [index.key for index in together] == [
            index.key for index in whole[6 * batch : 6 * batch + 6]
        ]


def test_a_late_start_continues_the_same_sequence(monkeypatch):
    whole = take(at_rank(0, 1, 2, monkeypatch), 40)
    late = take(at_rank(0, 1, 2, monkeypatch, start=24), 16)
    assert late == whole[24:]
    assert [index.generator().rand() for index in late] == [
        index.generator().rand() for index in whole[24:]
    ]


def test_every_pass_is_another_permutation(monkeypatch):
    indices = take(at_rank(0, 1, 5, monkeypatch), 30)
    passes = [indices[start : start + 10] for start in (0, 10, 20)]
    assert all(sorted(order) == list(range(10)) for order in passes)
    assert passes[0] != passes[1] != passes[2]


def test_index_survives_the_way_to_a_worker():
    index = pickle.loads(pickle.dumps(SampleIndex(4, (7, 123456789012))))
    assert index == 4
    assert index.key == (7, 123456789012)
    assert [10, 11, 12, 13, 14][index] == 14


def test_a_start_inside_a_batch_is_refused(monkeypatch):
    with pytest.raises(ValueError, match='multiple of 4'):
        at_rank(0, 1, 4, monkeypatch, start=6)


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match='empty'):
        ResumableInfiniteSampler([], batch_size=1)


def alternating(rank, world_size, batch_size, monkeypatch, **kwargs):
    monkeypatch.setattr('depth.datasets.samplers.get_dist_info', lambda: (rank, world_size))
    mixed = MixedDepthDataset([Numbers(0, 7), Numbers(100, 3)])
    return mixed, AlternatingSetSampler(mixed, batch_size=batch_size, **kwargs)


class Numbers:
    """Data set of consecutive numbers."""

    def __init__(self, first, count):
        self.numbers = range(first, first + count)
        self.metainfo = dict(dataset_name='numbers', min_depth=1.0, max_depth=2.0)

    def __len__(self):
        return len(self.numbers)


def test_batches_come_from_the_sets_in_turn_and_the_shorter_set_is_repeated(monkeypatch):
    mixed, sampler = alternating(0, 1, 2, monkeypatch)
    batches = [take(sampler, 84)[start : start + 2] for start in range(0, 84, 2)]
    long, short = [], []
    for number, batch in enumerate(batches):
        located = [mixed.locate(index) for index in batch]
        assert {which for which, _ in located} == {number % 2}
        (short if number % 2 else long).extend(position for _, position in located)
    assert len(long) == len(short) == 42
    assert all(sorted(long[start : start + 7]) == list(range(7)) for start in range(0, 42, 7))
    assert all(sorted(short[start : start + 3]) == [0, 1, 2] for start in range(0, 42, 3))
    assert long[:7] != long[7:14]
    keys = [index.key for batch in batches for index in batch]
    assert len(set(keys)) == len(keys)  # every sample has augmentations of its own


def test_alternating_processes_see_one_set_and_resume_the_sequence(monkeypatch):
    _, whole = alternating(0, 1, 4, monkeypatch, seed=2)
    whole = take(whole, 40)
    halves = []
    for rank in (0, 1):
        _, sampler = alternating(rank, 2, 2, monkeypatch, seed=2, start=8)
        halves.append(take(sampler, 16))
        assert sampler.batch_of_iteration(3) == halves[rank][2:4]
    for batch in range(8):
        together = halves[0][2 * batch : 2 * batch + 2] + halves[1][2 * batch : 2 * batch + 2]
        assert together == whole[8 + 4 * batch : 12 + 4 * batch]


def test_sets_with_weights_do_not_alternate(monkeypatch):
    mixed = MixedDepthDataset([Numbers(0, 7), Numbers(100, 3)], weights=[1, 1])
    with pytest.raises(ValueError, match='leave weights'):
        AlternatingSetSampler(mixed, batch_size=2)
