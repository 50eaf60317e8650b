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

__all__ = [
    'BACKENDS',
    'check_backend',
    'deformable_attention',
    'ms_deform_attn',
    'projected_attention',
    'select_backend',
    'use_backend',
]
