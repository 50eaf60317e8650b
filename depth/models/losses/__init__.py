"""Losses on depth: pure functions and the registered modules that hold their weights."""

from .chamfer_loss import BinsChamferLoss, chamfer_loss
from .combined_loss import CombinedLoss
from .optimal_transport_loss import OptimalTransportDepthLoss, optimal_transport_loss, sinkhorn_divergence
from .scene_class_loss import SceneClassLoss, class_accuracy, scene_labels
from .silog_loss import SILogLoss, silog_loss

__all__ = [
    'BinsChamferLoss',
    'CombinedLoss',
    'OptimalTransportDepthLoss',
    'SILogLoss',
    'SceneClassLoss',
    'chamfer_loss',
    'class_accuracy',
    'optimal_transport_loss',
    'scene_labels',
    'silog_loss',
    'sinkhorn_divergence',
]
