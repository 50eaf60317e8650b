"""Plane2Depth: depth from planes and the camera. Importing registers the classes."""

from .head import Plane2DepthHead

__all__ = ['Plane2DepthHead']
