import inspect
import json
import os
import sys
import tempfile
from pathlib import Path

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from depth.engine.distributed import set_slurm_port, wrapper_options
from depth.engine.runner import DepthRunner
from depth.evaluation.per_image import check_comparable, paired_values, read_per_image
from depth.evaluation.statistics import compare_paired

from .conftest import CONFIG, TINY, run


def test_jobs_on_one_machine_get_ports_of_their_own(monkeypatch):
    ports = {}
    for job, step in ((4711, 0), (4712, 0), (4711, 1), (4711, 0)):
        monkeypatch.delenv('MASTER_PORT', raising=False)
        monkeypatch.setenv('SLURM_JOB_ID', str(job))
        monkeypatch.setenv('SLURM_STEP_ID', str(step))
        set_slurm_port()
        port = int(os.environ['MASTER_PORT'])
        assert 10000 <= port < 30000
        assert ports.setdefault((job, step), port) == port
    assert len(set(ports.values())) == 3
    monkeypatch.setenv('MASTER_PORT', '29512')
    set_slurm_port()
    assert os.environ['MASTER_PORT'] == '29512'


def test_ddp_gets_the_options_of_the_config_and_no_deprecated_ones():
    options = wrapper_options(None, find_unused_parameters=True)
    accepted = inspect.signature(DistributedDataParallel).parameters
    assert set(options) - {'type'} <= set(accepted)
    assert options['find_unused_parameters'] is options['gradient_as_bucket_view'] is True
    assert ('broadcast_buffers' in options) != ('forward_sync_buffers' in accepted)
    own = dict(static_graph=True, gradient_as_bucket_view=False, broadcast_buffers=True)
    options = wrapper_options(own, find_unused_parameters=False)
    assert own.items() <= options.items()
    assert 'forward_sync_buffers' not in options
    other = dict(type='MMFullyShardedDataParallel')
    assert wrapper_options(other, find_unused_parameters=False) == other


def test_a_deterministic_run_warns_where_there_is_no_deterministic_kernel(monkeypatch):
    monkeypatch.delenv('CUBLAS_WORKSPACE_CONFIG', raising=False)
    before = torch.are_deterministic_algorithms_enabled()
    settings = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    runner = DepthRunner.__new__(DepthRunner)
    try:
        runner.set_randomness(seed=0, deterministic=True)
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.is_deterministic_algorithms_warn_only_enabled()
        assert os.environ['CUBLAS_WORKSPACE_CONFIG'] == ':4096:8'
    finally:
        torch.use_deterministic_algorithms(before)
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = settings


def metrics(work_dir):
    path = next(path for path in work_dir.glob('*/*.json') if path.stem == path.parent.name)
    return json.loads(path.read_text())


@pytest.mark.slow
def test_two_processes_measure_what_one_does_with_an_odd_number_of_images(trained, tmp_path):
    checkpoint = str(trained / 'iter_9.pth')
    one = [
        sys.executable,
        'tools/test.py',
        CONFIG,
        checkpoint,
        '--work-dir',
        str(tmp_path / 'one'),
        '--all-protocols',
    ]
    run(*one, '--cfg-options', *TINY)
    two = [
        'bash',
        'tools/dist_test.sh',
        CONFIG,
        checkpoint,
        '2',
        '--work-dir',
        str(tmp_path / 'two'),
        '--all-protocols',
    ]
    run(*two, '--cfg-options', *TINY)
    expected, actual = metrics(tmp_path / 'one'), metrics(tmp_path / 'two')
    for name in ('abs_rel', 'rmse', 'silog', 'd1', 'midas_disparity_lsq_10/abs_rel'):
        assert actual[name] == pytest.approx(expected[name], rel=1e-6), name
    first, second = (read_per_image(tmp_path / name) for name in ('one', 'two'))
    check_comparable(first, second)
    assert len(first.images) == 5
    assert (
        compare_paired(*paired_values(first, second, 'abs_rel'), num_resamples=100).difference.mean
        < 1e-7
    )


@pytest.mark.slow
def test_two_processes_train_and_save_one_checkpoint(tmp_path):
    options = [
        *TINY,
        'train_cfg.max_iters=4',
        'train_cfg.val_interval=4',
        'train_dataloader.batch_size=1',
    ]
    # Not below tmp_path: sockets of loader processes lie in it, whose paths have 107 characters at
    # most.
    temporary = Path(tempfile.mkdtemp(prefix='depth'))
    output = run(
        'env',
        f'TMPDIR={temporary}',
        'bash',
        'tools/dist_train.sh',
        CONFIG,
        '2',
        '--work-dir',
        str(tmp_path),
        '--cfg-options',
        *options,
    )
    assert '2 processes x 1 = 2 images a step; the published recipe has 8' in output
    assert 'Iter(train) [4/4]' in output
    assert 'deprecated. Use `forward_sync_buffers`' not in output
    temporary.rmdir()  # fails unless it is empty
    checkpoint = torch.load(tmp_path / 'iter_4.pth', weights_only=True)
    assert len(checkpoint['random_states']) == 2
    assert all(
        torch.isfinite(value).all()
        for value in checkpoint['state_dict'].values()
        if value.is_floating_point()
    )
