"""Console of a training: short start, progress, each metric once; everything in the log file."""

import logging
import time

import pytest

from depth.cli.train import main
from depth.engine import console

TINY = [
    '--cfg-options',
    'max_iters=2',
    'train_cfg.val_interval=2',
    'default_hooks.logger.interval=1',
    'train_dataloader.batch_size=2',
    'optim_wrapper.paramwise_cfg.norm_decay_mult=0.0',  # logged for every layer
]
for _loader in ('train', 'val', 'test'):
    TINY += [
        f'{_loader}_dataloader.num_workers=0',
        f'{_loader}_dataloader.dataset.num_scenes=2',
        f'{_loader}_dataloader.dataset.image_size=(32,64)',
    ]


def train(tmp_path, capsys, *options, more=()):
    capsys.readouterr()
    argv = ['dpt_tiny_rooms', '--work-dir', str(tmp_path / 'run'), *options, *TINY, *more]
    assert main(argv) == 0
    (log,) = (tmp_path / 'run').glob('*/*.log')
    return capsys.readouterr().out, log.read_text()


@pytest.fixture(autouse=True)
def clean_verbosity(monkeypatch):
    monkeypatch.setenv('DEPTH_VERBOSITY', 'normal')  # put back after the test


def test_a_training_starts_with_few_lines_and_prints_metrics_once(tmp_path, capsys):
    output, log = train(tmp_path, capsys)
    lines = output.splitlines()
    first = next(index for index, line in enumerate(lines) if 'Iter(train)' in line)
    assert first <= 40
    start = '\n'.join(lines[:first])
    for subject in ('model: dpt_tiny_rooms', 'M parameters', 'data: 2 training images', 'rate '):
        assert subject in start
    assert '2 iterations of 2 images' in start
    assert str(tmp_path / 'run') in start
    assert 'eta:' in lines[first]
    assert output.count('abs_rel   sq_rel') == 1  # one validation, one table
    assert '[1/1]    abs_rel' not in output
    assert 'deprecat' not in output.lower()
    assert 'weight_decay' not in output
    # The log file has what the console has not.
    for subject in (
        'System environment:',
        'Config:',
        'Hooks will be executed',
        'Iter(val)',
        'norm1.weight:weight_decay',
    ):
        assert subject in log


@pytest.mark.parametrize('verbosity', ['--quiet', '--verbose', None])
def test_the_options_of_single_parameters_are_in_the_file_alone(tmp_path, capsys, verbosity):
    options = [] if verbosity is None else [verbosity]
    lora = [
        'model.backbone.lora.rank=2',
        'optim_wrapper.paramwise_cfg.custom_keys.backbone.lr_mult=0.1',
    ]
    output, log = train(tmp_path, capsys, *options, more=lora)
    for subject in ('requires_grad=False', 'paramwise_options'):
        assert log.count(subject) > 30
        assert (subject in output) == (verbosity == '--verbose')


def test_quiet_prints_the_tables_alone(tmp_path, capsys):
    output, log = train(tmp_path, capsys, '--quiet')
    assert 'Iter(train)' not in output
    assert 'Iter(train)' in log
    assert output.count('abs_rel   sq_rel') == 1
    assert len(output.splitlines()) < 12


def test_silence_is_broken(monkeypatch):
    monkeypatch.setattr(console, 'PROGRESS_SECONDS', 0.2)
    logger = logging.Logger('silent')
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    logger.addHandler(handler)
    with console.heartbeat(lambda: 'rendering scene 3 of 9', lambda: logger):
        time.sleep(1.2)
    assert [record.getMessage()[:22] for record in records] == ['rendering scene 3 of 9']


def test_an_unknown_verbosity_is_refused(monkeypatch):
    monkeypatch.setenv('DEPTH_VERBOSITY', 'loud')
    with pytest.raises(ValueError, match='quiet, normal, verbose'):
        console.verbosity()
