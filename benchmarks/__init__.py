"""Benchmarks of training, inference, data loading and start-up; one module per mode.

Every number is the median of repetitions after a warm-up. Settings that are compared run in turn,
so that both see the same noise of the machine, and their ratio is the median of the ratios of
neighbouring runs.
"""

from .settings import Setting, Spec, parse_setting
from .timing import Case, interleave

__all__ = ['Case', 'Setting', 'Spec', 'interleave', 'parse_setting']
