"""Hooks of the training and test loops."""

from .checkpoint_hook import CheckpointHook
from .depth_bias_init_hook import DepthBiasInitHook
from .distillation_hook import DistillationHook
from .ema_hook import EMAHook
from .finite_predictions_hook import FinitePredictionsHook
from .finite_watch_hook import FiniteWatchHook
from .learning_watch_hook import LearningWatchHook
from .logger_hook import LoggerHook
from .prediction_writer_hook import PredictionWriterHook
from .protocol_hook import ProtocolHook
from .shard_report_hook import ShardReportHook
from .termination_hook import TerminationHook
from .visualization_hook import DepthVisualizationHook

__all__ = [
    'CheckpointHook',
    'DepthBiasInitHook',
    'DepthVisualizationHook',
    'DistillationHook',
    'EMAHook',
    'FinitePredictionsHook',
    'FiniteWatchHook',
    'LearningWatchHook',
    'LoggerHook',
    'PredictionWriterHook',
    'ProtocolHook',
    'ShardReportHook',
    'TerminationHook',
]
