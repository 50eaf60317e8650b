import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data._utils.pin_memory import pin_memory

from depth.structures import DepthDataSample


def test_a_loader_pins_the_tensors_of_samples(monkeypatch):
    pinned = []

    def pin(tensor, *args, **kwargs):
        pinned.append(tuple(tensor.shape))
        return tensor.clone()

    monkeypatch.setattr(torch.Tensor, 'pin_memory', pin)  # needs a GPU
    sample = DepthDataSample(metainfo=dict(img_path='a.png'))
    sample.gt_depth, sample.intrinsics = torch.ones(4, 5), torch.eye(3)
    batch = pin_memory(pseudo_collate([dict(inputs=torch.zeros(3, 4, 5), data_samples=sample)]))
    assert sorted(pinned) == [(3, 3), (3, 4, 5), (4, 5)]
    actual = batch['data_samples'][0]
    assert actual.img_path == 'a.png'
    assert torch.equal(actual.gt_depth, torch.ones(4, 5))
