"""Hooks of the training and test loops."""

from .checkpoint_hook import CheckpointHook
from .depth_bias_init_hook import DepthBiasInitHook
from .logger_hook import LoggerHook
from .prediction_writer_hook import PredictionWriterHook
from .protocol_hook import ProtocolHook
from .termination_hook import TerminationHook
from .visualization_hook import DepthVisualizationHook

__all__ = [
    'CheckpointHook',
    'DepthBiasInitHook',
    'DepthVisualizationHook',
    'LoggerHook',
    'PredictionWriterHook',
    'ProtocolHook',
    'TerminationHook',
]
