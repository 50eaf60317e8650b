"""Sharded checkpoints: damage is named, a killed save leaves nothing, and what is written is checked."""

import io
import os
import pickle
import signal
import threading

import pytest
import torch
from torch.distributed import checkpoint as dcp

from depth.cli import convert_checkpoint
from depth.engine import checkpoint as checkpoint_module
from depth.engine import sharded_checkpoint
from depth.engine.checkpoint import find_latest_checkpoint, load_checkpoint_file, save_atomically
from depth.engine.sharded_checkpoint import (
    SHARDS,
    shards_folder,
    verify_shards,
    write_tensors,
    write_whole_as_sharded,
)
from depth.engine.training_run import TrainingRun, new_run_id
from depth.engine.work_dir import open_run, remove_leftovers
from tests.shared_process import SERVER

SECONDS = 300
PIECES = '__0_0.distcp'


def content(run, iteration):
    """Return the content of a checkpoint of a run; its numbers differ from iteration to iteration."""
    weight = torch.arange(2000.0).reshape(40, 50) + iteration
    moments = {0: dict(step=torch.tensor(float(iteration)), exp_avg=weight / 7)}
    return dict(
        meta=dict(iter=iteration, run_id=run.id),
        state_dict=dict(weight=weight, bias=torch.ones(3)),
        optimizer=dict(state=moments, param_groups=[dict(lr=0.1, params=[0])]),
    )


def save(run, iteration):
    """Save a checkpoint as the first process does, and return its path."""
    path = run.work_dir / f'iter_{iteration}.pth'
    run.add_checkpoint(path.name)
    save_atomically(write_whole_as_sharded(content(run, iteration), path), path, verify=True)
    return path


def make_run(folder):
    """Return the record of a run with a work dir of its own."""
    folder.mkdir(exist_ok=True)
    run = TrainingRun(folder, new_run_id(), 'config.py', {}, 'host', ['20260101_000000'])
    run.write()
    return run


def truncate(file, run):
    file.write_bytes(file.read_bytes()[:-100])


def flip_bit(file, run):
    raw = bytearray(file.read_bytes())
    raw[len(raw) // 2] ^= 1
    file.write_bytes(raw)


def remove(file, run):
    file.unlink()


def take_from_another_run(file, run):
    other = save(make_run(run.work_dir.parent / 'other'), 5)
    file.write_bytes((shards_folder(other) / file.name).read_bytes())


@pytest.mark.parametrize('name', [PIECES, '.metadata'])
@pytest.mark.parametrize(
    ('damage', 'reason'),
    [
        (truncate, 'bytes, '),
        (flip_bit, 'its SHA-256 is not that of the file that was written'),
        (remove, 'is missing'),
        (take_from_another_run, 'is damaged in'),
    ],
)
def test_a_damaged_file_is_named_and_the_checkpoint_before_it_is_taken(
    name, damage, reason, tmp_path, capsys
):
    run = make_run(tmp_path / 'run')
    first, second = save(run, 2), save(run, 4)
    file = shards_folder(second) / name
    damage(file, run)
    with pytest.raises(ValueError, match=reason) as error:
        load_checkpoint_file(second)
    assert str(file) in str(error.value)
    assert '\n' not in str(error.value)
    assert find_latest_checkpoint(run.work_dir) == first
    weight = load_checkpoint_file(first)['state_dict']['weight']
    assert torch.equal(weight, content(run, 2)['state_dict']['weight'])
    # The head alone is no checkpoint either.
    for path in shards_folder(first).iterdir():
        path.unlink()
    shards_folder(first).rmdir()
    with pytest.raises(ValueError, match='none of the 2 checkpoints'):
        find_latest_checkpoint(run.work_dir)


class Row:
    """Stands for the row of all processes, in one of two threads."""

    def __init__(self, rank):
        self.rank = rank

    def get_local_rank(self):
        return self.rank

    def size(self):
        return 2


def test_processes_share_the_reading_and_refuse_together(tmp_path, monkeypatch):
    run = make_run(tmp_path / 'run')
    path = save(run, 2)
    flip_bit(shards_folder(path) / PIECES, run)
    files = torch.load(path, weights_only=True)[SHARDS]
    shared, meeting, digest = {}, threading.Barrier(2), sharded_checkpoint.sha256_of
    read, messages = [], []

    def gather(results, own):
        shared[threading.current_thread().name] = own
        meeting.wait(SECONDS)
        results[:] = [shared['0'], shared['1']]

    def count(file):
        read.append(file.name)
        return digest(file)

    def verify(rank):
        with pytest.raises(ValueError, match=PIECES) as error:
            verify_shards(path, files, Row(rank))
        messages.append(str(error.value))

    monkeypatch.setattr(sharded_checkpoint.dist, 'all_gather_object', gather)
    monkeypatch.setattr(sharded_checkpoint, 'sha256_of', count)
    threads = [threading.Thread(target=verify, args=(rank,), name=str(rank)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(messages) == 2
    assert messages[0] == messages[1]
    assert sorted(read) == ['.metadata', PIECES]  # each of them once


def save_and_die(folder, stage):
    """Save iteration 4, and end as by ``kill -9`` when a stage begins."""

    def die(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    run = TrainingRun.read(folder)
    owner, name = {
        'pieces': (dcp.filesystem, '_write_item'),
        'metadata': (dcp.FileSystemWriter, 'finish'),
        'digests': (sharded_checkpoint, 'sha256_of'),
        'head': (torch, 'save'),
        'verification': (checkpoint_module, 'verify_archive'),
        'name': (os, 'replace'),
    }[stage]
    run.add_checkpoint('iter_4.pth')
    if stage == 'head':  # torch.save writes the pieces too
        head = write_whole_as_sharded(content(run, 4), folder / 'iter_4.pth')
        setattr(owner, name, die)
        save_atomically(head, folder / 'iter_4.pth', verify=True)
    setattr(owner, name, die)
    save(run, 4)


@pytest.mark.parametrize('stage', ['pieces', 'metadata', 'digests', 'head', 'verification', 'name'])
def test_a_save_that_is_killed_leaves_nothing_behind(stage, tmp_path):
    run = make_run(tmp_path / 'run')
    save(run, 2)
    before = sorted(run.work_dir.rglob('*'))
    process = SERVER.Process(target=save_and_die, args=(run.work_dir, stage))
    process.start()
    process.join(SECONDS)
    assert process.exitcode == -signal.SIGKILL
    assert shards_folder(run.work_dir / 'iter_4.pth').is_dir()
    start = TrainingRun(run.work_dir, new_run_id(), 'config.py', {}, 'host', ['20260102_000000'])
    resumed, source = open_run(start, resume=True, source=None)
    assert source == str(run.work_dir / 'iter_2.pth')
    remove_leftovers(resumed)
    assert sorted(run.work_dir.rglob('*')) == before
    path = save(resumed, 4)
    assert find_latest_checkpoint(run.work_dir) == path


def test_the_next_save_of_a_name_removes_what_was_there(tmp_path):
    run = make_run(tmp_path / 'run')
    folder = shards_folder(run.work_dir / 'iter_2.pth')
    folder.mkdir()
    for name in (PIECES, '__5_0.distcp', '.metadata', '.metadata.tmp'):  # of six processes
        (folder / name).write_bytes(b'half a file')
    path = save(run, 2)
    assert sorted(file.name for file in folder.iterdir()) == ['.metadata', PIECES]
    assert torch.equal(load_checkpoint_file(path)['state_dict']['bias'], torch.ones(3))


def test_a_removal_that_is_killed_is_completed(tmp_path):
    run = make_run(tmp_path / 'run')
    save(run, 2)
    save(run, 4)
    (run.work_dir / 'iter_2.pth').unlink()  # the first step of TrainingRun.remove
    foreign = run.work_dir / 'iter_8.shards'  # of nobody that this run knows
    foreign.mkdir()
    remove_leftovers(run)
    assert not shards_folder(run.work_dir / 'iter_2.pth').exists()
    assert shards_folder(run.work_dir / 'iter_4.pth').is_dir()
    assert foreign.is_dir()


def test_a_full_disk_is_an_error_that_names_the_folder(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(dcp.FileSystemWriter, 'write_data', fail)
    with pytest.raises(OSError, match='No space left on device') as error:
        write_tensors(dict(weight=torch.ones(2)), tmp_path / 'iter_2.shards')
    assert str(tmp_path / 'iter_2.shards') in str(error.value)
    assert 'MB free' in str(error.value)


class Call:
    """Object whose pickle calls a function when it is loaded."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return (os.mkdir, (str(self.folder / 'called'),))


def test_metadata_that_call_a_function_are_refused(tmp_path):
    run = make_run(tmp_path / 'run')
    path = save(run, 2)
    file = shards_folder(path) / '.metadata'
    file.write_bytes(pickle.dumps(Call(tmp_path)))
    head = torch.load(path, weights_only=True)
    head[SHARDS]['.metadata'] = [file.stat().st_size, sharded_checkpoint.sha256_of(file)]
    save_atomically(head, path)
    with pytest.raises(ValueError, match='mkdir, which is not allowed') as error:
        load_checkpoint_file(path)
    assert '\n' not in str(error.value)
    assert not (tmp_path / 'called').exists()
    with pytest.raises(ValueError, match='its list of files is a int'):
        verify_shards(path, 5)


def test_enums_are_read_as_earlier_pythons_write_them(tmp_path, monkeypatch):
    """Python 3.11.2 of Debian writes a member as ``getattr(class, name)``."""
    run = make_run(tmp_path / 'run')

    def reduce(member, protocol):
        return getattr, (type(member), member.name)

    monkeypatch.setattr(dcp.metadata._MEM_FORMAT_ENCODING, '__reduce_ex__', reduce)
    path = save(run, 2)
    assert b'getattr' in (shards_folder(path) / '.metadata').read_bytes()
    loaded = load_checkpoint_file(path)['state_dict']['weight']
    assert torch.equal(loaded, content(run, 2)['state_dict']['weight'])


class Attribute:
    """Object whose pickle takes a method of a class that is no enum."""

    def __reduce__(self):
        return (getattr, (torch.Size, 'count'))


def test_getattr_reads_members_of_enums_alone():
    file = io.BytesIO(pickle.dumps(Attribute()))
    with pytest.raises(pickle.UnpicklingError, match='attribute count'):
        sharded_checkpoint._MetadataUnpickler(file).load()


def test_conversion_of_a_damaged_checkpoint_writes_nothing(tmp_path):
    run = make_run(tmp_path / 'run')
    path = save(run, 2)
    truncate(shards_folder(path) / PIECES, run)
    with pytest.raises(ValueError, match=PIECES):
        convert_checkpoint.main([str(path), str(tmp_path / 'whole.pth')])
    assert not (tmp_path / 'whole.pth').exists()


def test_what_the_disk_returns_is_compared_with_what_was_written(tmp_path, monkeypatch):
    finish = dcp.FileSystemWriter.finish
    folder = tmp_path / 'iter_2.shards'

    def damage(writer, **kwargs):
        flip_bit(folder / PIECES, None)
        finish(writer, **kwargs)

    monkeypatch.setattr(dcp.FileSystemWriter, 'finish', damage)
    tensors = dict(weight=torch.ones(50))
    with pytest.raises(OSError, match='what was written cannot be read again') as error:
        write_tensors(tensors, folder)
    assert str(folder / PIECES) in str(error.value)
    # Left out with ``verify=False``; a resume finds it.
    files = write_tensors(tensors, folder, verify=False)
    with pytest.raises(ValueError, match='is damaged in'):
        verify_shards(tmp_path / 'iter_2.pth', files)
