import os
import subprocess
import sys

import pytest

from depth.atomic_write import atomic_open, remove_leftovers, write_atomically


def test_content_appears_complete_with_missing_folders(tmp_path):
    write_atomically(tmp_path / 'new' / 'a.txt', 'depth in metres: ½')
    assert (tmp_path / 'new' / 'a.txt').read_text(encoding='utf-8') == 'depth in metres: ½'
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['a.txt']


def test_a_failure_inside_the_block_keeps_the_old_file(tmp_path):
    path = tmp_path / 'a.bin'
    path.write_bytes(b'old')
    with pytest.raises(KeyboardInterrupt), atomic_open(path) as file:
        file.write(b'half')
        raise KeyboardInterrupt
    assert path.read_bytes() == b'old'
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_with_path_and_free_space(tmp_path):
    path = tmp_path / 'a.bin'
    with (
        pytest.raises(OSError, match=r'a\.bin could not be written: No space left.* MB free'),
        atomic_open(path),
    ):
        raise OSError(28, 'No space left on device')
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    ended = subprocess.run(
        [sys.executable, '-c', 'import os; print(os.getpid())'], capture_output=True, text=True
    )
    killed = tmp_path / f'.iter_2.pth.{ended.stdout.strip()}.tmp'
    killed.write_bytes(b'half')
    (tmp_path / 'iter_1.pth').write_bytes(b'whole')
    assert remove_leftovers(tmp_path) == [killed]
    assert [path.name for path in tmp_path.iterdir()] == ['iter_1.pth']


def test_what_a_running_process_writes_stays(tmp_path):
    (tmp_path / f'.iter_2.pth.{os.getpid()}.tmp').write_bytes(b'half')
    assert remove_leftovers(tmp_path) == []
    assert len(list(tmp_path.iterdir())) == 1


def test_the_longest_name_of_a_file_system_is_written(tmp_path):
    write_atomically(tmp_path / ('x' * 251 + '.txt'), 'text')
    assert len(list(tmp_path.iterdir())) == 1


def test_two_long_names_of_one_beginning_may_be_written_at_once(tmp_path):
    with (
        atomic_open(tmp_path / ('x' * 250 + '.png'), 'w') as image,
        atomic_open(tmp_path / ('x' * 250 + '.json'), 'w') as side_car,
    ):
        image.write('image')
        side_car.write('side-car')
    assert (tmp_path / ('x' * 250 + '.png')).read_text() == 'image'
    assert (tmp_path / ('x' * 250 + '.json')).read_text() == 'side-car'


def test_only_a_file_that_can_be_made_again_does_not_wait_for_the_disk(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, 'fsync', synced.append)
    with atomic_open(tmp_path / 'cache.bin', durable=False) as file:
        file.write(b'content')
    assert not synced
    assert (tmp_path / 'cache.bin').read_bytes() == b'content'
    write_atomically(tmp_path / 'a.bin', b'content')
    assert len(synced) == 1
