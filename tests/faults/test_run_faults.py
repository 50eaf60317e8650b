"""Faults of work dirs, locks, resumes and disks in training."""

import errno
import io
import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from mmengine.runner import Runner

from depth.engine.errors import WorkDirInUseError
from depth.engine.work_dir_lock import (
    LOCK_NAME,
    STALE_AFTER,
    WorkDirLock,
    abandonment,
    describe_process,
    read_holder,
)

from .bench import Fault, check_fault

RESUME = 'train {config} --work-dir {run} --resume auto --cfg-options default_hooks.checkpoint.max_keep_ckpts=-1 '
LONGER = RESUME + 'train_cfg.max_iters=6 '
SHORTLY = RESUME + 'train_cfg.max_iters=5 '
LOGS = 'run/20*/**/*'
TRAINED = ('run/*', LOGS)
BEST = ('run/best_abs_rel_iter_4.pth',)  # a better one may take its place


def change_hub(bench, **entries):
    """Set entries of the message hub that the newest checkpoint carries."""
    checkpoint = torch.load(bench.checkpoint, weights_only=True)
    checkpoint['message_hub']['runtime_info'].update(entries)
    torch.save(checkpoint, bench.checkpoint)


def write_other(bench, name):
    """Write a file that no run wrote, and return its path."""
    path = bench.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b'somebody wants to keep this')
    return str(path)


def name_as_best(bench, path):
    """Let the newest checkpoint call ``path`` the best so far, with a score that every model beats."""
    change_hub(bench, best_ckpt=path, best_score=1e9)


def change_record(bench, **entries):
    """Set entries of the record of the run."""
    path = bench.run / 'run.json'
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def forget_kinds(bench):
    """Let the newest checkpoint look as those of versions that did not store the optimizer's type."""
    checkpoint = torch.load(bench.checkpoint, weights_only=True)
    del checkpoint['meta']['training']
    torch.save(checkpoint, bench.checkpoint)


def link_best(bench):
    """Put a link to a file elsewhere in the place of the best checkpoint."""
    best = bench.run / 'best_abs_rel_iter_4.pth'
    best.unlink(missing_ok=True)
    best.symlink_to(write_other(bench, 'other/target.pth'))
    record = json.loads((bench.run / 'run.json').read_text())
    record['checkpoints'].append(best.name)
    (bench.run / 'run.json').write_text(json.dumps(record))
    name_as_best(bench, str(best))


def other_run(bench, name, run_id='20200101_000000_abcdef'):
    """Put a checkpoint of another run into the work dir."""
    checkpoint = torch.load(bench.checkpoint, weights_only=True)
    checkpoint['meta']['run_id'] = run_id
    torch.save(checkpoint, bench.run / name)


def lock(bench, age=0.0, **entries):
    """Write a lock as this process would, with some entries changed and a heartbeat ``age`` seconds ago."""
    path = bench.run / LOCK_NAME
    path.write_text(json.dumps(describe_process() | dict(token='another') | entries))
    os.utime(path, (time.time() - age,) * 2)


def ended_process():
    """Return the id of a process that has ended."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


CASES = [
    Fault(
        'best_of_another_run',
        lambda bench: name_as_best(bench, write_other(bench, 'other/best_abs_rel_iter_9.pth')),
        LONGER,
        says=('continuing the run', 'best_abs_rel_iter_6.pth'),
        code=0,
        writes=TRAINED,
    ),
    Fault(
        'best_is_a_relative_path_out_of_the_work_dir',
        lambda bench: name_as_best(bench, f'{bench.run}/../data/val/images/000.png'),
        LONGER,
        says=('best_abs_rel_iter_6.pth',),
        code=0,
        writes=TRAINED,
    ),
    Fault(
        'best_lies_in_the_work_dir_but_is_not_of_this_run',
        lambda bench: name_as_best(bench, write_other(bench, 'run/best_of_all.pth.bak')),
        LONGER,
        says=('best_abs_rel_iter_6.pth',),
        code=0,
        writes=TRAINED,
    ),
    Fault(
        'best_is_a_link',
        link_best,
        LONGER,
        says=('best_abs_rel_iter_6.pth',),
        code=0,
        writes=TRAINED,
    ),
    Fault(
        'kept_steps_are_no_steps',
        lambda bench: change_hub(
            bench, keep_ckpt_ids=['../../data/val/images/000', 2.5, None, [1]]
        ),
        LONGER,
        says=('continuing the run',),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'kept_steps_are_no_list',
        lambda bench: change_hub(bench, keep_ckpt_ids='everything'),
        LONGER,
        says=('continuing the run',),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'kept_steps_repeat_and_stand_in_another_order',
        lambda bench: change_hub(bench, keep_ckpt_ids=[4, 2, 2, 4, 4]),
        LONGER + 'default_hooks.checkpoint.max_keep_ckpts=3',
        says=('continuing the run',),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'best_of_another_metric',
        lambda bench: change_hub(
            bench, best_ckpt_rmse=write_other(bench, 'other/best_rmse.pth'), best_score_rmse=1e9
        ),
        LONGER
        + "\"default_hooks.checkpoint.save_best=['abs_rel','rmse']\" default_hooks.checkpoint.rule=less",
        says=('best_rmse_iter_6.pth',),
        code=0,
        writes=TRAINED,
    ),
    Fault(
        'best_score_is_a_text',
        lambda bench: change_hub(bench, best_score='low'),
        LONGER,
        says=('best_abs_rel_iter_6.pth',),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'best_score_is_nan',
        lambda bench: change_hub(bench, best_score=float('nan')),
        LONGER,
        says=('best_abs_rel_iter_6.pth',),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'record_names_a_folder_elsewhere',
        lambda bench: change_record(
            bench, starts=[str(Path(write_other(bench, 'other/.a.7.tmp')).parent)]
        ),
        RESUME,
        says=('{run}/run.json is damaged', "starts names '{root}/other'", 'delete it'),
        writes=(LOGS,),
    ),
    Fault(
        'record_names_a_config_elsewhere',
        lambda bench: change_record(bench, config='../config.py'),
        'train {config} --work-dir {run}',
        says=('{run}/run.json is damaged', "config is '../config.py'"),
        writes=(LOGS,),
    ),
    Fault(
        'resume_from_another_run_in_the_folder',
        lambda bench: other_run(bench, 'iter_100.pth'),
        'train {config} --work-dir {run} --resume {run}/iter_100.pth',
        says=(
            '{run}/iter_100.pth belongs to the run 20200101_000000_abcdef',
            '--work-dir of its own',
        ),
        writes=(LOGS,),
    ),
    Fault(
        'two_runs_and_no_record',
        lambda bench: (other_run(bench, 'iter_100.pth'), (bench.run / 'run.json').unlink()),
        RESUME,
        says=('{run} holds checkpoints of 2 runs', 'no run.json', '--resume FILE'),
        writes=(LOGS,),
    ),
    Fault(
        'record_damaged',
        lambda bench: (bench.run / 'run.json').write_text('{"id": '),
        RESUME,
        says=('{run}/run.json is damaged', 'delete it'),
        writes=(LOGS,),
    ),
    Fault(
        'record_lost',
        lambda bench: (bench.run / 'run.json').unlink(),
        LONGER,
        says=('continuing the run', 'from {run}/iter_4.pth'),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'every_checkpoint_cut_off',
        lambda bench: [
            path.write_bytes(path.read_bytes()[:2000]) for path in bench.run.glob('iter_*.pth')
        ],
        RESUME,
        says=('none of the 2 checkpoints', '{run}'),
        writes=(LOGS,),
    ),
    Fault(
        'newest_checkpoint_cut_off',
        lambda bench: bench.checkpoint.write_bytes(bench.checkpoint.read_bytes()[:2000]),
        RESUME,
        says=('{run}/iter_4.pth', 'from {run}/iter_2.pth', 'Iter(train) [4/4]'),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'resume_from_a_missing_file',
        lambda bench: None,
        'train {config} --work-dir {out} --resume {run}/iter_6.pth',
        says=('--resume: checkpoint {run}/iter_6.pth does not exist',),
        writes=('out/20*/**/*',),
    ),
    Fault(
        'resume_from_weights_alone',
        lambda bench: shutil.copy(next(bench.run.glob('best_*.pth')), bench.root / 'best.pth'),
        'train {config} --work-dir {out} --resume {root}/best.pth',
        says=('{root}/best.pth holds weights only', 'load_from='),
        writes=('out/20*/**/*',),
    ),
    Fault(
        'work_dir_in_use',
        lock,
        RESUME,
        says=(
            f'{{run}} is in use: process {os.getpid()} on host',
            'another --work-dir',
            f'{{run}}/{LOCK_NAME}',
        ),
    ),
    Fault(
        'work_dir_in_use_by_another_host',
        lambda bench: lock(bench, age=STALE_AFTER / 2, host='far-away', boot='1', pid=1),
        RESUME,
        says=(
            '{run} is in use: process 1 on host far-away',
            '10 minutes after its last sign of life',
        ),
    ),
    Fault(
        'work_dir_in_use_by_another_container',
        lambda bench: lock(bench, namespace='pid:[1]', pid=1),
        RESUME,
        says=('{run} is in use: process 1',),
    ),
    Fault(
        'lock_unreadable',
        lambda bench: (bench.run / LOCK_NAME).write_text(''),
        RESUME,
        says=('{run} is in use', f'{{run}}/{LOCK_NAME}'),
    ),
    Fault(
        'lock_of_a_killed_process',
        lambda bench: lock(bench, pid=ended_process()),
        RESUME,
        says=('is taken over: its process has ended',),
        code=0,
        writes=TRAINED,
        removes=(f'run/{LOCK_NAME}',),
    ),
    Fault(
        'optimizer_of_another_type',
        lambda bench: None,
        LONGER + 'optim_wrapper.optimizer._delete_=True optim_wrapper.optimizer.type=SGD '
        'optim_wrapper.optimizer.lr=0.01 optim_wrapper.optimizer.momentum=0.9',
        says=('written with AdamW, the config has SGD', 'starts anew', 'Iter(train) [6/6]'),
        code=0,
        writes=TRAINED,
        removes=BEST,
        lacks=('KeyError',),
    ),
    Fault(
        'optimizer_of_another_type_than_an_old_file_holds',
        forget_kinds,
        LONGER
        + 'optim_wrapper.optimizer._delete_=True optim_wrapper.optimizer.type=SGD optim_wrapper.optimizer.lr=0.01',
        says=('written with another optimizer than SGD', 'starts anew', 'Iter(train) [6/6]'),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'parameters_in_other_groups',
        lambda bench: None,
        LONGER + 'optim_wrapper.paramwise_cfg.norm_decay_mult=0',
        says=(
            'the parameter groups of the config (AdamW) are not those of the checkpoint',
            'Iter(train) [6/6]',
        ),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'schedule_of_another_type',
        lambda bench: None,
        LONGER
        + 'param_scheduler._delete_=True param_scheduler.type=CosineAnnealingLR param_scheduler.T_max=6',
        says=(
            'schedules OneCycleRate -> CosineAnnealingLR',
            'learning rate 0.00025',
            'Iter(train) [6/6]',
        ),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'schedule_lengthened',
        lambda bench: None,
        RESUME + 'train_cfg.max_iters=6 param_scheduler.total_steps=6',
        says=('OneCycleRate.total_steps 4 -> 6', 'goes on at iteration 4', 'Iter(train) [6/6]'),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'weight_decay_changed',
        lambda bench: None,
        LONGER + 'optim_wrapper.optimizer.weight_decay=0.5',
        says=('weight_decay 0.01 -> 0.5', 'its config has changed since: '),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
    Fault(
        'batch_size_changed',
        lambda bench: None,
        LONGER + 'train_dataloader.batch_size=3',
        says=('1 processes x 2 images a step before, 1 x 3 now', 'after the 8 samples seen'),
        code=0,
        writes=TRAINED,
        removes=BEST,
    ),
]


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)
    held = bench.run / LOCK_NAME
    assert fault.code == 1 or not held.exists()


@pytest.mark.parametrize(
    ('reason', 'age', 'entries'),
    [
        ('its process has ended', 0, dict(process_start=1)),  # its number is another process's now
        ('the host was started anew since', 0, dict(boot='before')),
        ('no heartbeat for', 2 * STALE_AFTER, dict(host='far-away', boot='1', pid=1)),
        ('no heartbeat for', 2 * STALE_AFTER, dict(namespace='pid:[1]', pid=1)),
        (
            'slurm has requeued its job 7',
            0,
            dict(host='far-away', boot='1', slurm_job='7', slurm_restart=0),
        ),
    ],
)
def test_a_lock_that_was_left_behind_is_taken_over(bench, monkeypatch, reason, age, entries):
    monkeypatch.setenv('SLURM_JOB_ID', '7')
    monkeypatch.setenv('SLURM_RESTART_COUNT', '1')
    lock(bench, age=age, **entries)
    work_dir_lock = WorkDirLock(bench.run)
    assert reason in abandonment(read_holder(work_dir_lock.path), work_dir_lock.path)
    work_dir_lock.acquire()
    assert read_holder(work_dir_lock.path)['token'] == work_dir_lock.owner['token']
    with pytest.raises(WorkDirInUseError, match=f'process {os.getpid()} on host'):
        WorkDirLock(bench.run).acquire()
    work_dir_lock.release()
    assert not work_dir_lock.path.exists()


def test_a_run_whose_lock_was_taken_over_does_not_save(bench):
    held = WorkDirLock(bench.run)
    held.acquire()
    lock(bench, host='far-away', pid=1)
    with pytest.raises(WorkDirInUseError, match='process 1 on host far-away'):
        held.check_held()
    held.release()
    assert read_holder(held.path)['host'] == 'far-away'


def test_a_new_run_puts_the_earlier_one_aside(bench):
    before = {path.name: path.read_bytes() for path in bench.run.iterdir() if path.is_file()}
    (bench.run / 'tensorboard').mkdir(exist_ok=True)
    (bench.run / 'tensorboard/events.earlier').write_bytes(b'curves')
    logs = sorted(path.name for path in bench.run.iterdir() if path.is_dir())
    run_id = json.loads(before['run.json'])['id']
    outcome = bench.call('train {config} --work-dir {run} --cfg-options train_cfg.max_iters=2')
    assert outcome.code == 0, outcome.text
    aside = bench.run / f'previous_{run_id}'
    assert f'moved to {aside}' in outcome.text
    assert {path.name: path.read_bytes() for path in aside.iterdir() if path.is_file()} == before
    assert sorted(path.name for path in aside.iterdir() if path.is_dir()) == logs
    assert not (bench.run / 'tensorboard/events.earlier').exists()
    assert sorted(path.name for path in bench.run.glob('iter_*.pth')) == ['iter_2.pth']
    assert json.loads((bench.run / 'run.json').read_text())['id'] != run_id
    # Each of the two goes on as itself, although the one put aside has the higher number.
    outcome = bench.call(
        'train {config} --work-dir {run} --resume auto --cfg-options train_cfg.max_iters=3 '
        'train_cfg.val_interval=3'
    )
    assert f'from {bench.run}/iter_2.pth' in outcome.text
    assert outcome.code == 0, outcome.text
    outcome = bench.call(
        f'train {{config}} --work-dir {aside} --resume auto --cfg-options train_cfg.max_iters=5'
    )
    assert f'continuing the run {run_id}' in outcome.text
    assert f'from {aside}/iter_4.pth' in outcome.text
    assert outcome.code == 0, outcome.text


def test_a_checkpoint_of_another_run_with_a_higher_number_is_put_aside(bench):
    other_run(bench, 'iter_100.pth')
    content = (bench.run / 'iter_100.pth').read_bytes()
    outcome = bench.call(RESUME)
    assert outcome.code == 0, outcome.text
    assert f'from {bench.run}/iter_4.pth' in outcome.text
    assert 'checkpoints of other runs' in outcome.text
    assert [path.read_bytes() for path in bench.run.glob('previous_other_*/iter_100.pth')] == [
        content
    ]
    assert not (bench.run / 'iter_100.pth').exists()


def test_a_step_back_puts_later_checkpoints_aside(bench):
    content = bench.checkpoint.read_bytes()
    outcome = bench.call(
        'train {config} --work-dir {run} --resume {run}/iter_2.pth --cfg-options '
        'train_cfg.max_iters=3'
    )
    assert outcome.code == 0, outcome.text
    assert f'checkpoints after {bench.run}/iter_2.pth' in outcome.text
    assert [path.read_bytes() for path in bench.run.glob('previous_*/iter_4.pth')] == [content]
    assert sorted(path.name for path in bench.run.glob('iter_*.pth')) == [
        'iter_2.pth',
        'iter_3.pth',
    ]


def test_a_checkpoint_without_a_run_id_goes_on(bench):
    for path in bench.run.glob('*.pth'):
        checkpoint = torch.load(path, weights_only=True)
        del checkpoint['meta']['run_id'], checkpoint['meta']['training']
        torch.save(checkpoint, path)
    (bench.run / 'run.json').unlink()
    old = {path.name for path in bench.run.glob('*.pth')}
    command = 'train {config} --work-dir {run} --resume auto --cfg-options train_cfg.max_iters='
    outcome = bench.call(command + '8')
    assert outcome.code == 0, outcome.text
    assert 'of a version without run ids' in outcome.text
    assert f'from {bench.run}/iter_4.pth' in outcome.text
    names = {path.name for path in bench.run.glob('*.pth')}
    # What a version without ids wrote is never removed.
    assert old | {'iter_6.pth', 'iter_8.pth'} <= names
    outcome = bench.call(command + '10')
    assert f'from {bench.run}/iter_8.pth' in outcome.text
    assert 'iter_6.pth' not in {path.name for path in bench.run.glob('*.pth')}  # its own are


def test_a_resume_from_another_folder_is_a_run_of_its_own(bench):
    before = bench.files()
    command = (
        'train {config} --work-dir {out} --resume {checkpoint} --cfg-options train_cfg.max_iters=6'
    )
    outcome = bench.call(command)
    assert outcome.code == 0, outcome.text
    record = json.loads((bench.out / 'run.json').read_text())
    assert record['continued_from'] == str(bench.checkpoint)
    assert len(list(bench.out.glob('best_*.pth'))) == 1
    after = bench.files()
    assert {path: digest for path, digest in after.items() if not path.startswith('out/')} == before


def test_leftovers_of_a_killed_save_are_removed_and_nothing_else(bench):
    record = json.loads((bench.run / 'run.json').read_text())
    record['checkpoints'].append('iter_6.pth')  # as it is when a save is killed
    (bench.run / 'run.json').write_text(json.dumps(record))
    for name in (
        '.iter_6.pth.77.tmp',
        '.run.json.77.tmp',
        '.last_checkpoint.77.tmp',
        '.notes.77.tmp',
        '.mine.tmp',
    ):
        (bench.run / name).write_bytes(b'half')
    outcome = bench.call(RESUME)
    assert outcome.code == 0, outcome.text
    assert sorted(path.name for path in bench.run.glob('.*')) == ['.mine.tmp', '.notes.77.tmp']


def test_the_schedule_of_the_config_counts_from_where_the_run_stands(bench):
    options = 'train_cfg.max_iters=8 param_scheduler.total_steps=8 train_cfg.val_interval=8'
    assert bench.call(f'train {{config}} --work-dir {{out}} --cfg-options {options}').code == 0
    assert (
        bench.call(
            f'train {{config}} --work-dir {{run}} --resume auto --cfg-options {options}'
        ).code
        == 0
    )
    rates = [learning_rates(folder) for folder in (bench.out, bench.run)]
    for iteration in range(5, 9):
        assert rates[1][iteration] == pytest.approx(rates[0][iteration], rel=1e-6)


def learning_rates(work_dir):
    """Return the logged learning rates by iteration, those of the last start."""
    entries = [json.loads(line) for line in max(work_dir.glob('20*/vis_data/scalars.json')).open()]
    return {entry['step']: entry['lr'] for entry in entries if 'loss' in entry}


def fill_disk(monkeypatch, ends_with):
    """Let writing files of some name fail half-way, as on a full disk."""
    fsync = os.fsync

    def full(descriptor):
        name = os.readlink(f'/proc/self/fd/{descriptor}')
        if ends_with in Path(name).name:
            raise OSError(errno.ENOSPC, 'No space left on device')
        fsync(descriptor)

    monkeypatch.setattr(os, 'fsync', full)


@pytest.mark.parametrize(
    'name',
    [
        'iter_6.pth',
        'best_abs_rel_iter_6.pth',
        'last_checkpoint',
        'run.json',
        'config.py',
        LOCK_NAME,
    ],
)
def test_a_full_disk_names_the_file_and_costs_nothing(bench, monkeypatch, name):
    change_hub(bench, best_score=1e9)
    before = bench.files()
    fill_disk(monkeypatch, name)
    outcome = bench.call(LONGER)
    monkeypatch.undo()
    assert outcome.code == 1
    assert str(bench.run) in outcome.text
    assert f'/{name} could not be written: No space left on device' in outcome.text
    assert 'MB free on the disk of' in outcome.text
    assert 'Traceback' not in outcome.text
    after = bench.files()
    assert all(path in after for path in before)
    assert all(
        after[path] == before[path] for path in before if path.startswith(('run/iter', 'run/best'))
    )
    assert not [path for path in after if path.endswith('.tmp')]
    if name == 'iter_6.pth':
        outcome = bench.call(LONGER)
        assert outcome.code == 0, outcome.text


def test_a_full_disk_leaves_no_half_line_in_the_log(bench, monkeypatch):
    import depth.visualization.local_backend as backend

    class Full(io.FileIO):
        """A file that takes ten bytes at a time."""

        def write(self, data):
            return super().write(data[:10])

    monkeypatch.setattr(
        backend, 'open', lambda path, mode, buffering: Full(path, mode), raising=False
    )
    outcome = bench.call(LONGER)
    assert outcome.code == 1
    assert 'vis_data/' in outcome.text
    assert 'could not be written: no space left' in outcome.text
    last = max(bench.run.glob('20*'))
    assert all(path.read_bytes() == b'' for path in last.glob('vis_data/*.json'))


@pytest.mark.parametrize('ends_with', ['.json.', 'protocol.json', 'per_image.json'])
def test_metrics_of_a_test_are_whole_or_absent(bench, monkeypatch, ends_with):
    fill_disk(monkeypatch, ends_with)
    outcome = bench.call('test {config} {checkpoint} --work-dir {out}')
    assert outcome.code == 1
    assert 'could not be written: No space left on device' in outcome.text
    assert str(bench.out) in outcome.text
    assert not list(bench.out.rglob('*.tmp'))
    assert all(json.loads(path.read_text()) for path in bench.out.glob('*/*.json'))


def test_a_test_in_the_work_dir_leaves_the_config_of_the_training(bench):
    (bench.run / 'config.py').write_text('# of the training\n')
    assert bench.call('test {config} {checkpoint} --work-dir {run}').code == 0
    assert (bench.run / 'config.py').read_text() == '# of the training\n'


def test_a_resume_with_another_number_of_processes_says_so(bench):
    checkpoint = torch.load(bench.checkpoint, weights_only=True)
    checkpoint['meta']['training']['processes'] = 8
    checkpoint['meta']['training']['samples'] = 64
    checkpoint['random_states'] *= 8
    torch.save(checkpoint, bench.checkpoint)
    outcome = bench.call(SHORTLY)
    assert outcome.code == 0, outcome.text
    assert '8 processes x 2 images a step before, 1 x 2 now' in outcome.text
    assert 'the data goes on after the 64 samples seen' in outcome.text
    assert '8 processes wrote the checkpoint, 1 go on' in outcome.text


def test_a_resume_reads_the_checkpoint_on_the_cpu(bench, monkeypatch):
    """Whatever device the runner trains on: log histories become NumPy arrays."""
    resume = Runner.resume

    def resume_elsewhere(runner, *args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr('mmengine.runner.runner.get_device', lambda: 'meta')
            resume(runner, *args, **kwargs)

    monkeypatch.setattr(Runner, 'resume', resume_elsewhere)
    outcome = bench.call(SHORTLY)
    assert outcome.code == 0, outcome.text
    assert 'Iter(train) [5/5]' in outcome.text


def test_a_run_with_a_group_for_each_parameter_goes_on_in_merged_groups(bench):
    options = 'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.5'
    start = 'train {config} --work-dir {out} --resume auto --cfg-options param_scheduler.end=9 '
    start += f'default_hooks.checkpoint.interval=1 {options} train_cfg.max_iters='
    outcome = bench.call(f'{start}1 optim_wrapper.constructor=DefaultOptimWrapperConstructor')
    assert outcome.code == 0, outcome.text
    outcome = bench.call(f'{start}2')
    assert outcome.code == 0, outcome.text
    assert 'changed settings' not in outcome.text
    assert 'starts anew' not in outcome.text
    first, second = (torch.load(bench.out / f'iter_{n}.pth', weights_only=True) for n in (1, 2))
    counts = [len(saved['optimizer']['param_groups']) for saved in (first, second)]
    assert counts == [len(first['optimizer']['state']), 2]
