"""Operations with several implementations behind one entry point."""

from .ms_deform_attn import ms_deform_attn, use_backend

__all__ = ['ms_deform_attn', 'use_backend']
