"""Using a trained model from Python."""

from .inference import inference_model, init_model
from .inferencer import DepthInferencer

__all__ = ['DepthInferencer', 'inference_model', 'init_model']
