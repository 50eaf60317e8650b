import signal

import pytest
import torch

from depth.engine.checkpoint import find_latest_checkpoint
from tests.shared import REPO

from .conftest import CONFIG, run, scalars, start, train_command

pytestmark = pytest.mark.slow


def test_a_killed_run_continues_bit_for_bit(trained, tmp_path):
    process = start(*train_command(tmp_path))
    process.wait_for('Iter(train) [7/9]')  # one iteration after checkpoint 6 and its validation
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(*train_command(tmp_path, '--resume', 'auto'))
    expected = torch.load(trained / 'iter_9.pth', weights_only=True)['state_dict']
    actual = torch.load(tmp_path / 'iter_9.pth', weights_only=True)['state_dict']
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)
    assert scalars(tmp_path) == scalars(trained)


def test_averaged_weights_accumulation_and_mixed_precision_resume_too(tmp_path):
    config = tmp_path / 'ema.py'
    config.write_text(
        f"_base_ = ['{REPO / CONFIG}']\ncustom_hooks = [dict(type='EMAHook', momentum=0.1)]\n"
    )
    options = [
        'optim_wrapper.accumulative_counts=2',
        'default_hooks.checkpoint.interval=3',
        'train_cfg.max_iters=8',
    ]

    def command(work_dir, *extra):
        return [
            str(config) if argument == CONFIG else argument
            for argument in train_command(work_dir, *extra, options=options)
        ]

    run(*command(tmp_path / 'whole', '--amp'))
    process = start(*command(tmp_path / 'cut', '--amp'))
    process.wait_for('Iter(train) [5/8]')  # checkpoint 3 lies inside a window of accumulation
    process.send_signal(signal.SIGKILL)
    process.wait()
    run(*command(tmp_path / 'cut', '--amp', '--resume', 'auto'))
    expected, actual = (
        torch.load(tmp_path / name / 'iter_8.pth', weights_only=True) for name in ('whole', 'cut')
    )
    for key in ('state_dict', 'ema_state_dict'):
        assert all(torch.equal(actual[key][name], expected[key][name]) for name in expected[key]), (
            key
        )
    assert scalars(tmp_path / 'cut') == scalars(tmp_path / 'whole')


def test_sigterm_saves_and_leaves(tmp_path):
    process = start(
        *train_command(
            tmp_path, options=['train_cfg.max_iters=1000', 'default_hooks.checkpoint.interval=900']
        )
    )
    process.wait_for('2/1000]')
    process.send_signal(signal.SIGTERM)
    ended = process.wait(timeout=60)
    output = ended.stdout + ended.stderr
    assert ended.returncode == 143, output
    assert 'continue with --resume auto' in output
    assert find_latest_checkpoint(tmp_path) is not None


def test_a_resume_of_weights_alone_is_refused(trained, tmp_path):
    best = next(trained.glob('best_abs_rel_iter_*.pth'))
    process = start(*train_command(tmp_path, '--resume', str(best)))
    ended = process.wait()
    output = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert 'holds weights only' in output
    assert 'Traceback' not in output
