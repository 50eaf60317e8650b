"""Metrics, crops and the named protocols under which numbers are obtained."""

from .functional import ALL_METRIC_NAMES, EXTRA_METRIC_NAMES, METRIC_NAMES, batched_depth_metrics, depth_metrics
from .metric import DepthMetric
from .mixed import MixedDepthMetric
from .prediction_types import PredictionType, get_prediction_type
from .protocols import PROTOCOLS, Protocol, applicable_protocols, get_protocol, register_protocol
from .unscored import UnscoredPredictions

__all__ = [
    'ALL_METRIC_NAMES',
    'EXTRA_METRIC_NAMES',
    'METRIC_NAMES',
    'PROTOCOLS',
    'DepthMetric',
    'MixedDepthMetric',
    'PredictionType',
    'Protocol',
    'UnscoredPredictions',
    'applicable_protocols',
    'batched_depth_metrics',
    'depth_metrics',
    'get_prediction_type',
    'get_protocol',
    'register_protocol',
]
