"""Losses on depth: pure functions and the registered modules that hold their weights."""

from .photometric_loss import photometric_error, ssim_error
from .combined_loss import CombinedLoss
from .optimal_transport_loss import OptimalTransportDepthLoss, optimal_transport_loss, sinkhorn_divergence
from .silog_loss import SILogLoss, silog_loss
from .smoothness_loss import edge_aware_smoothness
from .view_synthesis_loss import ViewSynthesisLoss

__all__ = [
    'SILogLoss',
    'ViewSynthesisLoss',
    'edge_aware_smoothness',
    'photometric_error',
    'silog_loss',
    'ssim_error',
    'CombinedLoss',
    'OptimalTransportDepthLoss',
    'SILogLoss',
    'optimal_transport_loss',
    'silog_loss',
    'sinkhorn_divergence',
]
