"""Training, testing and inference from Python."""

from .inference import inference_model, init_model
from .inferencer import DepthInferencer
from .launch import test, train
from .scoring import Score, score_predictions

__all__ = [
    'DepthInferencer',
    'Score',
    'inference_model',
    'init_model',
    'score_predictions',
    'test',
    'train',
]
