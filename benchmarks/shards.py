"""Images per second of shards from a local web server against a local pack, one thread each.

    python -m benchmarks.shards --image IMAGE --depth DEPTH [--frames 48] [--rounds 5]

Writes a data set of copies of one frame, its pack and its shards, and goes through the training
pipeline of a data set config. Rounds take turns:

- ``pack``: the pack on the disk, in the memory of the system as files just written are.
- ``cold pack``: the same, read from the disk, as data larger than the memory are.
- ``fetched``: shards from a server in another process, into an empty cache; with the time of
  fetching, hashing and writing them.
- ``hashed``: as ``fetched``, and the SHA-256 of every shard is compared.
- ``cached``: the same shards of the round before a second time.

Processor time is that of all threads of the measuring process, which other processes of a busy
machine disturb less than the wall clock. The server is not counted: it stands for another machine.
"""

import argparse
import functools
import json
import multiprocessing
import os
import shutil
import statistics
import tempfile
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import torch

from depth.data_tools.pack_writer import write_pack
from depth.data_tools.shard_writer import write_shards
from depth.datasets import FolderDepthDataset, ResumableInfiniteSampler, ShardDataset, ShardSampler
from depth.datasets.workers import KEPT_MEMORY
from depth.engine.config import load_config
from depth.freed_memory import keep_freed_memory


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--image', type=Path, required=True, help='image of the frame')
    parser.add_argument('--depth', type=Path, required=True, help='its depth, 16-bit PNG')
    parser.add_argument('--depth-scale', type=float, default=256.0, help='integers per metre')
    parser.add_argument('--max-depth', type=float, default=80.0, help='metres')
    parser.add_argument(
        '--config',
        default='configs/_base_/datasets/kitti_eigen.py',
        help='data set config whose training pipeline is measured',
    )
    parser.add_argument('--frames', type=int, default=48, help='copies of the frame')
    parser.add_argument('--shard-mb', type=int, default=8, help='size of a shard')
    parser.add_argument(
        '--lanes', type=int, default=2, help='shards read side by side; 2 are the images of a step'
    )
    parser.add_argument('--rounds', type=int, default=5, help='passes of each kind')
    return parser


def main(argv: list[str] | None = None) -> None:
    """Measure and print."""
    args = build_parser().parse_args(argv)
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    keep_freed_memory(KEPT_MEMORY)
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


def measure(args: argparse.Namespace, folder: Path) -> None:
    """Write the data, measure in turns and print medians and ratios."""
    for number in range(args.frames):
        for name, source in (('images', args.image), ('depth', args.depth)):
            path = folder / 'data' / name / f'{number:04d}{source.suffix}'
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
    pipeline = load_config(args.config).train_dataloader.dataset.pipeline
    options = dict(depth_scale=args.depth_scale, max_depth=args.max_depth, pipeline=pipeline)
    files = FolderDepthDataset(str(folder / 'data'), **options)
    write_pack(files, folder / 'pack')
    index = write_shards(files, folder / 'shards', args.shard_mb << 20)
    packed = FolderDepthDataset(str(folder / 'data'), pack=str(folder / 'pack'), **options)
    size = sum(shard.size for shard in index.shards)
    print(f'{args.frames} frames, {size / 1e6:.1f} MB in {len(index.shards)} shards')

    ports: multiprocessing.Queue = multiprocessing.Queue()
    server = multiprocessing.Process(target=serve, args=(folder / 'shards', ports), daemon=True)
    server.start()
    cache = folder / 'cache'
    address = f'http://127.0.0.1:{ports.get()}'
    remote = dict(pipeline=pipeline, cache_dir=str(cache))
    sharded = ShardDataset(address, **remote)
    hashed = ShardDataset(address, check_hash=True, **remote)
    runs = {'pack': packed, 'cold pack': packed} | dict(
        hashed=hashed, fetched=sharded, cached=sharded
    )
    times = {name: [] for name in runs}
    for number in range(args.rounds + 1):
        for name, dataset in runs.items():
            if name in ('fetched', 'hashed'):
                shutil.rmtree(cache, ignore_errors=True)
            if dataset is packed:
                sampler = ResumableInfiniteSampler(dataset, batch_size=2, seed=number)
            else:
                sampler = ShardSampler(dataset, batch_size=2, lanes=args.lanes, seed=number)
            if name == 'cold pack':
                forget(folder / 'pack')
            # A round on data that are new to the process, but for the pack, whose index is read.
            sharded._tables.clear()
            hashed._tables.clear()
            elapsed = one_pass(dataset, sampler)
            if number:  # the first round warms up
                times[name].append(elapsed)
    server.terminate()
    print(json.dumps(summary(times, args.frames), indent=1))


def forget(folder: Path) -> None:
    """Drop the files of a folder from the memory of the system."""
    for path in folder.iterdir():
        with path.open('rb') as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def one_pass(dataset: FolderDepthDataset | ShardDataset, sampler: ResumableInfiniteSampler) -> dict:
    """Return wall and processor time of one pass through a data set, seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _, number in zip(range(len(dataset)), sampler, strict=False):
        dataset[number]
    return dict(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu)


def summary(times: dict[str, list[dict]], frames: int) -> dict:
    """Return median images per second and the median ratio to the pack, by clock."""
    table = {}
    for name, rounds in times.items():
        table[name] = {}
        for clock in ('cpu', 'wall'):
            ratios = []
            for own, pack in zip(rounds, times['pack'], strict=True):
                ratios.append(pack[clock] / own[clock])
            median = statistics.median(elapsed[clock] for elapsed in rounds)
            table[name][f'images_per_second_{clock}'] = round(frames / median, 1)
            table[name][f'ratio_{clock}'] = round(statistics.median(ratios), 3)
    return table


def serve(folder: Path, ports: multiprocessing.Queue) -> None:
    """Serve a folder until the process is ended."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            """Write nothing."""

    handler = functools.partial(Handler, directory=str(folder))
    httpd = ThreadingHTTPServer(('127.0.0.1', 0), handler)
    ports.put(httpd.server_address[1])
    httpd.serve_forever()


if __name__ == '__main__':
    main()
