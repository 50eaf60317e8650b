"""Computed work of a step against counts by hand."""

import pytest
import torch
from torch import nn

from benchmarks import Setting, Spec
from benchmarks.work import count_work, model_work
from depth.ops import ms_deform_attn
from tests.shared import REPO


def test_a_linear_layer_and_its_gradients_are_counted_by_hand():
    layer = nn.Linear(8, 16, bias=False, device='meta')
    images = torch.empty(4, 8, device='meta')
    work = count_work(lambda: layer(images).relu())
    # A product of 4 x 8 by 8 x 16, then an activation of 4 x 16; the transpose is a view.
    assert work['gflop'] == pytest.approx(2 * 4 * 8 * 16 / 1e9)
    assert work['moved_mb'] == pytest.approx(4 * (4 * 8 + 8 * 16 + 4 * 16 + 2 * 4 * 16) / 1e6)
    assert work['operators'] == 2


def test_views_and_reserved_memory_are_no_work():
    values = torch.empty(4, 8, device='meta')
    work = count_work(lambda: values.t().reshape(2, 16).view(32)[3:].expand(2, -1))
    # Only the reshape of the transpose copies, by a clone.
    assert work['operators'] == 1
    assert work['moved_mb'] == pytest.approx(2 * 4 * 32 / 1e6)
    assert count_work(lambda: torch.empty(9, device='meta'))['operators'] == 0


def test_deformable_attention_is_four_corners_a_point():
    value = torch.empty(1, 12, 2, 8, device='meta', requires_grad=True)
    locations = torch.empty(1, 5, 2, 1, 3, 2, device='meta')
    weights = torch.empty(1, 5, 2, 1, 3, device='meta')
    work = count_work(lambda: ms_deform_attn(value, [(3, 4)], locations, weights))
    assert work['gflop'] == pytest.approx(2 * 4 * 8 * 5 * 2 * 3 / 1e9)
    assert work['moved_mb'] == pytest.approx(4 * (12 * 16 + 60 + 30 + 5 * 16) / 1e6)


def test_a_training_step_is_more_than_twice_its_forward_pass():
    config = str(REPO / 'configs/synthetic/depthformer_tiny_rooms.py')
    options = {'model.test_cfg.flip': False}
    spec = Spec(config=config, options=options, shape=(64, 64), batch_size=2)
    forward = model_work(spec, Setting(), training=False)
    training = model_work(spec, Setting(), training=True)
    assert 2 < training['gflop'] / forward['gflop'] < 4
    assert training['moved_mb'] > 2 * forward['moved_mb']


def test_work_is_counted_under_the_triton_backend():
    """Its operators run on CUDA alone, and work is counted on the meta device."""
    config = str(REPO / 'configs/synthetic/depthformer_tiny_rooms.py')
    spec = Spec(config=config, shape=(32, 32), batch_size=1)
    setting = Setting(backend='triton')
    with setting.surroundings('cpu'):
        assert model_work(spec, setting, training=False)['operators'] > 100
