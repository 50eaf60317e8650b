"""Comparison of validation results with the best constant depth."""

from types import SimpleNamespace

import pytest
import torch

from depth.engine.hooks import LearningWatchHook
from depth.evaluation import DepthMetric, MixedDepthMetric
from depth.structures import DepthDataSample

ROOMS, STREETS = 'synthetic_rooms', 'synthetic_streets'
# Of a mixed run, as configs/synthetic/densedepth_r18_mixed_labels.py has it.
MIXED = dict(protocols={ROOMS: 'rooms_10', STREETS: 'midas_disparity_lsq'})


def warnings_of(metric, *errors):
    """Return the warnings after a validation whose predictions are ``errors`` times the truth, by data set."""
    warnings = []
    runner = SimpleNamespace(
        iter=9,
        max_iters=9,
        val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[metric])),
        logger=SimpleNamespace(warning=warnings.append),
    )
    hook = LearningWatchHook(baseline_after=9)
    hook.before_val_epoch(runner)
    for dataset, factor in errors:
        truth = 1 + torch.rand(24, 32, generator=torch.Generator().manual_seed(0))
        sample = DepthDataSample(gt_depth=truth, pred_depth=truth * factor)
        sample.set_metainfo(dict(dataset=dataset, prediction_type='metric'))
        hook.after_val_iter(runner, 0, None, [sample])
    hook.after_val_epoch(runner)
    return warnings


def test_predictions_that_the_protocol_aligns_are_not_compared_in_metres():
    assert warnings_of(MixedDepthMetric(**MIXED), (ROOMS, 1.01), (STREETS, 20.0)) == []
    assert warnings_of(DepthMetric('midas_disparity_lsq'), (STREETS, 20.0)) == []


@pytest.mark.parametrize('metric', [DepthMetric('rooms_10'), MixedDepthMetric(**MIXED)])
def test_predictions_that_are_scored_in_metres_are_compared(metric):
    (warning,) = warnings_of(metric, (ROOMS, 3.0), (STREETS, 1.0))
    assert 'after 9 iterations abs_rel on the validation images is' in warning
