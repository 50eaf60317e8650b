import re

import cv2
import numpy as np

import depth.datasets
from depth.registry import DATASETS
from tests.shared import REPO

PAGE = (REPO / 'docs/dataset_prepare.md').read_text(encoding='utf-8')


def test_the_page_names_what_there_is():
    classes = set(re.findall(r'`(\w+Dataset)`', PAGE))
    assert len(classes) > 15
    assert not [name for name in classes if not hasattr(depth.datasets, name)]
    configs = {path.name for path in (REPO / 'configs/_base_/datasets').glob('*.py')}
    assert set(re.findall(r'`(\w+\.py)`', PAGE)) <= configs


def test_the_data_set_of_the_page_works(tmp_path):
    example = next(
        block
        for block in re.findall(r'```python\n(.*?)```', PAGE, flags=re.DOTALL)
        if 'MyDataset' in block
    )
    exec(example, {})
    (tmp_path / 'a').mkdir()
    cv2.imwrite(str(tmp_path / 'a/color.png'), np.zeros((480, 640, 3), np.uint8))
    np.full((480, 640), 7.5, np.float32).tofile(tmp_path / 'a/range.bin')
    pipeline = [dict(type='LoadImage'), dict(type='LoadDepth')]
    sample = DATASETS.build(dict(type='MyDataset', data_root=str(tmp_path), pipeline=pipeline))[0]
    assert (sample['gt_depth'] == 7.5).all()
    assert (sample['dataset'], sample['max_depth']) == ('mine', 20.0)
