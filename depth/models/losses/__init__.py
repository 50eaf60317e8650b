"""Losses on depth: pure functions and the registered modules that hold their weights."""

from .chamfer_loss import BinsChamferLoss, chamfer_loss
from .combined_loss import CombinedLoss, loss_terms
from .derivative_loss import MultiScaleDerivativeLoss, multi_scale_derivative_loss
from .iteration import FollowsIteration, current_iteration
from .l1_alignment import align_points, align_points_freely, align_scale
from .log_l1_loss import LogL1Loss, log_l1_loss
from .metric3d_loss import LogGradientLoss
from .moge_loss import MoGeLoss
from .moge_patch_loss import patch_point_loss
from .optimal_transport_loss import (
    OptimalTransportDepthLoss,
    optimal_transport_loss,
    sinkhorn_divergence,
)
from .photometric_loss import photometric_error, ssim_error
from .relative_depth_loss import (
    GradientMatchingLoss,
    ScaleShiftInvariantLoss,
    gradient_matching_loss,
    scale_shift_invariant_loss,
)
from .sample_losses import NormalLoss, RelativeLabelLoss, SampleLoss
from .scene_class_loss import SceneClassLoss, class_accuracy, scene_labels
from .silog_loss import SILogLoss, silog_loss
from .smoothness_loss import edge_aware_smoothness
from .squared_error_loss import SquaredErrorLoss
from .trimmed_l1_loss import TrimmedL1Loss, trimmed_l1_loss
from .view_synthesis_loss import ViewSynthesisLoss

__all__ = [
    'BinsChamferLoss',
    'CombinedLoss',
    'FollowsIteration',
    'GradientMatchingLoss',
    'LogGradientLoss',
    'LogL1Loss',
    'MoGeLoss',
    'MultiScaleDerivativeLoss',
    'NormalLoss',
    'OptimalTransportDepthLoss',
    'RelativeLabelLoss',
    'SILogLoss',
    'SampleLoss',
    'ScaleShiftInvariantLoss',
    'SceneClassLoss',
    'SquaredErrorLoss',
    'TrimmedL1Loss',
    'ViewSynthesisLoss',
    'align_points',
    'align_points_freely',
    'align_scale',
    'chamfer_loss',
    'class_accuracy',
    'current_iteration',
    'edge_aware_smoothness',
    'gradient_matching_loss',
    'log_l1_loss',
    'loss_terms',
    'multi_scale_derivative_loss',
    'optimal_transport_loss',
    'patch_point_loss',
    'photometric_error',
    'scale_shift_invariant_loss',
    'scene_labels',
    'silog_loss',
    'sinkhorn_divergence',
    'ssim_error',
    'trimmed_l1_loss',
]
