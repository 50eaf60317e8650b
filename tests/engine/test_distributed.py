import json
import sys

import pytest
import torch

from depth.evaluation.per_image import check_comparable, paired_values, read_per_image
from depth.evaluation.statistics import compare_paired

from .conftest import CONFIG, TINY, run

pytestmark = pytest.mark.slow


def metrics(work_dir):
    path = next(path for path in work_dir.glob('*/*.json') if path.stem == path.parent.name)
    return json.loads(path.read_text())


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


def test_two_processes_train_and_save_one_checkpoint(tmp_path):
    options = [
        *TINY,
        'train_cfg.max_iters=4',
        'train_cfg.val_interval=4',
        'train_dataloader.batch_size=1',
    ]
    output = run(
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
    checkpoint = torch.load(tmp_path / 'iter_4.pth', weights_only=True)
    assert len(checkpoint['random_states']) == 2
    assert all(
        torch.isfinite(value).all()
        for value in checkpoint['state_dict'].values()
        if value.is_floating_point()
    )
