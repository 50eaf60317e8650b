"""A failed process ends the others soon, and its message comes first."""

import os
import signal
import time

import pytest
import torch
import torch.distributed as dist

from depth.engine.failure_watch import EXIT_CODE, GRACE, INTERVAL, SILENCE, FailureWatch
from tests.faults.training import SERVER


def join(rank, folder, port, fails):
    """Run in one of two processes: the first waits in an all-reduce, to which the second never comes."""
    with open(folder / f'{rank}.txt', 'wb') as file:
        os.dup2(file.fileno(), 2)
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/group', rank=rank, world_size=2)
    store = dist.TCPStore('127.0.0.1', port, is_master=False)
    watch = FailureWatch(store, rank, 2, interval=0.1, silence=1.0, grace=0.2).start()
    dist.all_reduce(torch.zeros(1))
    (folder / f'ready{rank}').touch()
    if rank == 0:
        dist.all_reduce(torch.zeros(1))
    if fails:
        watch.report('CUDA out of memory in the second process')
    time.sleep(60)  # as a process that hangs in the end of its group


@pytest.fixture
def store():
    """Return the store that a launcher holds for its processes."""
    return dist.TCPStore('127.0.0.1', 0, is_master=True, wait_for_workers=False)


def start(folder, store, fails):
    processes = []
    for rank in (0, 1):
        processes.append(SERVER.Process(target=join, args=(rank, folder, store.port, fails)))
        processes[-1].start()
    return processes


def end(processes):
    for process in processes:
        process.kill()
        process.join()


def test_an_error_of_one_process_ends_the_other_with_its_message(tmp_path, store):
    processes = start(tmp_path, store, fails=True)
    processes[0].join(40)
    code = processes[0].exitcode
    end(processes)
    assert code == EXIT_CODE
    text = (tmp_path / '0.txt').read_text()
    assert text.startswith(
        'error: process 0 ends because process 1 failed first: CUDA out of memory in the second'
    )


def test_a_process_that_falls_silent_ends_the_other(tmp_path, store):
    processes = start(tmp_path, store, fails=False)
    while not (tmp_path / 'ready1').exists():
        time.sleep(0.05)
    # Stopped: its connections stay open, as those of a machine that is gone.
    os.kill(processes[1].pid, signal.SIGSTOP)
    processes[0].join(40)
    code = processes[0].exitcode
    end(processes)
    assert code == EXIT_CODE
    text = (tmp_path / '0.txt').read_text()
    assert 'process 1 failed first' in text


def test_the_times_end_all_processes_within_thirty_seconds():
    # The one that notices the silence reports it, and the others then wait for their own errors.
    assert SILENCE + GRACE + 3 * INTERVAL < 30


def test_a_complete_run_is_no_failure():
    store = dist.HashStore()
    codes = []
    watches = []
    for number in (0, 1):
        watches.append(
            FailureWatch(store, number, 2, codes.append, interval=0.02, silence=0.2).start()
        )
    time.sleep(0.1)
    watches[1].stop()  # the first may go on for long
    time.sleep(0.5)
    watches[0].stop()
    assert codes == []
