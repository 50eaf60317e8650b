"""Loader processes: one thread each, freed memory kept, the published pipeline as the measured baseline."""

import multiprocessing
import resource
import sys

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from benchmarks.published_pipeline import MEAN, STD, published_pipeline
from depth.datasets.transforms import (
    ColorAug,
    KBCrop,
    LoadDepth,
    LoadImage,
    PackDepthInputs,
    RandomCrop,
    RandomFlip,
    RandomRotate,
)
from depth.datasets.workers import prepare_worker
from depth.engine.config import load_config
from depth.freed_memory import keep_freed_memory
from tests.shared import REPO, SAMPLES, needs_samples


class Probe:
    """A data set that tells how its process is set up."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        for _ in range(5):
            np.ones(2_000_000, np.uint8)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            np.ones(2_000_000, np.uint8)
        return (
            cv2.getNumThreads(),
            torch.get_num_threads(),
            resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before,
        )


@pytest.mark.skipif(sys.platform != 'linux', reason='mallopt is of glibc')
def test_a_worker_has_one_thread_and_keeps_its_memory():
    loader = DataLoader(Probe(), num_workers=1, collate_fn=list, worker_init_fn=prepare_worker)
    for ((opencv, threads, faults),) in loader:
        assert opencv <= 1
        assert threads == 1
        assert faults < 500  # 20 arrays of 2 MB are 9800 pages


def count_faults(size, sender):
    """Send the page faults of the second of two equal allocations."""
    keep_freed_memory()
    torch.ones(size, dtype=torch.uint8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(size, dtype=torch.uint8)
    sender.send(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)


@pytest.mark.skipif(sys.platform != 'linux', reason='mallopt is of glibc')
def test_large_blocks_are_kept_on_request():
    context = multiprocessing.get_context('fork')
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=count_faults, args=(100_000_000, sender))
    child.start()
    faults = receiver.recv()
    child.join()
    assert faults < 20  # 100 MB are 24400 pages of 4 kB or 48 of 2 MB


def test_seeding_is_called_too():
    called = []
    before = cv2.getNumThreads(), torch.get_num_threads()
    prepare_worker(3, then=called.append)
    cv2.setNumThreads(before[0])
    torch.set_num_threads(before[1])
    assert called == [3]


@needs_samples
@pytest.mark.parametrize('seed', range(6))
def test_the_pipeline_is_the_published_one_up_to_rounding(seed):
    cfg = load_config(REPO / 'configs/_base_/datasets/kitti_eigen.py')
    frame = dict(
        img_path=str(SAMPLES / 'kitti/image_02/0000000005.png'),
        depth_path=str(SAMPLES / 'kitti/gt_depth/0000000005.png'),
        depth_scale=256.0,
    )
    published = dict(frame, rng=np.random.RandomState(seed))
    for _, step in published_pipeline(cfg.train_pipeline):
        published = step(published)
    ours = dict(frame, rng=np.random.RandomState(seed))
    ranges = ((0.9, 1.1), (0.9, 1.1), (0.9, 1.1))
    chain = [
        KBCrop(),
        RandomRotate(0.5, 2.5),
        RandomFlip(0.5),
        RandomCrop((352, 704)),
        ColorAug(0.5, *ranges),
    ]
    for step in [LoadImage(), LoadDepth(), *chain, PackDepthInputs()]:
        ours = step.transform(ours)
    assert torch.equal(ours['data_samples'].gt_depth, published['gt_depth'][0])
    mean, std = (torch.from_numpy(values)[:, None, None] for values in (MEAN, STD))
    normalized = (ours['inputs'].flip(0).double() - mean) / std
    error = (normalized - published['inputs']).abs() * std
    assert error.max() <= 0.5 + 1e-4  # grey levels
