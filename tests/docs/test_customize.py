import re
import subprocess
import sys

import numpy as np
import pytest

from depth.datasets.transforms import SPATIAL_KEYS
from depth.registry import TRANSFORMS
from tests.shared import REPO


def example_files():
    """Return the files that docs/customize.md tells a user to write, by path."""
    text = (REPO / 'docs/customize.md').read_text(encoding='utf-8')
    blocks = re.findall(r'```python\n# file: (\S+)\n(.*?)```', text, flags=re.DOTALL)
    return dict(blocks)


def test_the_table_of_spatial_keys_is_complete():
    text = (REPO / 'docs/customize.md').read_text(encoding='utf-8')
    rows = [line for line in text.splitlines() if line.startswith('| `')]
    for key, rule in SPATIAL_KEYS.items():
        assert any(f'`{key}`' in row and f'`{rule.kind}`' in row for row in rows), key


def test_the_transform_of_the_docs_moves_everything():
    text = (REPO / 'docs/customize.md').read_text(encoding='utf-8')
    (code,) = re.findall(r'```python\n(from mmcv.*?)```', text, flags=re.DOTALL)
    exec(code, {})
    lower_half = TRANSFORMS.build(dict(type='LowerHalf'))
    depth = np.arange(20.0).reshape(5, 4)
    results = lower_half(dict(img=np.zeros((5, 4, 3), np.uint8), gt_depth=depth, cam_intrinsic=np.eye(3)))
    assert np.array_equal(results['gt_depth'], depth[2:])
    assert results['cam_intrinsic'][1, 2] == -2


@pytest.mark.slow
def test_the_head_of_the_docs_trains(tmp_path):
    files = example_files()
    assert len(files) == 2
    for name, content in files.items():
        path = tmp_path / 'checkout' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / 'checkout/configs').symlink_to(REPO / 'configs')
    config = tmp_path / 'checkout' / next(name for name in files if '/configs/' in name)
    options = [
        'train_cfg.max_iters=2',
        'train_cfg.val_interval=2',
        'train_dataloader.batch_size=2',
        'train_dataloader.num_workers=0',
        'val_dataloader.num_workers=0',
        'val_dataloader.persistent_workers=False',
        'val_dataloader.dataset.num_scenes=2',
    ]
    done = subprocess.run(
        [sys.executable, str(REPO / 'tools/train.py'), str(config), '--cfg-options', *options],
        cwd=tmp_path,  # elsewhere: projects are found from the place of the config
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / 'work_dirs/inverse_depth_rooms/iter_2.pth').is_file()
