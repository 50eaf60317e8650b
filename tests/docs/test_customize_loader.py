import re

import cv2
import numpy as np
import pytest
import torch

from depth.apis import inference_model, init_model
from depth.apis.inference import inference_pipeline
from depth.registry import DATASETS, TRANSFORMS
from tests.shared import REPO

CONFIG = REPO / 'configs/synthetic/depthformer_tiny_rooms.py'


@pytest.fixture
def page_pipeline():
    """The page's pipeline; its loader is registered while the test runs."""
    page = (REPO / 'docs/customize.md').read_text(encoding='utf-8')
    section = page[page.index('## A ground-truth loader') :]
    loader_code, pipeline_code = re.findall(r'```python\n(.*?)```', section, flags=re.DOTALL)
    names = {}
    exec(loader_code, names)
    exec(pipeline_code, names)
    yield names['test_pipeline']
    TRANSFORMS.module_dict.pop('LoadConfidentDepth')


def test_the_loader_of_the_page_reads_ground_truth(page_pipeline, tmp_path):
    for folder in ('images', 'depth'):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / 'images/a.png'), np.zeros((4, 6, 3), np.uint8))
    confidence = np.ones((4, 6), np.float32)
    confidence[0] = 0.1
    np.savez(tmp_path / 'depth/a.npz', depth=np.full((4, 6), 3.0), confidence=confidence)
    dataset = DATASETS.build(
        dict(type='FolderDepthDataset', data_root=str(tmp_path), pipeline=page_pipeline)
    )
    gt_depth = dataset[0]['data_samples'].gt_depth
    assert (gt_depth[0] == 0).all()
    assert (gt_depth[1:] == 3).all()


def test_inference_leaves_the_loader_of_the_page_out(page_pipeline):
    model = init_model(CONFIG, cfg_options={'test_dataloader.dataset.pipeline': page_pipeline})
    sample = inference_model(model, np.zeros((64, 64, 3), np.uint8))
    assert sample.pred_depth.shape == (64, 64)
    assert bool(torch.isfinite(sample.pred_depth).all())
    names = [type(transform).__name__ for transform in inference_pipeline(model.cfg).transforms]
    assert names == ['LoadImage', 'PackDepthInputs']
