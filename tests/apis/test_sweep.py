"""Sweeps over settings and seeds, with a stand-in for the processes that train and test."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from depth.apis import sweep
from depth.apis.sweep import SweepRunner, last_error_line
from depth.apis.sweep_plan import (
    expand_grid,
    plan_sweep,
    read_settings,
    setting_name,
    split_values,
)
from depth.apis.sweep_table import summarise, write_table
from depth.cli.sweep import main
from depth.engine.config import find_config
from depth.engine.errors import ConfigError
from tests.engine.conftest import TINY

CONFIG = 'depthformer_tiny_rooms'
# abs_rel is max_iters / 1000 + seed / 100; 13 iterations fail, 14 wait for a signal at the first
# start.
PROGRAM = """
import json, os, signal, sys, time
from pathlib import Path

stage, arguments = sys.argv[1], sys.argv[2:]
work_dir = Path(arguments[arguments.index('--work-dir') + 1])
work_dir.mkdir(exist_ok=True)
options = dict(item.split('=', 1) for item in arguments[arguments.index('--cfg-options') + 1:])
iterations = int(options['max_iters'])
if stage == 'train':
    if iterations == 13:
        print('error: the loss is NaN at iteration 3\\n(DEPTH_DEBUG=1 shows where it happened)')
        sys.exit(1)
    started = work_dir / 'started'
    if iterations == 14 and not started.exists():
        def save(*_):
            (work_dir / 'saved').touch()
            sys.exit(143)
        signal.signal(signal.SIGTERM, save)
        started.touch()
        time.sleep(60)
    seed = arguments[arguments.index('--seed') + 1]
    assert arguments[arguments.index('--resume') + 1] == 'auto'
    (work_dir / f'iter_{iterations}.pth').write_text(seed)
    (work_dir / f'best_abs_rel_iter_{iterations}.pth').write_text('50')
    (work_dir / 'last_checkpoint').write_text(f'/elsewhere/iter_{iterations}.pth')
    with (work_dir / 'starts').open('a') as file:
        file.write('x')
    (work_dir / 'gpu').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))
else:
    seed = int(Path(arguments[1]).read_text())
    stamp = f'2026_{len(list(work_dir.iterdir()))}'
    folder = work_dir / stamp
    folder.mkdir()
    abs_rel = iterations / 1000 + seed / 100
    metrics = dict(abs_rel=abs_rel, d1=1 - abs_rel, silog=float('nan'), time=0.5)
    (folder / f'{stamp}.json').write_text(json.dumps(metrics))
    protocol = dict(name='rooms_10', fingerprint=options.get('log_level', 'aaa'))
    (folder / 'protocol.json').write_text(json.dumps(protocol))
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Return the command of the stand-in, which is the default program too."""
    path = tmp_path / 'program.py'
    path.write_text(PROGRAM)
    command = (sys.executable, '-S', str(path))
    monkeypatch.setattr(sweep, 'PROGRAM', command)
    return command


def make_plan(folder, *iterations, seeds=(0, 1, 2)):
    settings = [(f'max_iters={number}',) for number in iterations]
    return plan_sweep(CONFIG, settings, seeds, folder)


@pytest.fixture
def interruptible():
    """Let SIGINT interrupt, also where a shell started the tests in the background and ignores it."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip('signals reach the main thread only')
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def signal_when_there(path, signum):
    """Send this process a signal as soon as a file exists."""

    def send():
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        if path.exists():
            os.kill(os.getpid(), signum)

    threading.Thread(target=send, daemon=True).start()


def states(plan):
    return [run.read_manifest().get('state') for run in plan.runs]


def test_grids_and_lists_give_settings(tmp_path):
    assert expand_grid(['a=1,2', 'b=[3,4],"x,y"']) == [
        ('a=1', 'b=[3,4]'),
        ('a=1', 'b="x,y"'),
        ('a=2', 'b=[3,4]'),
        ('a=2', 'b="x,y"'),
    ]
    assert split_values('dict(a=1,b=(2,3)),4') == ['dict(a=1,b=(2,3))', '4']
    path = tmp_path / 'settings.txt'
    path.write_text('# first\nmax_iters=3 "model.names=[a, b]"\n\nmax_iters=4  # second\n')
    assert read_settings(path) == [('max_iters=3', 'model.names=[a, b]'), ('max_iters=4',)]


@pytest.mark.parametrize('item', ['a', '=1', 'a=', 'a=1,,2'])
def test_a_wrong_grid_is_refused(item):
    with pytest.raises(ValueError, match='KEY=VALUE,VALUE'):
        expand_grid([item])
    with pytest.raises(ValueError, match='occurs twice'):
        expand_grid(['a=1', 'a=2'])


def test_names_are_safe_and_different():
    overrides = ['a=1', 'a=x/y', 'a=x y', 'a=x:y', 'a=../..', 'k=' + 'v' * 300, 'k=' + 'v' * 301]
    names = [setting_name([override]) for override in overrides]
    assert len(set(names)) == len(names)
    for name in names:
        assert len(name) <= 100
        assert not set(name) & set('/\\: *?"<>|')
    assert setting_name(['a=1', 'b.c=0.5']) == 'a=1__b.c=0.5'
    assert setting_name([]) == 'as_config'


@pytest.mark.parametrize(
    ('settings', 'seeds', 'message'),
    [
        ([('max_iter=3',)], [0], 'did you mean max_iters'),
        ([('max_iters=3',), ('max_iters=3',)], [0], 'share the folder'),
        ([('log_level=INFO',), ('log_level=info',)], [0], 'share the folder'),
        ([('max_iters=3',)], [1, 1], 'a seed occurs twice'),
        ([('randomness.seed=3',)], [0], 'set by --seeds'),
        ([('max_iters',)], [0], 'KEY=VALUE'),
        ([], [0], 'at least one setting'),
    ],
)
def test_a_wrong_plan_is_refused_before_anything_runs(tmp_path, settings, seeds, message):
    with pytest.raises((ValueError, ConfigError), match=message):
        plan_sweep(CONFIG, settings, seeds, tmp_path)
    assert not list(tmp_path.iterdir())


def test_means_intervals_best_and_paired_differences(tmp_path, program):
    settings = [('max_iters=100', 'log_level=INFO'), ('log_level=INFO', 'max_iters=200')]
    plan = plan_sweep(CONFIG, settings, (0, 1, 2), tmp_path / 'd')
    SweepRunner(jobs=3, gpus=[4, 5]).run(plan.runs)
    assert states(plan) == ['finished'] * 6
    assert {(run.folder / 'gpu').read_text() for run in plan.runs} == {'4', '5'}
    summary, text = write_table(plan, ('abs_rel', 'd1'))
    best, second = summary['settings']
    # Seeds add 0, 0.01 and 0.02: standard error 0.01 / sqrt(3), t(0.975, 2) = 4.3027.
    abs_rel = best['metrics']['abs_rel']
    assert abs_rel['mean'] == pytest.approx(0.11)
    assert abs_rel['high'] - abs_rel['mean'] == pytest.approx(4.3027 * 0.01 / 3**0.5, rel=1e-4)
    assert abs_rel['is_best'] and best['metrics']['d1']['is_best']
    assert 'silog' not in best['metrics'] and 'time' not in best['metrics']
    # The seeds move both settings alike, so the paired difference has no spread at all.
    difference = second['metrics']['abs_rel']['difference_to_best']
    for end in ('mean', 'low', 'high'):
        assert difference[end] == pytest.approx(0.1)
    assert 'All settings: log_level=INFO\n' in text
    assert '| max_iters=100 | 3 of 3 | **0.1100 ± 0.0248** | **0.8900 ± 0.0248** |' in text
    assert '| max_iters=200 | abs_rel | max_iters=100 | 0.1000 ± 0.0000 | 3 | yes |' in text
    assert json.loads((tmp_path / 'd/sweep.json').read_text()) == summary
    assert (tmp_path / 'd/sweep.md').read_text() == text


def test_a_failure_is_listed_and_does_not_stop_the_others(tmp_path, program, capsys):
    arguments = [CONFIG, '--grid', 'max_iters=13,100', '--work-dir', str(tmp_path / 'd')]
    assert main(arguments) == 1
    output = capsys.readouterr().out
    assert '- max_iters=13_seed0: failed: error: the loss is NaN at iteration 3' in output
    assert '| max_iters=100 | 1 of 1 | 0.1000 |' in output
    assert 'A setting with one seed has no interval.' in output


def test_finished_runs_are_skipped_and_another_config_is_refused(tmp_path, program):
    plan = make_plan(tmp_path, 100, seeds=[3])
    SweepRunner().run(plan.runs)
    lines = []
    SweepRunner(report=lines.append).run(make_plan(tmp_path, 100, seeds=[3]).runs)
    assert lines == ['finished before: max_iters=100_seed3']
    assert (plan.runs[0].folder / 'starts').read_text() == 'x'
    # The best checkpoint of the stand-in has another value: only the test is repeated.
    SweepRunner(checkpoint='best').run(plan.runs)
    assert (plan.runs[0].folder / 'starts').read_text() == 'x'
    assert plan.runs[0].read_manifest()['metrics']['abs_rel'] == pytest.approx(0.6)
    config = tmp_path / 'changed.py'
    config.write_text(f"_base_ = {str(find_config(CONFIG))!r}\nlog_level = 'WARNING'\n")
    with pytest.raises(ConfigError, match='another config: log_level differ'):
        plan_sweep(config, [('max_iters=100',)], [3], tmp_path)


@pytest.mark.parametrize('signum', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_children_and_the_next_call_continues(
    tmp_path, program, signum, interruptible
):
    plan = make_plan(tmp_path, 14, 100, seeds=[0])
    folder = plan.runs[0].folder
    signal_when_there(folder / 'started', signum)
    expected = KeyboardInterrupt if signum == signal.SIGINT else SystemExit
    with pytest.raises(expected):
        SweepRunner(grace=20).run(plan.runs)
    assert (folder / 'saved').exists()
    assert states(plan) == ['training', None]
    assert [item['state'] for item in summarise(plan)['problems']] == ['training', 'not started']
    SweepRunner().run(plan.runs)
    assert states(plan) == ['finished', 'finished']


def test_a_child_that_ignores_the_signal_is_killed(tmp_path, interruptible):
    path = tmp_path / 'stubborn.py'
    path.write_text(
        'import pathlib, signal, sys, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n'
        f'pathlib.Path({str(tmp_path / "pid")!r}).touch()\n'
        f'time.sleep(60)\npathlib.Path({str(tmp_path / "woken")!r}).touch()\n'
    )
    plan = make_plan(tmp_path / 'd', 100, seeds=[0])
    runner = SweepRunner(program=(sys.executable, '-S', str(path)), grace=0.2)
    signal_when_there(tmp_path / 'pid', signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        runner.run(plan.runs)
    assert runner.active == []
    assert not (tmp_path / 'woken').exists()


def test_nothing_is_concluded_across_protocols(tmp_path, program):
    settings = [('max_iters=100', 'log_level=INFO'), ('max_iters=200', 'log_level=ERROR')]
    plan = plan_sweep(CONFIG, settings, [0, 1], tmp_path)
    SweepRunner().run(plan.runs)
    summary, text = write_table(plan)
    assert not summary['is_comparable']
    assert 'different protocols' in text
    assert '**' not in text


def test_slurm_tasks_do_the_runs_of_the_script(tmp_path, program, capsys):
    folder = tmp_path / 'd'
    arguments = [CONFIG, '--grid', 'max_iters=100,200', '--seeds', '0', '1']
    arguments += ['--work-dir', str(folder)]
    assert main([*arguments, '--jobs', '2', '--slurm', 'partition=gpu', 'gres=gpu:1']) == 0
    script = (folder / 'sweep.sbatch').read_text()
    subprocess.run(['bash', '-n', folder / 'sweep.sbatch'], check=True)
    assert '#SBATCH --array=0-3%2\n' in script
    assert '#SBATCH --partition=gpu\n#SBATCH --gres=gpu:1\n' in script
    command = script.splitlines()[-1]
    words = command.replace('"$SLURM_ARRAY_TASK_ID"', '3').split()
    assert words[: len(program) + 2] == ['exec', *program, 'sweep']
    assert main(words[len(program) + 2 :]) == 0
    assert main([*arguments, '--collect']) == 1  # three have no result yet
    assert 'not started' in capsys.readouterr().out
    assert states(make_plan(folder, 100, 200, seeds=[0, 1])) == [None] * 3 + ['finished']
    for task in '012':
        main([*arguments, '--task', task])
    assert main([*arguments, '--collect']) == 0
    with pytest.raises(ValueError, match='0 to 3'):
        main([*arguments, '--task', '4'])
    with pytest.raises(ValueError, match='not array'):
        main([*arguments, '--slurm', 'array=0-9'])


def test_the_error_of_a_log_is_its_last_error_line(tmp_path):
    path = tmp_path / 'log'
    path.write_text('error: first\nepoch\nerror: second\n(DEPTH_DEBUG=1 shows)\n\n')
    assert last_error_line(path) == 'error: second'
    path.write_text('Killed\n\n')
    assert last_error_line(path) == 'Killed'


@pytest.mark.long
def test_real_trainings_and_tests(tmp_path, capsys):
    tiny = [item for item in TINY if not item.startswith('train_cfg.')]
    listed = tmp_path / 'settings.txt'
    listed.write_text(f'{" ".join(tiny)} train_cfg.max_iters=2 train_cfg.val_interval=2\n')
    arguments = [CONFIG, '--list', str(listed), '--seeds', '0', '1', '--jobs', '2']
    assert main([*arguments, '--work-dir', str(tmp_path / 'd')]) == 0
    assert '2 of 2' in capsys.readouterr().out
