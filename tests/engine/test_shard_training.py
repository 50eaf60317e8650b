"""Trainings on shards: kill and resume change no bit, and what was given up is counted at the end."""

import os
import re

import pytest
import torch
import torch.distributed as dist

from depth.data_tools.shard_writer import write_shards
from depth.datasets import ShardDataset, ShardSampler, SyntheticDataset
from depth.engine.config import load_config
from depth.engine.runner import build_runner
from depth.registry import DATASETS
from tests.datasets.shard_server import serve
from tests.shared import REPO
from tests.shared_process import SERVER

pytest.importorskip('zstandard', reason='shards need zstandard')
OPTIONS = {
    'model.backbone.model_args': dict(embed_dim=24, depth=4, num_heads=2, drop_path_rate=0.2),
    'model.decode_head.in_channels': (24, 24, 24, 24),
    'model.decode_head.post_process_channels': (8, 8, 8, 8),
    'model.decode_head.channels': 8,
    'train_dataloader.batch_size': 2,
    'train_dataloader.num_workers': 0,
    'val_dataloader.dataset.num_scenes': 2,
    'val_dataloader.dataset.image_size': (32, 32),
    'train_cfg.val_interval': 10,
    'max_iters': 5,
    'default_hooks.checkpoint.interval': 3,
    'default_hooks.visualization.num_images': 0,
    'default_hooks.shard_report': dict(type='ShardReportHook', interval=2),
    'visualizer.vis_backends': [dict(type='LocalVisBackend')],
}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shards') / 'rooms'
    write_shards(SyntheticDataset(num_scenes=7, image_size=(32, 32)), folder, shard_size=34000)
    return folder


def train(work_dir, url, dataset=(), **options):
    cfg = load_config(REPO / 'configs/synthetic/dpt_tiny_rooms.py', OPTIONS | options)
    pipeline = cfg.train_dataloader.dataset.pipeline
    cfg.train_dataloader.dataset = dict(
        type='ShardDataset', shards=url, pipeline=pipeline, max_depth=10.0, **dict(dataset)
    )
    cfg.train_dataloader.sampler = dict(type='ShardSampler', lanes=2)
    cfg.work_dir = str(work_dir)
    cfg.experiment_name = f'shards_{work_dir.name}'
    build_runner(cfg).train()
    return torch.load(work_dir / 'iter_5.pth', weights_only=True)


def test_kill_and_resume_change_no_bit(folder, tmp_path):
    expected = train(tmp_path / 'whole', str(folder))
    checkpoint = str(tmp_path / 'whole/iter_3.pth')  # after 6 of 7 samples, inside a shard
    with serve(folder) as server:
        server.faults = ['break', 'zeros', 'error']
        cache = dict(cache_dir=str(tmp_path / 'cache'), retry_wait=0.001)
        options = {'train_dataloader.num_workers': 1, 'resume': True, 'load_from': checkpoint}
        resumed = train(tmp_path / 'resumed', server.url, cache, **options)
        assert not server.faults
    assert resumed['meta']['training']['samples'] == 10
    start = torch.load(checkpoint, weights_only=True)['state_dict']
    changed = False
    for key, value in expected['state_dict'].items():
        assert torch.equal(resumed['state_dict'][key], value), key
        changed |= not torch.equal(start[key], value)
    assert changed
    for key, moments in expected['optimizer']['state'].items():
        assert torch.equal(resumed['optimizer']['state'][key]['exp_avg'], moments['exp_avg'])
    # With other images a step no sample is left out: 6 and two steps of 4, not 8 and two steps.
    options = {'train_dataloader.batch_size': 4, 'resume': True, 'load_from': checkpoint}
    other = train(tmp_path / 'other', str(folder), **options)
    assert other['meta']['training']['samples'] == 14


def test_what_was_given_up_is_counted_in_the_log_and_at_the_end(folder, tmp_path):
    broken = tmp_path / 'broken'
    broken.mkdir()
    for path in folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / 'shard-000001.tar').unlink()
    train(tmp_path / 'run', str(broken), dict(max_bad_shards=1, retries=0, retry_wait=0))
    (log,) = (tmp_path / 'run').glob('*/*.log')
    text = log.read_text()
    assert 'shard-000001.tar could not be read in 1 attempts: No such file' in text
    assert re.search(r'bad shards: 1, samples replaced so far: \d', text)
    # Two are of the start of the head's bias, which measures all seven samples.
    assert re.search(r'synthetic_rooms: shards given up: 1 .*replaced: [4-6]; .*000001.tar', text)


def _see_order(rank, world_size, folder, results):
    os.environ.update(OMP_NUM_THREADS='1')
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=world_size)
    dataset = DATASETS.build(dict(type='ShardDataset', shards=f'{folder}/rooms'))
    sampler = ShardSampler(dataset, batch_size=4 // world_size, lanes=4)
    loader = torch.utils.data.DataLoader(
        dataset, 4 // world_size, sampler=sampler, num_workers=1, collate_fn=_paths
    )
    batches = []
    for _, batch in zip(range(10), loader, strict=False):
        gathered = [None] * world_size
        dist.all_gather_object(gathered, batch)
        batches.append([path for paths in gathered for path in paths])
    if rank == 0:
        torch.save(batches, results)
    dist.destroy_process_group()


def _paths(samples):
    return [sample['img_path'] for sample in samples]


@pytest.mark.long
def test_two_gloo_processes_see_the_order_of_one(tmp_path):
    scenes = SyntheticDataset(num_scenes=11, image_size=(24, 32))
    write_shards(scenes, tmp_path / 'rooms', shard_size=29000)
    results = tmp_path / 'two.pth'
    processes = [
        SERVER.Process(target=_see_order, args=(rank, 2, str(tmp_path), str(results)))
        for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(100)
        assert process.exitcode == 0
    dataset = ShardDataset(str(tmp_path / 'rooms'))
    order = iter(ShardSampler(dataset, batch_size=4, lanes=4))
    expected = []
    for _ in range(10):
        expected.append([dataset[next(order)]['img_path'] for _ in range(4)])
    assert torch.load(results, weights_only=True) == expected
