import hashlib
import io
import tarfile
import zipfile

import numpy as np
import pytest

from depth.data_tools.prepare import download as module
from depth.data_tools.prepare.download import download, remote_size
from depth.data_tools.prepare.unpack import is_unpacked, unpack

CONTENT = np.random.RandomState(0).bytes(300_000)
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def file(server, monkeypatch):
    monkeypatch.setattr(module, 'CHUNK', 16_384)
    server.files['/a.bin'] = CONTENT
    return server.url('a.bin')


def fetch(url, path, **kwargs):
    return download(url, path, **dict(wait=0.001, timeout=5) | kwargs)


def test_a_file_is_fetched_checked_and_told_about(file, server, tmp_path):
    reports = []
    path = fetch(
        file,
        tmp_path / 'sub/a.bin',
        sha256=SHA,
        size=len(CONTENT),
        progress=lambda *args: reports.append(args),
    )
    assert path.read_bytes() == CONTENT
    assert reports[-1] == (len(CONTENT), len(CONTENT))
    assert [item.name for item in path.parent.iterdir()] == ['a.bin']
    fetch(file, path, sha256=SHA)
    assert len(server.requests) == 1  # what is there is not fetched again
    assert remote_size(file) == len(CONTENT)
    assert remote_size(server.url('nothing')) is None


def test_a_broken_connection_is_continued_where_it_broke(file, server, tmp_path):
    server.break_after, server.breaks = 100_000, 2
    path = fetch(file, tmp_path / 'a.bin', sha256=SHA)
    assert path.read_bytes() == CONTENT
    assert server.gets() == [None, 'bytes=100000-', 'bytes=200000-']


def test_another_run_continues_too(file, server, tmp_path):
    server.break_after, server.breaks = 0, 1000  # from now on not a byte comes
    (tmp_path / 'a.bin.part').write_bytes(CONTENT[:123_456])
    with pytest.raises(
        ConnectionError, match=r'123456 bytes are kept .* running the same command continues'
    ):
        fetch(file, tmp_path / 'a.bin', retries=2)
    assert len(server.gets()) == 3
    assert not (tmp_path / 'a.bin').exists()
    server.breaks = 0
    assert fetch(file, tmp_path / 'a.bin', sha256=SHA).read_bytes() == CONTENT
    assert server.gets()[-1] == 'bytes=123456-'


def test_a_server_that_cannot_continue_sends_all_of_it(file, server, tmp_path):
    server.ranges = False
    (tmp_path / 'a.bin.part').write_bytes(b'x' * 1000)
    assert fetch(file, tmp_path / 'a.bin', sha256=SHA).read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_starts_over(file, server, tmp_path):
    server.break_after, server.breaks = 100_000, 1
    with pytest.raises(ConnectionError):
        fetch(file, tmp_path / 'a.bin', retries=0)
    changed = CONTENT[::-1]
    server.files['/a.bin'], server.tag = changed, '"2"'
    assert fetch(file, tmp_path / 'a.bin').read_bytes() == changed


def test_a_part_that_is_complete_is_taken(file, server, tmp_path):
    (tmp_path / 'a.bin.part').write_bytes(CONTENT)
    assert fetch(file, tmp_path / 'a.bin', sha256=SHA).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_starts_over(file, server, tmp_path):
    (tmp_path / 'a.bin.part').write_bytes(CONTENT + b'more')
    assert fetch(file, tmp_path / 'a.bin', sha256=SHA).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_not_kept(file, tmp_path):
    with pytest.raises(ValueError, match=rf'SHA-256 {SHA}, expected {"0" * 64}'):
        fetch(file, tmp_path / 'a.bin', sha256='0' * 64)
    assert not list(tmp_path.iterdir())
    (tmp_path / 'a.bin').write_bytes(b'something else')
    with pytest.raises(ValueError, match='damaged or another version'):
        fetch(file, tmp_path / 'a.bin', sha256=SHA)


def test_a_wrong_size_is_refused(file, tmp_path):
    with pytest.raises(ValueError, match=r'has 300000 bytes, expected 5'):
        fetch(file, tmp_path / 'a.bin', size=5)


def test_a_missing_file_is_not_tried_again(server, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'answers 404 .* by hand'):
        fetch(server.url('nothing.zip'), tmp_path / 'x')
    assert len(server.requests) == 1


def test_no_server_at_all(tmp_path):
    with pytest.raises(ConnectionError, match='broke 2 times'):
        fetch('http://127.0.0.1:9/a', tmp_path / 'a', retries=1)


def make_zip(path, members):
    with zipfile.ZipFile(path, 'w') as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def make_tar(path, members, mode='w:gz'):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


MEMBERS = {'top/a.png': b'a' * 5000, 'top/sub/b.png': CONTENT[:50_000], 'top/readme.txt': b'text'}


def without_top(name):
    return name.removeprefix('top/') if name.endswith('.png') else None


@pytest.mark.parametrize('kind', ['zip', 'tar', 'tar.gz'])
def test_members_go_where_they_belong(tmp_path, kind):
    path = tmp_path / f'x.{kind}'
    if kind == 'zip':
        make_zip(path, MEMBERS)
    else:
        make_tar(path, MEMBERS, 'w' if kind == 'tar' else 'w:gz')
    assert unpack(path, tmp_path / 'root', without_top) == 2
    assert (tmp_path / 'root/sub/b.png').read_bytes() == CONTENT[:50_000]
    assert not (tmp_path / 'root/readme.txt').exists()
    assert is_unpacked(tmp_path / 'root', path.name)


@pytest.mark.parametrize(
    (
        'kind',
        'damage',
    ),  # a plain tar has no sums of its contents; its size is checked when it is fetched
    [('zip', 'cut'), ('tar', 'cut'), ('tar.gz', 'cut'), ('zip', 'flip'), ('tar.gz', 'flip')],
)
def test_a_damaged_archive_is_found(tmp_path, kind, damage):
    path = tmp_path / f'x.{kind}'
    if kind == 'zip':
        make_zip(path, MEMBERS)
    else:
        make_tar(path, MEMBERS, 'w' if kind == 'tar' else 'w:gz')
    content = bytearray(path.read_bytes())
    if damage == 'cut':
        content = content[: len(content) // 2]
    else:
        content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match='fetch it again'):
        unpack(path, tmp_path / 'root', without_top)
    assert not is_unpacked(tmp_path / 'root', path.name)


def test_an_archive_cannot_write_elsewhere(tmp_path):
    path = make_zip(tmp_path / 'x.zip', {'../../evil.png': b'x'})
    with pytest.raises(ValueError, match='outside of'):
        unpack(path, tmp_path / 'root', lambda name: name)
    assert not list(tmp_path.rglob('evil.png'))


def test_the_wrong_archive_is_told(tmp_path):
    with pytest.raises(ValueError, match='is it the right archive'):
        unpack(make_zip(tmp_path / 'x.zip', {'a.txt': b''}), tmp_path / 'root', without_top)
    (tmp_path / 'x.rar').write_bytes(b'Rar!')
    with pytest.raises(ValueError, match='no readable zip or tar'):
        unpack(tmp_path / 'x.rar', tmp_path / 'root', without_top)
