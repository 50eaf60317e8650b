import pickle
from itertools import islice

import pytest

from depth.datasets import ResumableInfiniteSampler, SampleIndex


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
