"""The study of the head's initial bias, on two iterations of two scenes."""

import json

import pytest

from tests.shared import TINY_DENSEDEPTH


@pytest.mark.slow
def test_the_study_trains_with_and_without_the_initial_bias(tmp_path, run_tool):
    options = [
        *TINY_DENSEDEPTH,
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        'train_dataloader.dataset.num_scenes=2',
        'train_dataloader.dataset.image_size=(32,64)',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'val_dataloader.dataset.num_scenes=2',
        'val_dataloader.dataset.image_size=(32,64)',
    ]
    run_tool(
        'tools/analysis_tools/start_study.py',
        'configs/densedepth/densedepth_r18_rooms.py',
        *('--seeds', '1', '--iters', '2', '--work-dir', str(tmp_path)),
        *('--cfg-options', *options),
    )
    results = json.loads((tmp_path / 'start_study.json').read_text())
    assert len(results['guard']) == len(results['no guard']) == 1
    assert results['guard'] != results['no guard']
