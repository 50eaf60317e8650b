"""Training, testing and inference from Python."""

from .export import export_model
from .hub import from_pretrained, push_to_hub, save_pretrained
from .inference import inference_model, init_model
from .inferencer import DepthInferencer
from .launch import test, train
from .scoring import Score, score_predictions

__all__ = [
    'DepthInferencer',
    'Score',
    'export_model',
    'from_pretrained',
    'inference_model',
    'init_model',
    'push_to_hub',
    'save_pretrained',
    'score_predictions',
    'test',
    'train',
]
