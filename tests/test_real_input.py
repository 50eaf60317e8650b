"""The shipped data set classes, a small model and the published protocols on real frames."""

import json
from pathlib import Path

import numpy as np
import pytest

from depth.apis import inference_model, init_model
from depth.engine.config import load_config
from depth.engine.runner import build_runner
from tests.shared import REPO, SAMPLES, SEED, needs_samples

pytestmark = [needs_samples, pytest.mark.slow]


def small(cfg, work_dir, root, split, size, **prefix):
    """Point a shipped config at the samples, shrink the model and train it for 20 iterations."""
    cfg.merge_from_dict(
        {
            'work_dir': str(work_dir),
            'randomness': dict(seed=SEED),
            'model.backbone.model_name': 'resnet10t',
            'model.backbone.pretrained': False,
            'model.decode_head.up_sample_channels': [8, 8, 16, 16, 32],
            'model.decode_head.in_channels': [64, 64, 128, 256, 512],
            'model.decode_head.channels': 8,
            'train_cfg.max_iters': 20,
            'train_cfg.val_interval': 20,
            'default_hooks.logger.interval': 1,
            'log_processor.window_size': 1,
        }
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=str(root), ann_file=str(split), **prefix)
    # All frames in each step, whole and without augmentation: what is left of the loss's course is
    # learning. With two random parts a step it rose as often as it fell within 20 iterations.
    cfg.train_dataloader.batch_size = len(Path(split).read_text().splitlines())
    pipeline = cfg.train_dataloader.dataset.pipeline
    steps = [dict(step, prob=0.0) if 'prob' in step else step for step in pipeline]
    resize = dict(type='Resize', scale=size)
    cfg.train_dataloader.dataset.pipeline = [
        resize if step['type'] == 'RandomCrop' else step for step in steps
    ]
    cfg.optim_wrapper.optimizer.lr = 1e-3
    cfg.param_scheduler = []
    return cfg


def train(cfg):
    runner = build_runner(cfg)
    runner.train()
    entries = [
        json.loads(line)
        for line in Path(runner.log_dir, 'vis_data/scalars.json').read_text().splitlines()
    ]
    losses = [entry['loss'] for entry in entries if 'loss' in entry]
    metrics = next(entry for entry in reversed(entries) if 'abs_rel' in entry)
    return runner, losses, metrics


def test_indoor_pairs_train_and_are_scored_as_nyu(tmp_path):
    stems = [
        'nyu_00000',
        'nyu_00050',
        'nyu_00100',
        'redwood_00000',
        'redwood_00001',
        'redwood_00002',
    ]
    lines = [f'/rgb/{stem}.jpg /depth/{stem}.png 518.8579' for stem in stems]
    (tmp_path / 'split.txt').write_text('\n'.join(lines) + '\n')
    cfg = load_config(REPO / 'configs/densedepth/densedepth_r50_nyu.py')
    cfg = small(cfg, tmp_path / 'work', SAMPLES / 'indoor_rgbd', tmp_path / 'split.txt', (128, 96))
    _, losses, metrics = train(cfg)
    # 0.57 to 0.73 over three seeds
    assert np.mean(losses[10:]) < 0.9 * np.mean(losses[:10])
    assert 0 < metrics['abs_rel'] < 0.6
    checkpoint = tmp_path / 'work/iter_20.pth'
    sample = inference_model(init_model(checkpoint), SAMPLES / 'indoor_rgbd/rgb/nyu_00050.jpg')
    assert sample.pred_depth.shape == (480, 640)
    assert np.isfinite(sample.pred_depth.numpy()).all()


def test_kitti_frames_train_and_are_scored_as_eigen_garg(tmp_path):
    cfg = load_config(REPO / 'configs/densedepth/densedepth_r50_kitti.py')
    split = SAMPLES / 'kitti/split.txt'
    prefix = dict(data_prefix=dict(img_path='', depth_path=''))
    cfg = small(cfg, tmp_path / 'work', SAMPLES / 'kitti', split, (384, 128), **prefix)
    _, losses, metrics = train(cfg)
    # 0.40 to 0.72 over four seeds
    assert np.mean(losses[10:]) < 0.9 * np.mean(losses[:10])
    assert 0 < metrics['abs_rel'] < 0.8
    sample = inference_model(
        init_model(tmp_path / 'work/iter_20.pth'), SAMPLES / 'kitti/image_02/0000000005.png'
    )
    assert sample.pred_depth.shape == (352, 1216)
    assert sample.crop_box == (23, 13, 352, 1216)
