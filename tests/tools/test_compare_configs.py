import json
import sys

from tests.shared import REPO, TINY_DENSEDEPTH
from tests.shared_process import run_python


def _write_test(work_dir, name, seed, **metrics):
    folder = work_dir / name / f'seed_{seed}' / 'test' / '20260101_000000'
    folder.mkdir(parents=True)
    (folder / '20260101_000000.json').write_text(json.dumps(metrics))


def _compare(work_dir, *arguments):
    command = [
        sys.executable,
        'tools/analysis_tools/compare_configs.py',
        *arguments,
        '--work-dir',
        str(work_dir),
    ]
    return run_python(command, cwd=REPO, timeout=300)


def test_changes_are_paired_by_seed(tmp_path):
    for seed, (base, other) in enumerate([(0.20, 0.18), (0.30, 0.28)]):
        _write_test(tmp_path, 'base', seed, abs_rel=base)
        _write_test(tmp_path, 'other', seed, abs_rel=other)
    process = _compare(tmp_path, 'base.py', 'other.py', '--seeds', '0', '1', '--metrics', 'abs_rel')
    assert process.returncode == 0, process.stderr
    assert '| base | 0.2500 ± 0.0707 |' in process.stdout
    assert '| other - base | -0.0200 ± 0.0000 * |' in process.stdout  # each seed gains the same
    written = json.loads((tmp_path / 'compare_configs.json').read_text())
    assert written['results']['other'] == [dict(abs_rel=0.18), dict(abs_rel=0.28)]


def test_a_change_within_its_interval_is_not_marked(tmp_path):
    for seed, change in enumerate((-0.01, -0.02, -0.06)):
        _write_test(tmp_path, 'base', seed, abs_rel=0.2)
        _write_test(tmp_path, 'other', seed, abs_rel=0.2 + change)
    process = _compare(
        tmp_path, 'base.py', 'other.py', '--seeds', '0', '1', '2', '--metrics', 'abs_rel'
    )
    # Standard deviation 0.0265, t quantile 4.303 for two degrees of freedom: 4.303 * 0.0265 /
    # sqrt(3).
    assert '| other - base | -0.0300 ± 0.0657 |' in process.stdout


def test_an_unknown_metric_is_named_with_those_there(tmp_path):
    _write_test(tmp_path, 'base', 0, abs_rel=0.1, rmse=1.0)
    process = _compare(tmp_path, 'base.py', '--seeds', '0', '--metrics', 'boundary_f1')
    assert process.returncode != 0
    assert 'has no boundary_f1; it has abs_rel, rmse' in process.stderr


def test_missing_runs_are_trained_and_tested_once(tmp_path, run_tool):
    config = 'configs/densedepth/densedepth_r18_rooms.py'
    small = [
        *TINY_DENSEDEPTH,
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'param_scheduler.total_steps=2',
    ]
    for split in ('train', 'val', 'test'):
        small += [
            f'{split}_dataloader.dataset.num_scenes=2',
            f'{split}_dataloader.dataset.image_size=(32,64)',
        ]
        small += [
            f'{split}_dataloader.num_workers=0',
            f'{split}_dataloader.persistent_workers=False',
        ]
    arguments = [config, '--seeds', '3', '--metrics', 'abs_rel', '--work-dir', tmp_path]
    command = ['tools/analysis_tools/compare_configs.py', *arguments, '--cfg-options', *small]
    assert f'{config}, seed 3' in run_tool(*command)
    again = run_tool(*command)
    assert f'{config}, seed 3' not in again
    assert '| densedepth_r18_rooms |' in again
