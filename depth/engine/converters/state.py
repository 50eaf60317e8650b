"""Published state dict that tracks which of its entries a converter has used."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

from depth.registry import CONVERTERS

# Config folder of a method's checkpoints, if it is not named after the method.
CONFIG_FOLDERS: dict[str, str] = {}


class PublishedState:
    """Weights of a published checkpoint; every entry has to be taken or dropped on purpose.

    Args:
        state: Weights by published name; a leading ``module.`` of all of them is cut off.
        source: File of the weights, for messages.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str = 'the checkpoint') -> None:
        names = [name for name, value in state.items() if isinstance(value, Tensor)]
        prefix = 'module.' if names and all(name.startswith('module.') for name in names) else ''
        self._unused = {name.removeprefix(prefix): state[name] for name in names}
        self.source = source

    def __contains__(self, name: str) -> bool:
        return name in self._unused

    def names(self, prefix: str = '') -> list[str]:
        """Return the unused entries that start with ``prefix``, in the file's order."""
        return [name for name in self._unused if name.startswith(prefix)]

    def take(self, name: str) -> Tensor:
        """Return an entry and mark it as used.

        Raises:
            ValueError: If there is no unused entry of this name.
        """
        if name not in self._unused:
            raise ValueError(
                f'{self.source} has no entry {name!r}; is it a checkpoint of this method?'
            )
        return self._unused.pop(name)

    def take_all(
        self, prefix: str, rename: Callable[[str], str] = lambda name: name
    ) -> dict[str, Tensor]:
        """Take all entries below ``prefix``; ``rename`` maps the full published name to the new one."""
        return {rename(name): self.take(name) for name in self.names(prefix)}

    def drop(self, pattern: str) -> None:
        """Drop the entries whose name matches a regular expression."""
        for name in self.names():
            if re.search(pattern, name):
                del self._unused[name]

    def finish(self) -> None:
        """Check that all entries were used or dropped.

        Raises:
            ValueError: If entries were neither used nor dropped; the message lists them.
        """
        if self._unused:
            raise ValueError(
                f'{self.source} has {len(self._unused)} entries that nothing here uses: {list_names(self._unused)}'
            )


def register_converter(method: str, config_folder: str | None = None) -> Callable:
    """Register a converter: a function from :class:`PublishedState` to this toolbox's weights.

    Args:
        method: Name of the published method, as ``convert_official.py`` takes it.
        config_folder: Config folder of its checkpoints; by default named after the method.
    """
    if config_folder is not None:
        CONFIG_FOLDERS[method] = config_folder
    return CONVERTERS.register_module(name=method)


def list_names(names: Mapping | list, limit: int = 20) -> str:
    """Return names separated by commas, the first ``limit`` of them."""
    names = list(names)
    ending = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + ending
