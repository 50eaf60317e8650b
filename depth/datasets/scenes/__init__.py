"""Procedural scenes with exact depth: worlds, ray casting and shading."""

from .camera_path import render_path
from .render import camera_matrix, render_scene

__all__ = ['camera_matrix', 'render_path', 'render_scene']
