"""Config-driven toolbox for monocular depth estimation."""

from typing import TYPE_CHECKING, Any

from .shipped_configs import list_models

if TYPE_CHECKING:
    from pathlib import Path

    from mmengine.config import Config
    from torch import nn

__version__ = '0.1.0'
__all__ = ['__version__', 'create_model', 'get_config', 'list_models']


def get_config(name: 'str | Path') -> 'Config':
    """Return a resolved config by the name of a shipped one or by its path.

    Raises:
        ValueError: If there is none; the message has similar names.
    """
    from depth.engine.config import load_config

    return load_config(name)


def create_model(
    name: 'str | Path', checkpoint: 'str | Path | None' = None, **options: Any
) -> 'nn.Module':
    """Build the model of a config and load a checkpoint, if there is one.

    Args:
        name: Name of a shipped config, or a path.
        checkpoint: Weights; random ones without it.
        **options: See :func:`depth.apis.init_model`: ``device``, ``cfg_options``.

    Returns:
        The model in eval mode.
    """
    from depth.apis import init_model

    return init_model(name, checkpoint, **options)
