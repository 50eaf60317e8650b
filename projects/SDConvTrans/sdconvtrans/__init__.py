"""SD-ConvTrans: base depth at low resolution, detail at high. Importing registers the classes."""

from .backbone import SDConvTransBackbone
from .estimator import SDConvTransEstimator
from .head import SDConvTransHead
from .losses import RMSELogLoss, SobelGradientLoss, SobelNormalLoss, SurfaceNormalLoss

__all__ = [
    'RMSELogLoss',
    'SDConvTransBackbone',
    'SDConvTransEstimator',
    'SDConvTransHead',
    'SobelGradientLoss',
    'SobelNormalLoss',
    'SurfaceNormalLoss',
]
