"""Training, testing and inference from Python."""

from .export import export_model
from .inference import inference_model, init_model
from .inferencer import DepthInferencer
from .launch import test, train
from .scoring import Score, score_predictions

__all__ = [
    'DepthInferencer',
    'Score',
    'export_model',
    'inference_model',
    'init_model',
    'score_predictions',
    'test',
    'train',
]
