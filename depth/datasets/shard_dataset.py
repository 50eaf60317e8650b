"""Data set of shards, see :mod:`depth.datasets.shards`."""

import functools
import logging
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.logging import print_log
from torch.utils.data import Dataset, get_worker_info

from depth.registry import DATASETS

from .base import build_pipeline, sample_generator
from .shard_cache import ShardCache
from .shard_store import open_store
from .shards import (
    INDEX,
    MAX_INDEX,
    DamagedShardError,
    Shard,
    ShardError,
    parse_index,
    read_members,
    sample_from_members,
    scan_shard,
)

OPEN_TABLES = 1024  # shards of which a process remembers where the samples are: 8 bytes a sample
PREFETCHERS = 2  # threads of the training process that fetch shards before they are needed
MAX_WORKERS = 64  # loader processes that count replaced samples each on its own


@DATASETS.register_module()
class ShardDataset(Dataset):
    """Samples of tar shards on a disk, a web server or an object store.

    The samples are those of the data set that wrote the shards, with its name and depth range, so
    that pipelines and evaluators are the same. Shards of a remote store are fetched whole into a
    local cache and read from there.

    It is a map: sample i is the i-th of all shards. A sequence of training is then a function from
    positions to numbers, which :class:`~depth.datasets.ShardSampler` gives, and a resumed run needs
    that position alone, whatever the number of processes and loader workers. The sampler takes care
    that what is read together lies in few shards.

    Args:
        shards: Folder with ``shards.json``: a path, ``http(s)://``, or any address of fsspec such
            as ``s3://bucket/folder``.
        pipeline: Transforms.
        select: Patterns (``'shard-0000*.tar'``) of the shards that belong to this data set; all by
            default. Shards in a mixture get weights of their own as data sets with different
            patterns.
        min_depth: Near end of the depth range in metres, that of the shards by default.
        max_depth: Far end of the depth range in metres, likewise.
        depth_scale: Stored integers per metre, likewise.
        cache_dir: Folder of fetched shards on a local disk; by default ``shards`` in
            ``DEPTH_CACHE`` or ``~/.cache/depth-toolbox``. It may be shared by data sets and by the
            processes of one machine.
        cache_gb: Limit of the cache in GB (1e9 bytes); the least recently used shards are removed.
        storage_options: See :func:`~depth.datasets.shard_store.open_store`.
        timeout: Seconds without data that end an attempt to fetch a shard.
        retries: Further attempts, with doubling pauses.
        retry_wait: First pause in seconds.
        check_hash: Compare the SHA-256 of every fetched shard, about 1 ms of processor time a MB.
            Without it damage shows by the checksums of metadata and records when they are read, and
            the shard is fetched again then.
        max_bad_shards: Shards that each process may give up, after all attempts; samples of the
            next shard stand in for theirs. Every shard is named in the log, and
            :class:`~depth.engine.hooks.ShardReportHook` counts them. 0: the first is an error.
        test_mode: For validation and tests, which need every sample: none may be given up.

    Raises:
        FileNotFoundError: If a folder has no index.
        ShardError: If the index cannot be read.
        ValueError: If the index makes no sense, no shard matches, or arguments contradict.
    """

    def __init__(
        self,
        shards: str,
        pipeline: Sequence[dict | Callable] = (),
        select: Sequence[str] | None = None,
        min_depth: float | None = None,
        max_depth: float | None = None,
        depth_scale: float | None = None,
        cache_dir: str | None = None,
        cache_gb: float = 100.0,
        storage_options: dict | None = None,
        timeout: float = 30.0,
        retries: int = 5,
        retry_wait: float = 1.0,
        check_hash: bool = False,
        max_bad_shards: int = 0,
        test_mode: bool = False,
    ) -> None:
        if test_mode and max_bad_shards:
            raise ValueError(
                f'ShardDataset: max_bad_shards={max_bad_shards} with test_mode=True: a score needs '
                'every sample, leave max_bad_shards out'
            )
        self.store = open_store(shards, storage_options, timeout, retries, retry_wait, check_hash)
        source = self.store.name_of(INDEX)
        index = self.store.read(INDEX, MAX_INDEX, functools.partial(parse_index, source=source))
        self.shards = _selected(index.shards, select, source)
        self.shard_counts = np.asarray([shard.samples for shard in self.shards], np.int64)
        # Number of the first sample of each shard, and the number of all.
        self.starts = np.concatenate([[0], np.cumsum(self.shard_counts)])
        self.min_depth = float(index.min_depth if min_depth is None else min_depth)
        self.max_depth = float(index.max_depth if max_depth is None else max_depth)
        # Rendered scenes are stored in metres and have no scale.
        scale = index.depth_scale if depth_scale is None else depth_scale
        self.depth_scale = 1.0 if scale is None else float(scale)
        if not self.depth_scale > 0:
            raise ValueError(
                f'ShardDataset: depth_scale is the number of stored integers per metre, which is '
                f'positive; got {depth_scale!r}'
            )
        self.metainfo = dict(
            dataset_name=index.dataset_name, min_depth=self.min_depth, max_depth=self.max_depth
        )
        self.pipeline = Compose(build_pipeline(pipeline))
        self.test_mode = test_mode
        self.max_bad_shards = int(max_bad_shards)
        self.cache: ShardCache | None = None
        if not self.store.is_local:
            limit = int(cache_gb * 1e9)
            self.cache = ShardCache(_cache_folder(cache_dir), limit)
            largest = max(shard.size for shard in self.shards)
            if limit < 2 * largest:
                raise ValueError(
                    f'ShardDataset: cache_gb={cache_gb:g} must hold at least two shards of '
                    f'{source}, of which the largest has {largest / 1e9:.3g} GB'
                )
        # In shared memory, because loader processes find the bad shards and the training process
        # reports them: 1 for a shard that was given up, and replaced samples by loader process.
        self._bad = torch.zeros(len(self.shards), dtype=torch.uint8).share_memory_()
        self._replaced = torch.zeros(MAX_WORKERS + 1, dtype=torch.int64).share_memory_()
        self._tables: OrderedDict[int, np.ndarray] = OrderedDict()
        self._prefetcher: _Prefetcher | None = None

    def __len__(self) -> int:
        return int(self.starts[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """Return the shard of a sample, and its number in the shard.

        Raises:
            IndexError: If there is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'sample {int(index)} of {len(self)}')
        shard = int(np.searchsorted(self.starts, index, side='right')) - 1
        return shard, int(index - self.starts[shard])

    def __getitem__(self, index: int) -> dict:
        """Return sample ``index`` after the pipeline.

        Raises:
            ShardError: If its shard is missing or damaged and no more may be given up.
        """
        shard, number = self.locate(index)
        while True:
            if self._bad[shard]:
                shard, number = self._replacement(shard, number)
                self._replaced[_worker_number()] += 1
            try:
                return self._load(shard, number, index)
            except ShardError as error:
                self._give_up(shard, error)

    def prefetch(self, indices: np.ndarray) -> None:
        """Begin to fetch the shards of samples that will be asked for; returns at once."""
        if self.cache is None:
            return
        if self._prefetcher is None or self._prefetcher.process != os.getpid():
            self._prefetcher = _Prefetcher(self._fetch)
        shards = np.unique(np.searchsorted(self.starts, indices, side='right') - 1)
        for shard in shards.tolist():
            if not self._bad[shard] and not self.cache.path(self.shards[shard].sha256).exists():
                self._prefetcher.request(shard)

    @property
    def bad_shards(self) -> list[str]:
        """Addresses of the shards that this process and its loader processes have given up."""
        return [self.store.name_of(self.shards[i].name) for i in self._bad.nonzero().flatten()]

    @property
    def replaced_samples(self) -> int:
        """Number of samples of bad shards for which others stood in."""
        return int(self._replaced.sum())

    def _load(self, shard: int, number: int, index: int) -> dict:
        """Return a sample after the pipeline; what is damaged is read, or fetched, again."""
        failures = 0
        while True:
            try:
                return self._process(shard, number, index)
            except DamagedShardError as error:
                failures += 1
                self._tables.pop(shard, None)
                if self.cache is not None:
                    self.cache.discard(self.shards[shard].sha256)
                if failures > self.store.retries:
                    raise
                self.store.pause(str(error), failures)

    def _process(self, shard: int, number: int, index: int) -> dict:
        source = f'{self.store.name_of(self.shards[shard].name)}, sample {number}'
        try:
            sample = sample_from_members(read_members(self._read(shard, number)))
        except DamagedShardError as error:
            raise DamagedShardError(f'{source}: {error}') from error
        sample = self._defaults(source) | sample
        sample['sample_idx'] = int(index)
        sample['rng'] = sample_generator(index)
        return self.pipeline(sample)

    def _defaults(self, source: str) -> dict:
        """Return the keys of all samples, which those of a sample itself replace."""
        return dict(
            depth_scale=self.depth_scale,
            dataset=self.metainfo['dataset_name'],
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            listed_in=source,
        )

    def _read(self, shard: int, number: int) -> bytes:
        """Return the members of a sample as they are in the file."""
        descriptor = self._open(shard)
        try:
            starts = self._starts(shard, descriptor)
            start, end = int(starts[number]), int(starts[number + 1])
            content = os.pread(descriptor, end - start, start)
        except OSError as error:  # of the disk or the network file system
            raise DamagedShardError(
                f'{self.store.name_of(self.shards[shard].name)} cannot be read: {error}'
            ) from error
        finally:
            os.close(descriptor)
        return content

    def _open(self, shard: int) -> int:
        if self.cache is None:
            return self.store.open(self.shards[shard])
        entry = self.shards[shard]
        fetch = functools.partial(self.store.fetch, entry)
        return self.cache.open(entry.sha256, entry.size, fetch)

    def _fetch(self, shard: int) -> None:
        """Put a shard into the cache."""
        os.close(self._open(shard))

    def _starts(self, shard: int, descriptor: int) -> np.ndarray:
        """Return where the samples of a shard begin, and where the last one ends."""
        if shard not in self._tables:
            entry = self.shards[shard]
            table = scan_shard(descriptor, entry, self.store.name_of(entry.name))
            self._tables[shard] = table
            if len(self._tables) > OPEN_TABLES:
                self._tables.popitem(last=False)
        self._tables.move_to_end(shard)
        return self._tables[shard]

    def _give_up(self, shard: int, error: ShardError) -> None:
        """Mark a shard as bad.

        Raises:
            ShardError: If none, or no more, may be given up.
        """
        if not self.max_bad_shards:
            raise error
        self._bad[shard] = 1
        count = int(self._bad.sum())
        if count > self.max_bad_shards or count == len(self.shards):
            raise ShardError(
                f'{count} of {len(self.shards)} shards are bad, max_bad_shards allows '
                f'{min(self.max_bad_shards, len(self.shards) - 1)}; the last one: {error}'
            ) from error
        print_log(
            f'{error}; the shard is given up, samples of the next one stand in for its '
            f'{self.shards[shard].samples} ({count} of {len(self.shards)} shards are bad)',
            logger='current',
            level=logging.WARNING,
        )

    def _replacement(self, shard: int, number: int) -> tuple[int, int]:
        """Return shard and number of the sample that stands in for one of a bad shard."""
        if self._bad.all():
            raise ShardError(f'all shards of {self.store.name_of(INDEX)} are bad')
        while self._bad[shard]:
            shard = (shard + 1) % len(self.shards)
        return shard, number % self.shards[shard].samples

    def __getstate__(self) -> dict:
        # Threads belong to the process that started them.
        return dict(self.__dict__, _prefetcher=None, _tables=OrderedDict())


class _Prefetcher:
    """Threads that fetch shards; what goes wrong is left to the reader, who needs the shard."""

    def __init__(self, fetch: Callable[[int], None]) -> None:
        self.process = os.getpid()
        self.fetch = fetch
        self.pending: set[int] = set()
        self.requests: queue.SimpleQueue = queue.SimpleQueue()
        # Daemons: a process that ends does not wait for a transfer.
        for number in range(PREFETCHERS):
            threading.Thread(target=self._run, name=f'shards-{number}', daemon=True).start()

    def request(self, shard: int) -> None:
        """Fetch a shard soon, unless it is waiting already."""
        if shard not in self.pending:
            self.pending.add(shard)
            self.requests.put(shard)

    def _run(self) -> None:
        while True:
            shard = self.requests.get()
            try:
                self.fetch(shard)
            except (OSError, ValueError) as error:
                print_log(f'prefetching failed: {error}', logger='current', level=logging.DEBUG)
            finally:
                self.pending.discard(shard)


def _selected(shards: Sequence[Shard], patterns: Sequence[str] | None, source: str) -> list[Shard]:
    """Return the shards whose names match a pattern, all without patterns."""
    if patterns is None:
        return list(shards)
    selected = []
    for shard in shards:
        if any(fnmatch(shard.name, pattern) for pattern in patterns):
            selected.append(shard)
    if not selected:
        raise ValueError(
            f'ShardDataset: select={list(patterns)} matches none of the {len(shards)} shards of '
            f'{source}, such as {shards[0].name}'
        )
    return selected


def _cache_folder(cache_dir: str | None) -> Path:
    """Return the folder of fetched shards."""
    if cache_dir:
        return Path(cache_dir).expanduser()
    base = os.environ.get('DEPTH_CACHE')
    if not base:
        home = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
        base = Path(home, 'depth-toolbox')
    return Path(base, 'shards')


def _worker_number() -> int:
    """Return the number of this loader process, from 1; 0 for the training process."""
    worker = get_worker_info()
    return 0 if worker is None else 1 + worker.id % MAX_WORKERS
