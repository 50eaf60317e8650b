"""Using a trained model from Python."""

from .inference import inference_model, init_model
from .inferencer import DepthInferencer
from .scoring import Score, score_predictions

__all__ = ['DepthInferencer', 'Score', 'inference_model', 'init_model', 'score_predictions']
