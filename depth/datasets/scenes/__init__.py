"""Procedural scenes, ray-cast exactly: worlds, geometry and shading."""

from .render import camera_matrix, render_scene

__all__ = ['camera_matrix', 'render_scene']
