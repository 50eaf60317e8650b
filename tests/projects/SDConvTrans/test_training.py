"""The shipped configs of SD-ConvTrans: evaluation, training on real frames, operations."""

import numpy as np
import pytest
import torch

from depth.engine.complexity import measure_complexity
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.converters.convert import build_without_weights
from depth.registry import METRICS
from tests.shared import REPO, SAMPLES, needs_samples
from tests.test_methods import indoor_split, put_on_samples
from tests.test_real_input import train

CONFIGS = REPO / 'projects/SDConvTrans/configs/SDConvTrans'
NYU = ['sdconvtrans_r101_mitb0_nyu', 'sdconvtrans_r101_mitb0_nyu_labeled']


@pytest.mark.parametrize('name', NYU)
def test_nyu_is_scored_under_both_protocols(name):
    cfg = load_config(CONFIGS / f'{name}.py')
    check_config(cfg)
    generator = torch.Generator().manual_seed(0)
    gt_depth = 1 + 2 * torch.rand(480, 640, generator=generator)
    pred_depth = gt_depth.clone()
    pred_depth[:20] *= 2  # above the Eigen rectangle
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        metric = METRICS.build(evaluator)
        metric.process(
            {}, [dict(pred_depth=pred_depth, gt_depth=gt_depth, img_path='a.png', dataset='nyu')]
        )
        metrics = metric.evaluate(1)
        assert metrics['abs_rel'] == pytest.approx(0, abs=1e-6)
        # A 24th of the rows is twice too far.
        assert metrics['sdconvtrans_full/abs_rel'] == pytest.approx(1 / 24, rel=1e-2)
        assert metrics['sdconvtrans_full/log10'] == pytest.approx(np.log(2) / 24, rel=1e-3)


def test_operations_are_counted_without_memory():
    cfg = load_config(CONFIGS / f'{NYU[0]}.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    measured = measure_complexity(model, (96, 128))
    assert measured['total']['parameters'] == 67_658_529
    assert measured['parts']['decode_head']['flops'] > measured['parts']['backbone']['flops'] > 0


@needs_samples
@pytest.mark.slow
def test_twenty_iterations_on_indoor_pairs(tmp_path):
    cfg = load_config(CONFIGS / 'sdconvtrans_tiny_rooms.py')
    root, split = SAMPLES / 'indoor_rgbd', indoor_split(tmp_path)
    cfg = put_on_samples(cfg, 'nyu', tmp_path / 'work', root, split, (96, 64))
    cfg.val_evaluator = load_config(CONFIGS / f'{NYU[0]}.py').val_evaluator
    _, losses, metrics = train(cfg)
    assert np.mean(losses[-3:]) < 0.95 * losses[0]
    assert np.isfinite(metrics['abs_rel'])
    assert np.isfinite(metrics['sdconvtrans_full/abs_rel'])
