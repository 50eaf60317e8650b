"""Libraries that only some data sets and tools need."""

import importlib
from types import ModuleType


def import_optional(name: str, needed_for: str, extra: str = 'optional') -> ModuleType:
    """Import a library of an extra.

    Args:
        name: Module.
        needed_for: Subject of the message: what needs it.
        extra: Name in ``requirements/`` of the extra that installs it.

    Raises:
        ImportError: If it is missing; the message says how to install it.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        library = name.partition('.')[0]
        raise ImportError(
            f'{needed_for} needs {library}, which is not installed: pip install '
            f'"depth-toolbox[{extra}]"'
        ) from error
