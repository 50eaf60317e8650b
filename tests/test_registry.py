import torch

from depth.registry import MODELS
from depth.structures import DepthDataSample


def test_registry_scope_is_depth():
    assert MODELS.scope == 'depth'


def test_sample_moves_between_dtypes_with_its_fields():
    sample = DepthDataSample(gt_depth=torch.ones(2, 3), metainfo=dict(img_path='a.png'))
    assert sample.to(torch.float64).gt_depth.dtype == torch.float64
    assert sample.img_path == 'a.png'
