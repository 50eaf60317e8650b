"""Mask networks against depth models whose answer is known."""

import json
import sys
from itertools import repeat

import cv2
import pytest
import torch
from torch import nn

from depth.apis import init_model
from depth.structures import DepthDataSample
from projects.SparsePixelStudy.sparse_pixels import (
    MaskNetwork,
    keep_best_pixels,
    masked_rmse,
    train_mask_network,
)
from tests.shared import REPO
from tests.shared_process import run_python


class LooksLeft(nn.Module):
    """Depth from the mean colour of the left half alone."""

    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, inputs):
        left = inputs[..., : inputs.shape[-1] // 2].mean(dim=(1, 2, 3), keepdim=True)
        return (self.factor * left.exp()).expand(-1, 1, *inputs.shape[-2:])


def make_batch(seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(4, 3, 32, 48, generator=generator) * 0.1 + torch.linspace(-1, 1, 4).view(
        4, 1, 1, 1
    )
    return dict(inputs=inputs)


def test_the_mask_keeps_what_the_model_looks_at():
    torch.manual_seed(0)
    model, shares = LooksLeft(), []
    network = train_mask_network(
        model,
        repeat(make_batch()),
        0.6,
        150,
        channels=4,
        lr=2e-2,
        report=lambda *values: shares.append(values[2]),
    )
    assert shares[-1] < 0.7 * shares[0]
    mask = network(make_batch()['inputs'])
    assert mask[..., :24].mean() > 1.5 * mask[..., 24:].mean()
    assert model.factor.requires_grad
    assert model.factor.grad is None
    assert model.factor.item() == 2


def test_a_larger_weight_hides_more():
    shares = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        network = train_mask_network(
            LooksLeft(), repeat(make_batch()), weight, 30, channels=4, lr=2e-2
        )
        shares.append(network(make_batch()['inputs']).mean().item())
    assert shares[1] < 0.5 * shares[0]


@pytest.mark.parametrize(('share', 'count'), [(0.25, 3), (1.0, 12), (0.01, 1)])
def test_the_best_pixels_are_kept(share, count):
    scores = torch.randperm(24, generator=torch.Generator().manual_seed(0)).view(2, 1, 3, 4).float()
    mask = keep_best_pixels(scores, share)
    assert mask.sum(dim=(1, 2, 3)).tolist() == [count, count]
    for image in range(2):
        hidden = scores[image][mask[image] == 0]
        assert not len(hidden) or scores[image][mask[image] == 1].min() > hidden.max()


def test_errors_are_those_of_the_visible_pixels():
    batch = make_batch()
    samples = []
    for _ in range(4):
        sample = DepthDataSample()
        sample.gt_depth = torch.full((32, 48), 3.0)
        sample.gt_depth[:16] = 0
        samples.append(sample)
    batch['data_samples'] = samples

    def left_first(inputs):
        return torch.linspace(1, 0, 48).expand(len(inputs), 1, 32, 48) + 0 * inputs[:, :1]

    model = LooksLeft()
    errors = masked_rmse(model, [batch], left_first, [0.5, 1.0])
    expected = (model(batch['inputs'])[:, 0, 0, 0] - 3).abs().mean().item()
    assert errors[0.5] == pytest.approx(expected, rel=1e-5)  # the right half is not missed
    assert errors[1.0] == pytest.approx(expected, rel=1e-5)
    assert masked_rmse(model, [batch], lambda inputs: -left_first(inputs), [0.5])[
        0.5
    ] != pytest.approx(expected, rel=1e-2)


def test_any_size_goes_through():
    mask = MaskNetwork(4)(torch.randn(1, 3, 37, 51))
    assert mask.shape == (1, 1, 37, 51)
    assert 0 < mask.min() <= mask.max() < 1


@pytest.mark.slow
def test_the_tool_writes_numbers_and_pictures(tmp_path):
    sizes = {f'{split}_dataloader.dataset.image_size': (32, 64) for split in ('train', 'val')}
    configs = dict(
        cnn='configs/densedepth/densedepth_r18_rooms.py',
        transformer='configs/synthetic/depthformer_tiny_rooms.py',
    )
    for name, config in configs.items():
        model = init_model(REPO / config, cfg_options=sizes)
        torch.save(
            dict(state_dict=model.state_dict(), meta=dict(cfg=model.cfg.pretty_text)),
            tmp_path / f'{name}.pth',
        )
    arguments = [f'--{name}={tmp_path / name}.pth' for name in configs]
    arguments += [
        '--out-dir',
        str(tmp_path),
        '--sparsity',
        '0.1',
        '0.4',
        '--iters',
        '2',
        '--num-val',
        '4',
    ]
    tool = REPO / 'projects/SparsePixelStudy/tools/run_study.py'
    process = run_python([sys.executable, str(tool), *arguments], timeout=300)
    assert process.returncode == 0, process.stderr
    results = json.loads((tmp_path / 'study.json').read_text())
    assert set(results) == set(configs)
    for result in results.values():
        assert [point['sparsity_weight'] for point in result['points']] == [0.1, 0.4]
        assert all(0 < point['share'] < 1 and point['learned'] > 0 for point in result['points'])
    for name in ('curves.png', 'masks.png'):
        assert cv2.imread(str(tmp_path / name)).std() > 1, name
