"""Config-driven toolbox for monocular depth estimation."""

__version__ = '0.1.0'
