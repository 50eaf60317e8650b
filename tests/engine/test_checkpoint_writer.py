"""Checkpoints are written while the training goes on: one at a time, from copies, errors included."""

import threading

import pytest
import torch

from depth.apis import train
from depth.engine import runner as runner_module
from depth.engine.checkpoint import to_plain
from depth.engine.checkpoint_writer import CheckpointWriter, HostCopies
from depth.engine.config import load_config
from depth.engine.loops import ResumableIterLoop
from tests.shared import REPO

SECONDS = 300
OPTIONS = {
    'train_cfg.max_iters': 6,
    'train_cfg.val_interval': 100,
    'val_cfg': None,
    'val_dataloader': None,
    'val_evaluator': None,
    'param_scheduler.total_steps': 6,
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.dataset.num_scenes': 4,
    'train_dataloader.dataset.image_size': (32, 32),
    'train_dataloader.dataset.cache': False,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.checkpoint.max_keep_ckpts': 2,
    'default_hooks.checkpoint.save_best': None,
    'custom_hooks': [dict(type='FiniteWatchHook'), dict(type='TerminationHook')],
    'visualizer.vis_backends': [dict(type='LocalVisBackend')],
}


def run(folder, asynchronous):
    """Train six iterations with a checkpoint every second one."""
    options = OPTIONS | {'default_hooks.checkpoint.asynchronous': asynchronous}
    cfg = load_config(REPO / 'configs/synthetic/dinov3_dpt_micro_rooms.py', options)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    train(cfg, work_dir=folder)
    return folder


def test_a_write_blocks_the_next_one_alone():
    writer, events, order = CheckpointWriter(asynchronous=True), threading.Event(), []

    def write(number):
        assert threading.current_thread() is not threading.main_thread()
        assert events.wait(SECONDS)
        order.append(f'written {number}')

    writer.submit(lambda: write(1))
    writer.then(lambda: order.append(f'after 1 in {threading.current_thread().name}'))
    writer.collect()
    assert writer.is_busy
    assert order == []
    threading.Timer(0.05, events.set).start()
    writer.submit(lambda: write(2))  # waits for the first
    assert order[:2] == ['written 1', 'after 1 in MainThread']
    writer.close()
    assert order[2:] == ['written 2']


@pytest.mark.parametrize('call', ['wait', 'close', 'submit'])
def test_a_failed_write_is_raised_and_nothing_follows_it(call):
    writer, actions = CheckpointWriter(asynchronous=True), []

    def fail():
        raise OSError('disk is full')

    writer.submit(fail)
    writer.then(lambda: actions.append('old checkpoint removed'))
    arguments = [lambda: None] if call == 'submit' else []
    with pytest.raises(OSError, match='disk is full'):
        getattr(writer, call)(*arguments)
    assert actions == []
    writer.close()


def test_without_a_thread_everything_happens_at_once():
    writer, order = CheckpointWriter(), []
    writer.submit(lambda: order.append('written'))
    writer.then(lambda: order.append('after'))
    assert order == ['written', 'after']


def test_a_copy_shares_no_memory():
    state = dict(weight=torch.ones(3), steps=[torch.zeros(()), 4])
    copy = to_plain(state, HostCopies().copy)
    state['weight'] += 1
    state['steps'][0] += 1
    assert copy['weight'].tolist() == [1, 1, 1]
    assert copy['steps'] == [torch.zeros(()), 4]


def test_the_memory_of_a_copy_is_used_again():
    copies, weight = HostCopies(), torch.arange(4.0)
    first = copies.copy('weight', weight)
    bias = copies.copy('bias', weight)
    weight += 1
    second = copies.copy('weight', weight)
    assert second.data_ptr() == first.data_ptr() != weight.data_ptr()
    assert second.tolist() == [1, 2, 3, 4]
    assert bias.tolist() == [0, 1, 2, 3]
    # Another type or shape, as of a part of the model that another checkpoint has.
    assert copies.copy('weight', weight.long()).dtype == torch.int64
    assert copies.copy('weight', weight[:2]).tolist() == [1, 2]
    assert copies.copy('steps', torch.tensor(3)) == 3


def test_the_training_goes_on_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    expected = run(tmp_path / 'at_once', asynchronous=False)
    save, released, log = runner_module.save_atomically, threading.Event(), []

    def slow_save(checkpoint, path, verify):
        if path.name == 'iter_2.pth':
            assert released.wait(SECONDS)
        save(checkpoint, path, verify)
        log.append(path.name)

    iterate = ResumableIterLoop.run_iter

    def watch_iterations(loop, batch):
        iterate(loop, batch)
        log.append(loop.runner.iter)
        if loop.runner.iter == 3:  # the file of iteration 2 has not been written
            released.set()

    monkeypatch.setattr(runner_module, 'save_atomically', slow_save)
    monkeypatch.setattr(ResumableIterLoop, 'run_iter', watch_iterations)
    folder = run(tmp_path / 'in_thread', asynchronous=True)
    assert log.index(3) < log.index('iter_2.pth') < log.index('iter_4.pth')
    # The training has ended with its last file, and what was saved are copies of their time.
    assert sorted(path.name for path in folder.glob('*.pth')) == ['iter_4.pth', 'iter_6.pth']
    assert (folder / 'last_checkpoint').read_text().endswith('iter_6.pth')
    for name in ('iter_4.pth', 'iter_6.pth'):
        first, second = (torch.load(path / name, weights_only=True) for path in (expected, folder))
        for key, value in first['state_dict'].items():
            assert torch.equal(second['state_dict'][key], value)
        for number, state in first['optimizer']['state'].items():
            assert torch.equal(second['optimizer']['state'][number]['exp_avg'], state['exp_avg'])


def test_a_full_disk_ends_the_training(tmp_path, monkeypatch):
    def fail(checkpoint, path, verify):
        raise OSError(f'checkpoint {path}: no space left on device')

    monkeypatch.setattr(runner_module, 'save_atomically', fail)
    with pytest.raises(OSError, match='no space left'):
        run(tmp_path, asynchronous=True)
