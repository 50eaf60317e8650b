"""Trainings in processes of their own, which tests signal, kill and starve.

The server that starts them has everything imported, so a start takes a tenth of a second.
"""

import contextlib
import io
import json
import os
import resource
import runpy
import signal
import sys
import time

import torch

import depth.engine
from tests.shared import REPO
from tests.shared_process import SERVER

OPTIONS = (
    'train_cfg.max_iters=12',
    'train_cfg.val_interval=4',
    'param_scheduler.total_steps=12',
    'default_hooks.checkpoint.interval=3',
)
SECONDS = 300  # for one start


def start(bench, work_dir, *options, largest_file=None, signals=()):
    """Start a training that resumes what its work dir holds.

    Args:
        bench: Bench whose config is trained; what is printed goes to ``log.txt`` there.
        work_dir: Work dir.
        *options: For ``--cfg-options``, after those above.
        largest_file: Bytes after which a file cannot grow, as on a full disk; None for no limit.
        signals: ``(loop, call, signal, group)``: what the process sends itself, or its group, at
            that call of the loop's ``run_iter`` (counted from 1), or at the end of its last ``run``
            (call 0); a fifth entry says how often.
    """
    log = str(bench.root / 'log.txt')
    arguments = (str(bench.config), str(work_dir), [*OPTIONS, *options], log, largest_file, signals)
    process = SERVER.Process(target=_train, args=arguments)
    process.start()
    return process


def finish(process):
    """Wait for a training and return its exit code."""
    process.join(SECONDS)
    if process.exitcode is None:
        process.kill()
        raise AssertionError('the training hangs')
    return process.exitcode


def log_of(bench):
    """Return what the trainings of a bench have printed."""
    path = bench.root / 'log.txt'
    return path.read_text() if path.exists() else ''


def logged(work_dir):
    """Return losses and validation results by iteration, as the last start that reached it logged them."""
    entries = {}
    for path in sorted(work_dir.glob('20*/vis_data/scalars.json')):
        for line in path.read_text().splitlines():
            entry = json.loads(line)
            kind = 'loss' if 'loss' in entry else 'abs_rel'
            entries[kind, entry['step']] = entry[kind]
    return entries


def weights(path):
    """Return the weights of a checkpoint."""
    return torch.load(path, weights_only=True)['state_dict']


def _train(config, work_dir, options, log, largest_file, signals):
    os.setpgrp()
    torch.set_num_threads(1)
    if largest_file is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
    for request in signals:
        _send_at(*request)
    sys.argv = [
        'tools/train.py',
        config,
        '--work-dir',
        work_dir,
        '--resume',
        'auto',
        '--cfg-options',
        *options,
    ]
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
            runpy.run_path(str(REPO / 'tools' / 'train.py'), run_name='__main__')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        with open(log, 'a', encoding='utf-8') as file:
            file.write(text.getvalue())


def _send_at(loop, call, signum, group, times=1):
    """Let this process signal itself, or its group, at some call of a loop."""
    loop = dict(train=depth.engine.ResumableIterLoop, val=depth.engine.ValLoop)[loop]
    name = 'run_iter' if call else 'run'
    original = getattr(loop, name)
    calls = 0

    def send():
        for _ in range(times):
            if group:
                os.killpg(0, signum)
            else:
                os.kill(os.getpid(), signum)
            time.sleep(1.2 if times > 1 else 0.1)

    def wrapper(self, *args, **kwargs):
        nonlocal calls
        calls += 1
        if call == calls:
            send()
        result = original(self, *args, **kwargs)
        if call == 0 and self.runner.iter == self.runner.max_iters:
            send()
        return result

    setattr(loop, name, wrapper)
