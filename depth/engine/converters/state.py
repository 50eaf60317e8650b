"""A published state dict that knows which of its entries were used."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from depth.registry import CONVERTERS

# Folder of configs that a method's checkpoints belong to, where it is not called like the method.
CONFIG_FOLDERS: dict[str, str] = {}


class PublishedState:
    """Weights of a published checkpoint; every entry has to be taken or dropped on purpose.

    Args:
        state: Weights by published name; a leading ``module.`` of all of them is cut off.
        source: Where they come from, for messages.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str = 'the checkpoint') -> None:
        names = [name for name, value in state.items() if isinstance(value, Tensor)]
        prefix = 'module.' if names and all(name.startswith('module.') for name in names) else ''
        self._left = {name.removeprefix(prefix): state[name] for name in names}
        self.source = source

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def names(self, prefix: str = '') -> list[str]:
        """Return the entries that are left and start with ``prefix``, in the file's order."""
        return [name for name in self._left if name.startswith(prefix)]

    def take(self, name: str) -> Tensor:
        """Return an entry and count it as used.

        Raises:
            ValueError: If there is none of this name (left).
        """
        if name not in self._left:
            raise ValueError(f'{self.source} has no entry {name!r}; is it a checkpoint of this method?')
        return self._left.pop(name)

    def take_all(self, prefix: str, rename: Callable[[str], str] = lambda name: name) -> dict[str, Tensor]:
        """Return all entries below ``prefix``, named by ``rename`` from their full published name."""
        return {rename(name): self.take(name) for name in self.names(prefix)}

    def drop(self, pattern: str) -> None:
        """Count the entries whose name matches the regular expression as known to be unused."""
        for name in [name for name in self._left if re.search(pattern, name)]:
            del self._left[name]

    def finish(self) -> None:
        """Check that nothing is left.

        Raises:
            ValueError: If entries were neither used nor dropped; it lists them.
        """
        if self._left:
            raise ValueError(
                f'{self.source} has {len(self._left)} entries that nothing here uses: {list_names(self._left)}'
            )


def register_converter(method: str, config_folder: str | None = None) -> Callable:
    """Register a converter: a function from :class:`PublishedState` to our weights by name.

    Args:
        method: Name of the published method, as ``convert_official.py`` takes it.
        config_folder: Folder of the configs that its checkpoints belong to, where it is not called like the method.
    """
    if config_folder is not None:
        CONFIG_FOLDERS[method] = config_folder
    return CONVERTERS.register_module(name=method)


def list_names(names: Mapping | list, limit: int = 20) -> str:
    """Return names separated by commas, the first ``limit`` of them."""
    names = list(names)
    rest = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + rest
