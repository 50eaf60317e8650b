"""ScaleDepth: metric depth as scene scale times relative depth. Importing registers the classes."""

from .estimator import ScaleDepthEstimator
from .head import ScaleDepthHead
from .losses import DoubleSoftmaxClassLoss
from .scene_category import AddSceneCategory
from .strip_mix import DepthStripMix

__all__ = ['AddSceneCategory', 'DepthStripMix', 'DoubleSoftmaxClassLoss', 'ScaleDepthEstimator', 'ScaleDepthHead']
