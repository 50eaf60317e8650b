"""The sections of docs/customize.md on metrics and protocols, run from the text of the page."""

import json
import os
import re
import shlex
import sys

import numpy as np
import pytest
import torch

from depth.datasets.scenes import render_scene
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.config_values import check_training_parts
from depth.engine.errors import ConfigError
from depth.evaluation import PROTOCOLS, depth_metrics
from depth.registry import METRICS
from depth.visualization.output_files import write_image
from tests.shared import REPO
from tests.shared_process import run_python

TEXT = (REPO / 'docs/customize.md').read_text(encoding='utf-8')


def write_section(title, folder):
    """Write the files of a section below a folder that looks like a checkout; return the section and the files."""
    section = re.search(
        rf'^## {title}\n(.*?)(?=^## |\Z)', TEXT, flags=re.DOTALL | re.MULTILINE
    ).group(1)
    files = dict(re.findall(r'```python\n# (\S+\.py)\n(.*?)```', section, flags=re.DOTALL))
    assert len(files) == 2
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    (folder / 'configs').symlink_to(REPO / 'configs')
    return section, list(files)


@pytest.fixture(scope='module')
def metric_config(tmp_path_factory):
    """Return the path of the config in the section on metrics."""
    folder = tmp_path_factory.mktemp('checkout')
    _, (_, config) = write_section('A metric', folder)
    return folder / config


def test_the_metric_of_the_docs_is_measured_under_every_protocol(metric_config):
    cfg = load_config(
        metric_config, {'test_evaluator.protocols': ['folder'], 'test_evaluator.crop': 'garg'}
    )
    check_config(cfg)
    metric = METRICS.build(cfg.test_evaluator)
    errors = []
    for index in range(2):
        gt_depth = torch.rand(20, 30, generator=torch.Generator().manual_seed(index)) * 8 + 1
        gt_depth[:, 10:14] = 0
        sample = dict(
            pred_depth=gt_depth * 1.1 + 0.5 * index + 0.1,
            gt_depth=gt_depth,
            img_path=f'{index}.png',
        )
        metric.process({}, [sample])
        errors.append((sample['pred_depth'] - gt_depth).abs()[gt_depth > 0].mean().item())
    values = metric.evaluate(2)
    assert values['folder/mae'] == pytest.approx(np.mean(errors), rel=1e-5)
    assert 0 < values['mae'] != values['folder/mae']  # the crop leaves other pixels
    assert metric.outcome[1].values['mae'] == pytest.approx(errors, rel=1e-5)
    assert 'mae' in metric.outcome[0].per_image()['values']


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        ({'default_hooks.checkpoint.rule': 'greater'}, 'the greatest mae, which is the worst'),
        (
            {'val_evaluator.pixel_metrics': ['maee']},
            "unknown pixel metric 'maee', did you mean mae?",
        ),
        ({'val_evaluator.pixel_metrics': 'mae'}, 'a list of names'),
        ({'val_evaluator.pixel_metrics': ['rmse']}, "'rmse' is measured always"),
    ],
)
def test_wrong_names_and_directions_are_answered_before_the_run(metric_config, option, message):
    with pytest.raises(ConfigError, match=message):
        check_training_parts(load_config(metric_config, option))


@pytest.mark.slow
def test_the_metric_of_the_docs_chooses_the_best_checkpoint(metric_config, tmp_path):
    options = [
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'val_dataloader.dataset.num_scenes=2',
    ]
    command = [
        sys.executable,
        str(REPO / 'tools/train.py'),
        str(metric_config),
        '--cfg-options',
        *options,
    ]
    result = run_python(command, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / 'work_dirs/absolute_error_rooms').glob('best_mae_*.pth'))


def write_attic(folder):
    """Write two rooms as the test data of the section on protocols, and twice their depth as predictions."""
    (folder / 'predictions').mkdir()
    for index in range(2):
        scene = render_scene('rooms', 0, index, 'test', (48, 64))
        stored = np.rint(scene['gt_depth'] * 1000).astype(np.uint16)
        write_image(folder / f'data/attic/val/images/{index}.png', scene['img'])
        write_image(folder / f'data/attic/val/depth/{index}.png', stored)
        np.save(folder / f'predictions/{index}.npy', stored.astype(np.float32) * 2e-3)


def test_the_protocol_of_the_docs_is_known_by_its_name(tmp_path):
    section, _ = write_section('A protocol', tmp_path)
    write_attic(tmp_path)
    command = shlex.split(
        re.search(r'^ {4}(python tools/score\.py .*)$', section, flags=re.MULTILINE).group(1)
    )
    command[:2] = [sys.executable, str(REPO / 'tools/score.py')]
    environment = dict(os.environ, PYTHONPATH=str(REPO))
    result = run_python(command, cwd=tmp_path, env=environment)
    assert result.returncode == 0, result.stderr
    assert 'protocol attic_5 v1' in result.stdout + result.stderr
    scores = json.loads((tmp_path / 'scores.json').read_text())
    assert scores['abs_rel'] == pytest.approx(0, abs=1e-6)  # the median takes out the factor


@pytest.fixture
def restored_protocols():
    """Take out what a test registers."""
    names = set(PROTOCOLS)
    yield
    for name in set(PROTOCOLS) - names:
        del PROTOCOLS[name]


@pytest.mark.usefixtures('restored_protocols')
def test_the_protocol_of_the_docs_is_the_evaluators(tmp_path):
    write_section('A protocol', tmp_path)
    cfg = load_config(tmp_path / 'attic/attic.py')
    check_config(cfg)
    metric = METRICS.build(cfg.test_evaluator)
    assert metric.protocol.name == 'attic_5'
    gt_depth = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    metric.process(
        {}, [dict(pred_depth=gt_depth * 3, gt_depth=gt_depth, img_path='0.png', dataset='attic')]
    )
    expected = depth_metrics(gt_depth[:, :3], gt_depth[:, :3])
    values = metric.evaluate(1)
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-6)


def test_a_module_beside_a_config_must_not_have_the_name_of_another(tmp_path):
    (tmp_path / 'json.py').write_text('')
    (tmp_path / 'a.py').write_text("custom_imports = dict(imports=['json'])\n")
    with pytest.raises(ConfigError, match=r'json\.py.* has that name already; rename the file'):
        load_config(tmp_path / 'a.py')
