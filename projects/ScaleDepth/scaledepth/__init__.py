"""ScaleDepth: metric depth as scene scale times relative depth. Importing registers the classes."""

from .estimator import ScaleDepthEstimator
from .head import ScaleDepthHead
from .losses import DoubleSoftmaxClassLoss
from .scene_category import AddSceneCategory

__all__ = ['AddSceneCategory', 'DoubleSoftmaxClassLoss', 'ScaleDepthEstimator', 'ScaleDepthHead']
