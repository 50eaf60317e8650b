"""Published state dict that tracks which of its entries a converter has used."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from depth.registry import CONVERTERS


@dataclass(frozen=True)
class PublishedFile:
    """One published checkpoint that can be fetched under the name of its config.

    Attributes:
        url: Address of the file itself.
        licence: SPDX identifier or name of the licence of these weights; '' if their authors state
            none.
        size: Bytes, None if not published.
        sha256: Hexadecimal, None if not published.
    """

    url: str
    licence: str = ''
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Source:
    """Origin of a method's published checkpoints.

    Attributes:
        config_folder: Folder below ``configs/`` with the configs of the checkpoints.
        code_licence: Licence of the published code; '' if it is not recorded here.
        weights_licence: Licence of the published weights, as their authors state it; '' likewise.
        url: Place where the checkpoints are published; '' likewise.
        files: Config name by the published file's name without suffix, for files of equal shapes
            that belong to different configs.
        stated_options: Function from a published checkpoint to the options of its model, by dotted
            key, that the file states itself; they replace those of a config.
        downloads: Published file by config name, see :class:`PublishedFile`.
    """

    config_folder: str
    code_licence: str = ''
    weights_licence: str = ''
    url: str = ''
    files: Mapping[str, str] = field(default_factory=dict)
    stated_options: Callable[[Mapping], dict] = lambda checkpoint: {}
    downloads: Mapping[str, PublishedFile] = field(default_factory=dict)

    def licences(self) -> dict[str, str]:
        """Return what a converted file carries along, without entries that are not known."""
        facts = dict(
            code_licence=self.code_licence, weights_licence=self.weights_licence, url=self.url
        )
        return {name: fact for name, fact in facts.items() if fact}


SOURCES: dict[str, Source] = {}


def find_source(method: str) -> Source:
    """Return what is known of a method's checkpoints; a converter need not say anything."""
    return SOURCES.get(method, Source(method))


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
        """Take all entries below ``prefix``; ``rename`` maps a full published name to ours."""
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
                f'{self.source} has {len(self._unused)} entries that nothing here uses: '
                f'{list_names(self._unused)}'
            )


def register_converter(
    method: str,
    config_folder: str | None = None,
    *,
    code_licence: str = '',
    weights_licence: str = '',
    url: str = '',
    files: Mapping[str, str] | None = None,
    stated_options: Callable[[Mapping], dict] = lambda checkpoint: {},
    downloads: Mapping[str, PublishedFile] | None = None,
) -> Callable:
    """Register a converter: a function from :class:`PublishedState` to this toolbox's weights.

    ``convert_official.py`` prints licences and address and stores them in the converted file.

    Args:
        method: Name of the published method, as ``convert_official.py`` takes it.
        config_folder: Config folder of its checkpoints; by default named after the method.
        code_licence: Licence of the published code.
        weights_licence: Licence of the published weights; all of them, where they differ by size.
        url: Place where the checkpoints are published.
        files: Config name by the published file's name without suffix, see :class:`Source`.
        stated_options: Options that a published file states itself, see :class:`Source`.
        downloads: Published file by config name, for ``from_pretrained``.
    """
    SOURCES[method] = Source(
        config_folder or method,
        code_licence,
        weights_licence,
        url,
        dict(files or {}),
        stated_options,
        dict(downloads or {}),
    )
    return CONVERTERS.register_module(name=method)


def list_names(names: Mapping | list, limit: int = 20) -> str:
    """Return names separated by commas, the first ``limit`` of them."""
    names = list(names)
    ending = f' and {len(names) - limit} more' if len(names) > limit else ''
    return ', '.join(names[:limit]) + ending
