"""Signals to a training: it saves, leaves with the code that the signal asks for, and can be continued exactly."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from tests.shared import REPO
from tests.shared_process import start_processes

from .training import finish, log_of, logged, start, weights

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
EMA = "custom_hooks = [dict(type='EMAHook', momentum=0.1), dict(type='TerminationHook')]\n"


def with_average(bench):
    """Let the bench's config average its weights, and return the bench."""
    bench.config.write_text(bench.config.read_text() + EMA)
    return bench


def same_end(first, second):
    """Assert that two work dirs ended with the same weights and logged the same numbers."""
    assert logged(first) == logged(second)
    expected, actual = weights(first / 'iter_12.pth'), weights(second / 'iter_12.pth')
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


@pytest.mark.parametrize('signum', CODES)
def test_a_signal_in_training_saves_and_says_so(bench, signum):
    assert finish(start(bench, bench.out, signals=[('train', 5, signum, False)])) == CODES[signum]
    assert sorted(path.name for path in bench.out.glob('iter_*.pth')) == [
        'iter_4.pth',
        'iter_5.pth',
    ]
    assert f'{signum.name}: stopped after iteration 5; continue with --resume auto' in log_of(bench)
    assert not (bench.out / 'train.lock').exists()


@pytest.fixture(scope='module')
def averaged(pristine_bench, tmp_path_factory):
    """Return the work dir of an uninterrupted training that averages its weights."""
    bench = with_average(pristine_bench.copy(tmp_path_factory.mktemp('averaged') / 'bench'))
    assert finish(start(bench, bench.root / 'whole')) == 0
    return bench.root / 'whole'


@pytest.mark.parametrize('signum', CODES)
def test_a_signal_cuts_a_validation_which_is_done_again(bench, averaged, signum):
    with_average(bench)
    assert finish(start(bench, bench.out, signals=[('val', 1, signum, False)])) == CODES[signum]
    assert 'stopped after iteration 4' in log_of(bench)
    assert ('abs_rel', 4) not in logged(bench.out)
    assert finish(start(bench, bench.out)) == 0
    same_end(averaged, bench.out)


def test_a_signal_in_the_last_validation_leaves_an_incomplete_training(bench):
    options = ('train_cfg.max_iters=3', 'train_cfg.val_interval=3')
    assert (
        finish(start(bench, bench.out, *options, signals=[('val', 2, signal.SIGTERM, False)]))
        == 143
    )
    assert ('abs_rel', 3) not in logged(bench.out)
    assert finish(start(bench, bench.out, *options)) == 0
    assert ('abs_rel', 3) in logged(bench.out)


def test_a_signal_after_the_last_validation_is_no_failure(bench):
    options = ('train_cfg.max_iters=3', 'train_cfg.val_interval=3')
    assert (
        finish(start(bench, bench.out, *options, signals=[('val', 0, signal.SIGTERM, False)])) == 0
    )


def test_a_second_ctrl_c_ends_at_once(bench):
    signals = [('train', 2, signal.SIGINT, False, 2)]
    code = finish(start(bench, bench.out, 'default_hooks.checkpoint.interval=100', signals=signals))
    assert code == 130
    assert not list(bench.out.glob('iter_*.pth'))
    assert not (bench.out / 'train.lock').exists()
    assert 'Traceback' not in log_of(bench)


@pytest.mark.parametrize('signum', CODES)
def test_loader_processes_outlive_a_signal_to_the_whole_group(bench, signum):
    options = ('train_dataloader.num_workers=2', 'val_dataloader.num_workers=1')
    code = finish(start(bench, bench.out, *options, signals=[('train', 5, signum, True)]))
    assert code == CODES[signum], log_of(bench)
    assert (bench.out / 'iter_5.pth').exists()


def distributed_options(bench, max_iters, val_interval):
    """Return the options of tools/train.py for two processes that resume what is there."""
    options = f'train_cfg.max_iters={max_iters} train_cfg.val_interval={val_interval}'
    interval = 'default_hooks.checkpoint.interval=1000'
    words = ['--work-dir', str(bench.out), '--resume', 'auto']
    return [*words, '--cfg-options', *options.split(), interval]


def run_environment():
    """Return the environment of processes that train on the CPU."""
    variables = dict(OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', PYTHONPATH=str(REPO))
    return os.environ | variables


def start_two(bench, max_iters, val_interval):
    """Start a training of two processes."""
    command = [sys.executable, str(REPO / 'tools/train.py'), str(bench.config)]
    command += ['--launcher', 'pytorch', *distributed_options(bench, max_iters, val_interval)]
    return start_processes(command, 2, cwd=bench.root, env=run_environment())


@pytest.mark.slow
@pytest.mark.parametrize('val_interval', [1, 1000], ids=['in_validations', 'in_training'])
def test_two_processes_agree_on_stopping(bench, val_interval):
    processes = start_two(bench, 4000, val_interval)
    processes[0].wait_for('Iter(train) [   5/4000]')
    for process in processes:
        process.send_signal(signal.SIGTERM)
    ended = [process.wait() for process in processes]
    text = ''.join(process.stdout + process.stderr for process in ended)
    assert [process.returncode for process in ended] == [143, 143], text
    assert 'SIGTERM: stopped after iteration' in text
    last = int(next(bench.out.glob('iter_*.pth')).stem[5:])
    assert last % 10 == 0 or val_interval == 1
    assert not (bench.out / 'train.lock').exists()
    for process in start_two(bench, last + 2, val_interval):
        completed = process.wait()
        assert completed.returncode == 0, completed.stdout + completed.stderr
    assert (bench.out / f'iter_{last + 2}.pth').exists()


@pytest.mark.slow
def test_the_launch_script_passes_a_signal_on(bench):
    script = ['bash', str(REPO / 'tools/dist_train.sh'), str(bench.config), '2']
    process = subprocess.Popen(
        [*script, *distributed_options(bench, 4000, 1000)],
        cwd=bench.root,
        env=run_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if 'Iter(train) [   5/4000]' in line:
            break
    os.killpg(process.pid, signal.SIGTERM)
    text, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    assert 'SIGTERM: stopped after iteration' in text
    assert len(list(bench.out.glob('iter_*.pth'))) == 1
    assert not (bench.out / 'train.lock').exists()
