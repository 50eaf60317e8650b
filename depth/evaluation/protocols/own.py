"""Protocols of this toolbox's own data: synthetic scenes and any folder."""

from .protocol import Protocol

OWN = (
    Protocol('rooms_10', 'synthetic rooms, every pixel', 1e-3, 10.0, datasets=('synthetic_rooms',)),
    Protocol('streets_80', 'synthetic streets, every pixel with depth', 1e-3, 80.0, datasets=('synthetic_streets',)),
    Protocol('folder', 'a folder of images, every measured pixel', 1e-3, 10.0, datasets=('folder',)),
)
