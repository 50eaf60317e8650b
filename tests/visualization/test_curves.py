"""Curves of trainings in TensorBoard, trackio, MLflow and Weights & Biases."""

import json
import sqlite3
import sys

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope

from depth.registry import VISUALIZERS
from depth.visualization.visualizer import TENSORBOARD_FOLDER


def build(tmp_path, name, *backends):
    init_default_scope('depth')
    start = tmp_path / 'run' / name
    return VISUALIZERS.build(
        dict(
            type='Visualizer',
            name=f'{tmp_path.name}-{name}',
            save_dir=str(start),
            vis_backends=[dict(type='LocalVisBackend'), *backends],
        )
    )


def log(visualizer, losses, first_step=1):
    for step, loss in enumerate(losses, start=first_step):
        with visualizer.in_group('train'):
            visualizer.add_scalars(dict(loss=loss), step=step, file_path='log.json')
    with visualizer.in_group('val'):
        visualizer.add_scalars(dict(abs_rel=0.5), step=step, file_path='log.json')
    visualizer.add_image('val/0', np.zeros((8, 8, 3), np.uint8), step=step)


def test_a_resumed_run_continues_its_curve_in_groups(tmp_path):
    accumulator = pytest.importorskip('tensorboard.backend.event_processing.event_accumulator')
    first = build(tmp_path, 'first', dict(type='TensorboardVisBackend'))
    first.start_training(tmp_path / 'run', 0)
    log(first, [9, 8, 7, 6, 5])
    first.close()
    # The process died after step 5; its last checkpoint was that of step 3.
    second = build(tmp_path, 'second', dict(type='TensorboardVisBackend'))
    second.start_training(tmp_path / 'run', 3)
    log(second, [60, 50, 40], first_step=4)
    second.close()
    events = accumulator.EventAccumulator(str(tmp_path / 'run' / TENSORBOARD_FOLDER))
    events.Reload()
    assert events.Tags()['scalars'] == ['train/loss', 'val/abs_rel']
    assert [(event.step, event.value) for event in events.Scalars('train/loss')] == [
        (1, 9),
        (2, 8),
        (3, 7),
        (4, 60),
        (5, 50),
        (6, 40),
    ]
    assert events.Tags()['images'] == ['val/0']


def test_the_local_file_keeps_plain_names(tmp_path):
    visualizer = build(tmp_path, 'only')
    log(visualizer, [3.0])
    lines = (tmp_path / 'run/only/vis_data/scalars.json').read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        dict(loss=3.0, step=1),
        dict(abs_rel=0.5, step=1),
    ]
    assert (tmp_path / 'run/only/vis_data/vis_image/val_0_1.png').is_file()


def test_trackio_stores_the_curves_on_this_machine(tmp_path, monkeypatch):
    if 'trackio' in sys.modules:
        pytest.skip('trackio was imported before, and has read its folder')
    monkeypatch.setenv('TRACKIO_DIR', str(tmp_path / 'trackio'))
    pytest.importorskip('trackio', reason='trackio is not installed')
    options = dict(type='TrackioVisBackend', project='test', init_kwargs=dict(auto_log_cpu=False))
    for number, losses in enumerate(([3.0, 2.0], [1.0])):  # the second start resumes the first
        visualizer = build(tmp_path, f'start{number}', dict(options))
        visualizer.add_config(Config(dict(a=1)))
        log(visualizer, losses, first_step=1 + 2 * number)
        visualizer.close()
    with sqlite3.connect(tmp_path / 'trackio/test.db') as database:
        rows = list(database.execute('SELECT run_name, step, metrics FROM metrics ORDER BY id'))
    losses = []
    for name, step, metrics in rows:
        assert name == 'run'
        if 'train/loss' in json.loads(metrics):
            losses.append((step, json.loads(metrics)['train/loss']))
    assert losses == [(1, 3.0), (2, 2.0), (3, 1.0)]
    assert any('val/abs_rel' in json.loads(metrics) for _, _, metrics in rows)


@pytest.mark.long
def test_mlflow_stores_the_curves_in_a_local_file(tmp_path):
    mlflow = pytest.importorskip('mlflow', reason='mlflow is not installed')
    visualizer = build(tmp_path, 'only', dict(type='MLflowVisBackend', exp_name='test'))
    visualizer.add_config(Config(dict(a=1, work_dir=str(tmp_path / 'run'))))
    log(visualizer, [3.0, 2.0])
    visualizer.close()
    assert len(list(tmp_path.rglob('mlflow.db'))) == 1
    runs = mlflow.search_runs(experiment_names=['test'])
    assert runs['metrics.train/loss'].tolist() == [2.0]
    assert runs['metrics.val/abs_rel'].tolist() == [0.5]


class FakeWandb:
    """Stand-in for the library, which records its calls."""

    Image = staticmethod(lambda image: ('image', image.shape))

    def __init__(self):
        self.starts, self.logged, self.finished = [], [], 0
        self.config = self
        self.configs = []

    def init(self, **options):
        self.starts.append(options)

    def update(self, values, allow_val_change):
        assert allow_val_change
        self.configs.append(values)

    def log(self, values, step, commit=None):
        assert commit is not True  # W&B would drop further values of the step
        self.logged.append((step, values))

    def finish(self):
        self.finished += 1


def test_wandb_gets_groups_steps_and_one_run_over_all_starts(tmp_path, monkeypatch):
    wandb = FakeWandb()
    monkeypatch.setitem(sys.modules, 'wandb', wandb)
    backend = dict(type='WandbVisBackend', init_kwargs=dict(project='depth'))
    for number, losses in enumerate(([3.0, 2.0], [1.0])):
        visualizer = build(tmp_path, f'start{number}', dict(backend))
        # The runner adds the config before it knows which run it continues.
        visualizer.add_config(Config(dict(max_iters=2 + number)))
        visualizer.start_training(tmp_path / 'run', 2 * number, 'run-1')
        log(visualizer, losses, first_step=1 + 2 * number)
        visualizer.close()
    assert [(start['id'], start['name'], start['resume']) for start in wandb.starts] == [
        ('run-1', 'run', 'allow')
    ] * 2
    assert [start['project'] for start in wandb.starts] == ['depth', 'depth']
    assert [config['max_iters'] for config in wandb.configs] == [2, 3]
    assert wandb.logged == [
        (1, {'train/loss': 3.0}),
        (2, {'train/loss': 2.0}),
        (2, {'val/abs_rel': 0.5}),
        (2, {'val/0': ('image', (8, 8, 3))}),
        (3, {'train/loss': 1.0}),
        (3, {'val/abs_rel': 0.5}),
        (3, {'val/0': ('image', (8, 8, 3))}),
    ]
    assert wandb.finished == 2


def test_wandb_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'wandb', None)
    visualizer = build(tmp_path, 'only', dict(type='WandbVisBackend'))
    with pytest.raises(ImportError, match='not installed: pip install wandb'):
        visualizer.add_config(Config(dict(a=1)))
