"""Memory and time of a training on many GPUs, by arithmetic on a model without weights.

Memory per process is a count: parameters, gradients, moments and the activations that autograd
stores, of a model on the meta device. The time of a step is FLOPs and bytes over rates, which are
assumptions that the caller can replace. docs/scale.md says what of it was measured.
"""

from .model_counts import Group, ModelCounts, count_model
from .plan_table import format_assumptions, format_counts, format_table
from .step_model import (
    LAUNCHES,
    Launch,
    Machine,
    Plan,
    best_plan,
    largest_batch,
    plan_training,
    with_options,
)

__all__ = [
    'LAUNCHES',
    'Group',
    'Launch',
    'Machine',
    'ModelCounts',
    'Plan',
    'best_plan',
    'count_model',
    'format_assumptions',
    'format_counts',
    'format_table',
    'largest_batch',
    'plan_training',
    'with_options',
]
