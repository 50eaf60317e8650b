"""Metrics, crops and the named protocols under which numbers are obtained."""

from .functional import METRIC_NAMES, batched_depth_metrics, depth_metrics
from .metric import DepthMetric
from .protocols import Protocol, get_protocol

__all__ = ['METRIC_NAMES', 'DepthMetric', 'Protocol', 'batched_depth_metrics', 'depth_metrics', 'get_protocol']
