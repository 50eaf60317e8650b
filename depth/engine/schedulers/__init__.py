"""Parameter schedulers that mmengine lacks."""

from .one_cycle import OneCycleMomentum, OneCycleRate
from .warmup_cosine import WarmupCosineLR

__all__ = ['OneCycleMomentum', 'OneCycleRate', 'WarmupCosineLR']
