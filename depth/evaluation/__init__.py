"""Depth metrics, and the named protocols under which they are measured."""

from . import completion_metrics  # registers rmse_mm and mae_mm
from .functional import (
    ALL_METRIC_NAMES,
    EXTRA_METRIC_NAMES,
    METRIC_NAMES,
    batched_depth_metrics,
    depth_metrics,
)
from .metric import DepthMetric
from .mixed import MixedDepthMetric
from .pixel_metrics import PIXEL_METRICS, PixelMetric, register_pixel_metric
from .placeholder_metric import UnscoredPredictions
from .prediction_types import PredictionType, get_prediction_type
from .protocols import PROTOCOLS, Protocol, applicable_protocols, get_protocol, register_protocol

__all__ = [
    'ALL_METRIC_NAMES',
    'EXTRA_METRIC_NAMES',
    'METRIC_NAMES',
    'PIXEL_METRICS',
    'PROTOCOLS',
    'DepthMetric',
    'MixedDepthMetric',
    'PixelMetric',
    'PredictionType',
    'Protocol',
    'UnscoredPredictions',
    'applicable_protocols',
    'batched_depth_metrics',
    'completion_metrics',
    'depth_metrics',
    'get_prediction_type',
    'get_protocol',
    'register_pixel_metric',
    'register_protocol',
]
