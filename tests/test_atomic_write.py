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
    with pytest.raises(OSError, match=r'a\.bin could not be written: No space left.* MB free'), atomic_open(path):
        raise OSError(28, 'No space left on device')
    assert not list(tmp_path.iterdir())


def test_leftovers_of_a_killed_process_are_removed(tmp_path):
    (tmp_path / '.iter_2.pth.123.tmp').write_bytes(b'half')
    (tmp_path / 'iter_1.pth').write_bytes(b'whole')
    assert [path.name for path in remove_leftovers(tmp_path)] == ['.iter_2.pth.123.tmp']
    assert [path.name for path in tmp_path.iterdir()] == ['iter_1.pth']
