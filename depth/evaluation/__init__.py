"""Metrics, crops and the named protocols under which numbers are obtained."""

from .functional import METRIC_NAMES, batched_depth_metrics, depth_metrics
from .metric import DepthMetric
from .mixed import MixedDepthMetric
from .protocols import Protocol, get_protocol
from .unscored import UnscoredPredictions

__all__ = [
    'METRIC_NAMES',
    'DepthMetric',
    'MixedDepthMetric',
    'Protocol',
    'UnscoredPredictions',
    'batched_depth_metrics',
    'depth_metrics',
    'get_protocol',
]
