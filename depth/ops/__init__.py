"""Operations with several implementations behind one entry point."""

from .ms_deform_attn import (
    BACKENDS,
    check_backend,
    deformable_attention,
    ms_deform_attn,
    projected_attention,
    select_backend,
    use_backend,
)
from .token_chunks import apply_in_chunks, count_chunks

__all__ = [
    'BACKENDS',
    'apply_in_chunks',
    'check_backend',
    'count_chunks',
    'deformable_attention',
    'ms_deform_attn',
    'projected_attention',
    'select_backend',
    'use_backend',
]
