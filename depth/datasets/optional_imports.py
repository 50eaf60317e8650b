"""Libraries that only some data sets need."""

import importlib
from types import ModuleType


def import_optional(name: str, needed_for: str) -> ModuleType:
    """Import a library of the ``optional`` extra.

    Raises:
        ImportError: If it is missing; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition('.')[0]
        raise ImportError(
            f'{needed_for} needs {library}, which is not installed: pip install '
            '"depth-toolbox[optional]"'
        ) from error
