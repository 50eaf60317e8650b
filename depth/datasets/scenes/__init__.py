"""Procedural scenes with exact depth: worlds, ray casting and shading."""

from .camera_path import render_path
from .render import WORLDS, camera_matrix, render_scene
from .world import World

__all__ = ['WORLDS', 'World', 'camera_matrix', 'render_path', 'render_scene']
