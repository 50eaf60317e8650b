"""Losses on depth: pure functions and the registered modules that hold their weights."""

from .combined_loss import CombinedLoss
from .optimal_transport_loss import OptimalTransportDepthLoss, optimal_transport_loss, sinkhorn_divergence
from .silog_loss import SILogLoss, silog_loss

__all__ = [
    'CombinedLoss',
    'OptimalTransportDepthLoss',
    'SILogLoss',
    'optimal_transport_loss',
    'silog_loss',
    'sinkhorn_divergence',
]
