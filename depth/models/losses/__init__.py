"""Losses on depth: pure functions and the registered modules that hold their weights."""

from .chamfer_loss import BinsChamferLoss, chamfer_loss
from .combined_loss import CombinedLoss
from .iteration import FollowsIteration, current_iteration
from .optimal_transport_loss import (
    OptimalTransportDepthLoss,
    optimal_transport_loss,
    sinkhorn_divergence,
)
from .photometric_loss import photometric_error, ssim_error
from .scene_class_loss import SceneClassLoss, class_accuracy, scene_labels
from .silog_loss import SILogLoss, silog_loss
from .smoothness_loss import edge_aware_smoothness
from .view_synthesis_loss import ViewSynthesisLoss

__all__ = [
    'BinsChamferLoss',
    'CombinedLoss',
    'FollowsIteration',
    'OptimalTransportDepthLoss',
    'SILogLoss',
    'SceneClassLoss',
    'ViewSynthesisLoss',
    'chamfer_loss',
    'class_accuracy',
    'current_iteration',
    'edge_aware_smoothness',
    'optimal_transport_loss',
    'photometric_error',
    'scene_labels',
    'silog_loss',
    'sinkhorn_divergence',
    'ssim_error',
]
