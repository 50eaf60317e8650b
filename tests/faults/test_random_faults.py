"""Random faults: a training that is broken at random moments ends as the uninterrupted one, bit for bit."""

import contextlib
import os
import signal
import time

import numpy as np
import pytest
import torch

from .training import finish, log_of, logged, start, weights

FAULTS = ('kill', 'SIGTERM', 'SIGINT', 'full disk', 'cut off', 'rotten')
MOST_FAULTS = 4  # in one run; it is then left alone


@pytest.fixture(scope='module')
def uninterrupted(pristine_bench, tmp_path_factory):
    """Return work dir and seconds of a training that nothing breaks."""
    bench = pristine_bench.copy(tmp_path_factory.mktemp('uninterrupted') / 'bench')
    finish(start(bench, bench.root / 'warm'))
    began = time.monotonic()
    assert finish(start(bench, bench.root / 'whole')) == 0, log_of(bench)
    return bench.root / 'whole', time.monotonic() - began


def break_run(bench, fault, rng, seconds):
    """Run a training into a fault; nothing must be wrong but what the fault explains."""
    if fault == 'full disk':
        limit = int(rng.integers(1000, bench.checkpoint.stat().st_size))
        code = finish(start(bench, bench.out, largest_file=limit))
        assert code in (0, 1), log_of(bench)
        return
    number = dict(SIGTERM=signal.SIGTERM, SIGINT=signal.SIGINT).get(fault, signal.SIGKILL)
    process = start(bench, bench.out)
    time.sleep(float(rng.uniform(0, seconds)))
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)
    code = finish(process)
    # Before the training listens a signal ends the process; multiprocessing gives its number as
    # negative.
    assert code in (0, 1, -number, 128 + number), log_of(bench)
    if fault in ('cut off', 'rotten'):
        damage_newest(bench, fault, rng)


def damage_newest(bench, fault, rng):
    """Damage the newest checkpoint if there is one before it to fall back to."""
    checkpoints = sorted(bench.out.glob('iter_*.pth'), key=lambda path: int(path.stem[5:]))
    if len(checkpoints) < 2:
        return
    content = bytearray(checkpoints[-1].read_bytes())
    offset = int(rng.integers(0, len(content) - 4096))
    if fault == 'cut off':
        content = content[:offset]
    else:
        content[offset : offset + 4096] = rng.bytes(4096)
    checkpoints[-1].write_bytes(content)


def check_random_faults(bench, uninterrupted, seed):
    """Break a training several times, resume it to its end, and compare."""
    whole, seconds = uninterrupted
    rng = np.random.default_rng(seed)
    faults = rng.choice(FAULTS, size=MOST_FAULTS)
    for fault in faults:
        break_run(bench, fault, rng, seconds)
    assert finish(start(bench, bench.out)) == 0, f'{faults}\n{log_of(bench)}'
    expected, actual = weights(whole / 'iter_12.pth'), weights(bench.out / 'iter_12.pth')
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected), faults
    assert logged(bench.out) == logged(whole), faults
    best = next(whole.glob('best_*.pth'))
    assert all(
        torch.equal(value, weights(best)[name])
        for name, value in weights(bench.out / best.name).items()
    )
    assert not list(bench.out.rglob('*.tmp'))
    assert not (bench.out / 'train.lock').exists()


@pytest.mark.parametrize('seed', range(2))
def test_a_broken_training_ends_as_the_uninterrupted_one(bench, uninterrupted, seed):
    check_random_faults(bench, uninterrupted, seed)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize('seed', range(2, 20))
def test_many_broken_trainings_end_as_the_uninterrupted_one(bench, uninterrupted, seed):
    check_random_faults(bench, uninterrupted, seed)
