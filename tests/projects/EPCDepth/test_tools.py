import json
import os
import sys

import numpy as np
import pytest

from depth.engine.config import load_config
from tests.shared import REPO, SAMPLES, needs_samples
from tests.shared_process import run_python

TOOLS = 'projects/EPCDepth/tools'
STREETS = 'projects/EPCDepth/configs/synthetic/epcdepth_r18_plain_streets_96x320_hints.py'
SIZE = '(64,96)'
TINY = [
    'train_cfg.max_iters=2',
    'train_cfg.val_interval=2',
    'train_dataloader.batch_size=2',
    'train_dataloader.num_workers=0',
    'train_dataloader.dataset.num_scenes=2',
    'test_dataloader.dataset.num_scenes=3',
    'val_dataloader.dataset.num_scenes=1',
    *(f'{name}_dataloader.dataset.image_size={SIZE}' for name in ('train', 'val', 'test')),
    'default_hooks.visualization.num_images=0',
]
ENV = {**os.environ, 'OMP_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': '', 'PYTHONPATH': str(REPO)}


def run(cwd, script, *arguments):
    """Run a tool from another directory; its output is shown if it fails."""
    command = [sys.executable, str(REPO / script), *map(str, arguments)]
    process = run_python(command, cwd=cwd, env=ENV, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout + process.stderr


def metrics(folder):
    path = next(path for path in folder.glob('*/*.json') if path.stem == path.parent.name)
    return json.loads(path.read_text())


@pytest.mark.slow
def test_train_test_and_score_the_saved_disparities(tmp_path):
    config = REPO / STREETS
    run(tmp_path, 'tools/train.py', config, '--work-dir', tmp_path / 'run', '--cfg-options', *TINY)
    checkpoint = tmp_path / 'run' / 'iter_2.pth'
    out = tmp_path / 'out'
    run(
        tmp_path,
        f'{TOOLS}/save_disparities.py',
        config,
        checkpoint,
        '--out',
        out,
        '--cfg-options',
        *TINY,
    )
    disparities = np.load(out / 'disparities.npy')
    assert disparities.shape == (3, 64, 96)
    assert len(list(out.glob('*.png'))) == 3
    tested = metrics(out / 'test')
    scoring = [config, out / 'disparities.npy', '--cfg-options', *TINY]
    output = run(tmp_path, f'{TOOLS}/score_disparities.py', *scoring)
    table = dict(zip(*(line.split() for line in output.strip().splitlines()[-2:]), strict=True))
    assert float(table['abs_rel']) == pytest.approx(tested['abs_rel'], abs=1e-4)
    assert float(table['d1']) == pytest.approx(tested['d1'], abs=1e-4)


HINT_CONFIG = """
train_dataloader = dict(dataset=dict(
    type='StereoFolderDataset', data_root={root!r}, hint_root={hints!r}, sides=('left', 'right'),
    pipeline=[dict(type='LoadPair'), dict(type='LoadDepthHint', unit=1.0)]))
default_scope = 'depth'
"""


@needs_samples
@pytest.mark.slow
def test_hints_are_computed_once_and_on_request_again(tmp_path):
    config = tmp_path / 'hints.py'
    config.write_text(
        HINT_CONFIG.format(root=str(SAMPLES / 'stereo'), hints=str(tmp_path / 'hints'))
    )
    tool = f'{TOOLS}/precompute_depth_hints.py'
    command = [config, '--height', 64, '--width', 208]
    assert '4 views, 0 have a hint, 4 to do' in run(tmp_path, tool, *command, '--workers', 2)
    paths = sorted((tmp_path / 'hints').rglob('*.npy'))
    assert [str(path.relative_to(tmp_path / 'hints')) for path in paths] == [
        f'image_0{camera}/{stem}.npy' for camera in (2, 3) for stem in ('kitti_demo', 'motorcycle')
    ]
    for path in paths:
        assert np.load(path).shape == (1, 64, 208)
        assert (np.load(path) > 0).mean() > 0.5
    written = [path.stat().st_mtime_ns for path in paths]
    paths[0].unlink()
    assert '4 views, 3 have a hint, 1 to do' in run(tmp_path, tool, *command)
    assert [path.stat().st_mtime_ns for path in paths[1:]] == written[1:]
    assert paths[0].is_file()


def test_improved_ground_truth_is_tested_at_the_same_size():
    for name in ('r18', 'r50'):
        cfg = load_config(
            REPO
            / f'projects/EPCDepth/configs/evaluation/epcdepth_{name}_kitti_320x1024_improved.py'
        )
        scale = next(
            step.scale for step in cfg.test_dataloader.dataset.pipeline if step.type == 'Resize'
        )
        assert tuple(scale) == tuple(cfg.size)
