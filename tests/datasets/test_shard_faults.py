"""Faults of servers, disks and shards lose no sample, or are named, and skipped only on request."""

import errno
import multiprocessing
import os
import threading
import time

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from depth.atomic_write import WriteError
from depth.data_tools.shard_writer import write_shards
from depth.datasets import (
    MixedDepthDataset,
    SampleIndex,
    ShardDataset,
    ShardSampler,
    SyntheticDataset,
)
from depth.datasets.shard_cache import ShardCache
from depth.datasets.shard_http import HttpBody
from depth.datasets.shard_sampler import choose_few_shards
from depth.datasets.shard_store import FsspecStore, open_store, public_name
from depth.datasets.shards import DamagedShardError, ShardError
from tests.datasets.shard_server import serve

pytest.importorskip('zstandard', reason='shards need zstandard')
PIPELINE = [dict(type='RandomFlip', prob=0.5), dict(type='PackDepthInputs')]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Five shards of a data set of nine scenes."""
    folder = tmp_path_factory.mktemp('shards') / 'rooms'
    write_shards(SyntheticDataset(num_scenes=9, image_size=(24, 32)), folder, shard_size=29000)
    return folder


def remote(server, tmp_path, **options):
    quick = dict(retry_wait=0.001, timeout=0.3, cache_dir=str(tmp_path / 'cache'))
    return ShardDataset(server.url, pipeline=PIPELINE, **(quick | options))


def samples(dataset):
    return [dataset[SampleIndex(index, (0, index))] for index in range(len(dataset))]


def assert_equal(actual, expected):
    assert len(actual) == len(expected) > 0
    for ours, theirs in zip(actual, expected, strict=True):
        assert torch.equal(ours['inputs'], theirs['inputs'])
        assert torch.equal(ours['data_samples'].gt_depth, theirs['data_samples'].gt_depth)
        assert ours['data_samples'].metainfo == theirs['data_samples'].metainfo


@pytest.mark.parametrize(
    'faults',
    [
        ['break'] * 4,
        ['short', 'short', 'long'],
        ['zeros', 'zeros'],
        ['stall'],
        ['error', 'missing', 'error'],
        ['break', 'elsewhere', 'break'],
        ['break', 'zeros', 'long', 'error', 'short'],
    ],
    ids='-'.join,
)
@pytest.mark.parametrize(('ranges', 'check_hash'), [(True, False), (False, True), (True, True)])
def test_a_faulty_server_loses_nothing(folder, tmp_path, faults, ranges, check_hash):
    expected = samples(ShardDataset(str(folder), pipeline=PIPELINE))
    with serve(folder) as server:
        server.ranges = ranges
        server.faults = list(faults)
        dataset = remote(server, tmp_path, check_hash=check_hash)
        assert_equal(samples(dataset), expected)
        assert not server.faults
        asked = len(server.gets())
        assert_equal(samples(remote(server, tmp_path)), expected)
        assert len(server.gets()) == asked  # all of it from the cache


def test_a_broken_transfer_continues_where_it_was(folder, tmp_path):
    with serve(folder) as server:
        dataset = remote(server, tmp_path)
        server.faults = ['break', 'break']
        dataset[0]
    half = dataset.shards[0].size // 2
    spans = [span for _, span in server.gets()]
    assert spans == [None, f'bytes={half}-', f'bytes={half + half // 2}-']


def test_a_faulty_index_is_read_again(folder, tmp_path):
    with serve(folder) as server:
        server.on_index = True
        server.faults = ['short', 'break', 'zeros', 'error', 'stall']
        assert len(remote(server, tmp_path)) == 9
        server.faults = ['missing'] * 3
        with pytest.raises(ShardError, match=r'shards\.json could not be read in 3 attempts.*404'):
            remote(server, tmp_path, retries=2)


def test_a_connection_that_drips_is_ended():
    class Drip:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def read1(self, size):
            time.sleep(0.02)
            return b'x'

    begin = time.monotonic()
    with pytest.raises(Exception, match=r'only \d bytes came in 0\.1 s'):
        list(HttpBody(Drip(), timeout=0.1))
    assert time.monotonic() - begin < 2


def test_attempts_wait_longer_each_time_and_progress_does_not_count(folder, monkeypatch):
    pauses = []
    monkeypatch.setattr('depth.datasets.shard_store.time.sleep', pauses.append)
    with serve(folder) as server:
        store = open_store(server.url, wait=1.0, retries=7)
        server.on_index = True
        server.faults = ['error'] * 7
        store.read('shards.json', 1 << 20, len)
        assert len(pauses) == 7
        for number, pause in enumerate(pauses):
            longest = min(2.0**number, 60.0)
            assert longest / 2 <= pause <= longest
        monkeypatch.setattr('depth.datasets.shard_store.PROGRESS', 1)
        shard = ShardDataset(str(folder)).shards[0]
        store.retries, server.faults = 1, ['break'] * 6
        with (folder.parent / 'copy').open('wb') as file:
            store.fetch(shard, file)
    assert (folder.parent / 'copy').read_bytes() == (folder / shard.name).read_bytes()


def test_missing_shards_are_named_and_given_up_only_on_request(folder, tmp_path, caplog):
    expected = samples(ShardDataset(str(folder), pipeline=PIPELINE))
    broken = tmp_path / 'broken'
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / 'shard-000001.tar').unlink()
    damaged = bytearray((broken / 'shard-000003.tar').read_bytes())
    damaged[-11000:-10500] = bytes(500)
    (broken / 'shard-000003.tar').write_bytes(damaged)
    with serve(broken) as server:
        strict = remote(server, tmp_path, retries=1)
        with pytest.raises(ShardError, match=r'shard-000001\.tar could not be read in 2 attempts'):
            samples(strict)
        for source in (server.url, str(broken)):
            dataset = ShardDataset(
                source,
                pipeline=PIPELINE,
                cache_dir=str(tmp_path / 'cache'),
                retries=1,
                retry_wait=0.001,
                max_bad_shards=2,
            )
            actual = samples(dataset)
            names = [name.rpartition('/')[2] for name in dataset.bad_shards]
            if source == server.url:
                # The hash of the index finds any damage, whatever sample it is in.
                assert names == ['shard-000001.tar', 'shard-000003.tar']
                assert dataset.replaced_samples == 4
                good = [0, 1, 4, 5, 8]
                stand_ins = {2: 4, 3: 5, 6: 8, 7: 8}
                assert_equal([actual[index] for index in good], [expected[i] for i in good])
                for index, other in stand_ins.items():
                    scene = expected[other]['data_samples'].img_path
                    assert actual[index]['data_samples'].img_path == scene
                # What is known to be bad is not asked for again.
                asked = len(server.gets())
                dataset[2]
                assert len(server.gets()) == asked
            else:
                assert 'shard-000001.tar' in names
    dataset = ShardDataset(
        str(broken), pipeline=PIPELINE, retries=0, max_bad_shards=1, retry_wait=0
    )
    (broken / 'shard-000000.tar').unlink()
    with pytest.raises(ShardError, match='2 of 5 shards are bad, max_bad_shards allows 1'):
        samples(dataset)


def test_loader_workers_count_for_the_training_process(folder, tmp_path):
    broken = tmp_path / 'broken'
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / 'shard-000002.tar').write_bytes(b'')
    dataset = ShardDataset(
        str(broken), pipeline=PIPELINE, retries=0, retry_wait=0, max_bad_shards=1
    )
    loader = DataLoader(dataset, 1, num_workers=2, collate_fn=list)
    assert len(list(loader)) == 9
    assert dataset.replaced_samples == 2
    assert [name.rpartition('/')[2] for name in dataset.bad_shards] == ['shard-000002.tar']


def test_a_test_set_gives_up_nothing(folder):
    with pytest.raises(ValueError, match='a score needs every sample'):
        ShardDataset(str(folder), max_bad_shards=1, test_mode=True)


def test_a_damaged_file_of_the_cache_is_fetched_again(folder, tmp_path):
    expected = samples(ShardDataset(str(folder), pipeline=PIPELINE))
    with serve(folder) as server:
        dataset = remote(server, tmp_path)
        dataset[0]
        path = dataset.cache.path(dataset.shards[0].sha256)
        content = bytearray(path.read_bytes())
        content[600:700] = bytes(100)
        path.write_bytes(content)
        assert_equal(samples(dataset), expected)
        path.write_bytes(content[:100])  # as after a loss of power
        assert_equal(samples(dataset), expected)
        assert len(server.gets()) == 7


def test_the_cache_keeps_its_limit_and_removes_what_was_not_used_for_longest(folder, tmp_path):
    with serve(folder) as server:
        dataset = remote(server, tmp_path)
        sizes = [shard.size for shard in dataset.shards]
        dataset.cache.limit = sum(sizes[:3])
        cached = dataset.cache.folder.glob

        def names():
            numbers = {shard.sha256: number for number, shard in enumerate(dataset.shards)}
            return sorted(numbers[path.stem] for path in cached('*.tar'))

        for index in (0, 2, 4):  # the shards 0, 1 and 2
            dataset[index]
            time.sleep(0.01)
        dataset[0]
        dataset[6]
        assert names() == [0, 2, 3]
        dataset[0], dataset[8]
        assert 0 in names() and sum(path.stat().st_size for path in cached('*.tar')) <= sum(sizes)
        assert len(server.gets()) == 5
        with pytest.raises(ValueError, match=r'cache_gb=1e-05 must hold at least two shards'):
            remote(server, tmp_path, cache_gb=1e-5)


def test_transfers_wait_for_room_instead_of_exceeding_the_limit(tmp_path):
    cache = ShardCache(tmp_path, 250)
    most = []

    def fetch(file):
        sizes = [path.stat().st_size for path in tmp_path.iterdir()]
        most.append(sum(sizes))
        time.sleep(0.02)
        file.write(b'x' * 100)

    def read(number):
        os.close(cache.open(f'{number:064x}', 100, fetch))

    threads = [threading.Thread(target=read, args=(number << 248,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(5)
    assert len(most) == 6 and max(most) <= 250
    with pytest.raises(ValueError, match='does not fit into the cache'):
        cache.open('f' * 64, 251, fetch)


def _read_all(url, folder, results):
    dataset = ShardDataset(url, pipeline=PIPELINE, cache_dir=folder, retry_wait=0.001)
    total = sum(int(sample['inputs'].sum()) for sample in samples(dataset))
    results.put(total)


def test_processes_share_the_cache_and_fetch_each_shard_once(folder, tmp_path):
    context = multiprocessing.get_context('fork')
    results = context.SimpleQueue()
    (tmp_path / 'cache').mkdir()
    # Of a process that was killed while it wrote.
    leftover = tmp_path / 'cache' / f'.{"0" * 64}.tar.4194305.tmp'
    leftover.write_bytes(b'half')
    with serve(folder) as server:
        arguments = (server.url, str(tmp_path / 'cache'), results)
        processes = [context.Process(target=_read_all, args=arguments) for _ in range(3)]
        for process in processes:
            process.start()
        totals = {results.get() for _ in processes}
        for process in processes:
            process.join(5)
        assert len(server.gets()) == 5
    local = samples(ShardDataset(str(folder), pipeline=PIPELINE))
    assert totals == {sum(int(sample['inputs'].sum()) for sample in local)}
    assert not leftover.exists()


def test_a_full_disk_is_not_taken_for_a_bad_shard(folder, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, 'No space left on device')

    with serve(folder) as server:
        dataset = remote(server, tmp_path, max_bad_shards=4)
        monkeypatch.setattr('depth.datasets.shard_cache.os.ftruncate', full)
        with pytest.raises(WriteError, match=r'could not be written: No space left'):
            dataset[0]
    assert dataset.bad_shards == []


def test_the_sampler_fetches_ahead(folder, tmp_path):
    with serve(folder) as server:
        dataset = remote(server, tmp_path)
        iterator = iter(ShardSampler(dataset, batch_size=1, lanes=1, ahead=2, shuffle=False))
        next(iterator)  # positions 0 to 3 are planned: the shards 0 and 1
        deadline = time.monotonic() + 5
        while len(list((tmp_path / 'cache').glob('*.tar'))) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        names = {name for name, _ in server.gets()}
        assert names == {'shard-000000.tar', 'shard-000001.tar'}


def test_an_object_store_through_fsspec(folder, tmp_path, monkeypatch):
    fsspec = pytest.importorskip('fsspec')
    memory = fsspec.filesystem('memory')
    for path in folder.iterdir():
        memory.pipe_file(f'/bucket/rooms/{path.name}', path.read_bytes())
    options = dict(cache_dir=str(tmp_path / 'cache'), retry_wait=0.001, timeout=0.2)
    monkeypatch.setattr('depth.datasets.shard_store.RANGE', 7000)  # several ranges a shard
    expected = samples(ShardDataset(str(folder), pipeline=PIPELINE))
    dataset = ShardDataset('memory://bucket/rooms', pipeline=PIPELINE, **options)
    file_system = dataset.store._file_system()[0]
    original, faults = file_system.cat_file, ['error', 'stall', 'short', 'zeros', 'error']

    def cat_file(path, start=None, end=None):
        content = original(path, start=start, end=end)
        fault = faults.pop() if faults and start else ''
        if fault == 'error':
            raise RuntimeError('an error of the library')
        if fault == 'stall':
            time.sleep(0.5)
        if fault == 'zeros':
            return bytes(len(content))
        return content[:10] if fault == 'short' else content

    monkeypatch.setattr(file_system, 'cat_file', cat_file)
    assert_equal(samples(dataset), expected)
    assert not faults
    memory.rm('/bucket/rooms/shard-000001.tar')
    dataset.cache.discard(dataset.shards[1].sha256)
    with pytest.raises(ShardError, match=r'memory://bucket/rooms/shard-000001\.tar could not be'):
        dataset[2]


def test_addresses_are_shown_without_secrets_and_options_are_checked():
    assert public_name('https://me:secret@host:8/a?sig=1') == 'https://host:8/a'
    assert public_name('/data/shards') == '/data/shards'
    store = open_store('http://host/a/', dict(headers=dict(Authorization='Bearer x')))
    assert store.headers['Authorization'] == 'Bearer x'
    with pytest.raises(ValueError, match=r"headers alone, got \['anon'\]"):
        open_store('http://host/a', dict(anon=True))
    with pytest.raises(ValueError, match='timeout > 0'):
        open_store('http://host/a', timeout=0)
    with pytest.raises(ValueError, match='nowhere'):
        open_store('nowhere://bucket/a')
    assert issubclass(DamagedShardError, ShardError) and issubclass(ShardError, ValueError)
    assert FsspecStore.is_local is False
    np.testing.assert_equal(len(public_name('s3://bucket/a/b')), 15)


def test_a_measurement_on_some_samples_fetches_few_shards(folder, tmp_path):
    with serve(folder) as server:
        dataset = remote(server, tmp_path)
        spread = np.arange(len(dataset))
        chosen = choose_few_shards(dataset, spread, num_shards=2)
        assert len({dataset.locate(index)[0] for index in chosen}) == 2
        for index in chosen:
            dataset[SampleIndex(int(index), (0, int(index)))]
        assert len(server.gets()) == 2
        # Of a mixture each set gives its own; a local set is read in place.
        local = ShardDataset(str(folder), pipeline=PIPELINE)
        mixture = MixedDepthDataset([local, dataset])
        every = np.arange(len(mixture))
        chosen = choose_few_shards(mixture, every, num_shards=2)
        assert chosen[: len(local)].tolist() == list(range(len(local)))
        numbers = chosen[len(local) :] - len(local)
        assert len(numbers)
        assert len({dataset.locate(index)[0] for index in numbers}) == 1
    assert choose_few_shards(local, spread, num_shards=2).tolist() == spread.tolist()


@pytest.mark.skipif(not hasattr(os, 'splice'), reason='the kernel moves no data between files')
@pytest.mark.parametrize('is_refused', [False, True])
def test_the_kernel_moves_a_transfer_or_the_process_copies_it(
    is_refused, folder, tmp_path, monkeypatch
):
    moves, splice = [], os.splice

    def move(source, target, count):
        if os.path.realpath(f'/proc/self/fd/{target}').endswith('copy'):
            moves.append(count)
            if is_refused:  # as some file systems do
                raise OSError(errno.EINVAL, 'Invalid argument')
        return splice(source, target, count)

    monkeypatch.setattr(os, 'splice', move)
    shard = ShardDataset(str(folder)).shards[0]
    with serve(folder) as server:
        for faults in ([], ['break'], ['short'], ['long']):
            server.faults = list(faults)
            store = open_store(server.url, wait=0.001, timeout=0.3)
            with (tmp_path / 'copy').open('wb') as file:
                store.fetch(shard, file)
            assert (tmp_path / 'copy').read_bytes() == (folder / shard.name).read_bytes()
    assert sum(moves) > 2 * shard.size
