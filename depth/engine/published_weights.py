"""Weights of a published file for a run: converted when they are loaded, whole or in part."""

from collections.abc import Mapping

from mmengine.logging import print_log
from torch import Tensor

from .converters import convert_official, find_source
from .converters.convert import published_weights
from .errors import ConfigError

OPTIONS = ('method', 'parts')


def weights_for_model(
    checkpoint: Mapping, options: Mapping | None, initial: Mapping[str, Tensor], source: str
) -> Mapping[str, Tensor]:
    """Return the weights of a checkpoint with the names of this toolbox.

    Args:
        checkpoint: Content of a file: a checkpoint of this toolbox, whose weights have the model's
            names, or a published one, which shares none of them.
        options: ``load_published`` of the config: ``method``, whose published files are converted,
            strictly; ``parts``, names with which the weights begin that a training takes from a
            published file (converted now or before); the others keep their start. None takes
            checkpoints of this toolbox only.
        initial: Weights of the model before loading.
        source: The file, for messages.

    Raises:
        ConfigError: If an option is unknown or a part names no weight of the model.
        ValueError: If the file is not one of the method.
    """
    weights = checkpoint.get('state_dict', checkpoint)
    if options is None:
        return weights
    unknown = [name for name in options if name not in OPTIONS]
    if unknown or 'method' not in options:
        raise ConfigError(
            f'load_published is dict(method=..., parts=[...]), got {dict(options)}; method is a '
            'name that convert_official.py takes'
        )
    method = options['method']
    state = weights
    if any(name.removeprefix('module.') in initial for name in weights):
        meta = checkpoint.get('meta')
        if not isinstance(meta, Mapping) or 'method' not in meta:
            return weights  # of a training, which is loaded as a whole
    else:
        state = convert_official(method, published_weights(dict(checkpoint)), source)
        licence = find_source(method).weights_licence
        print_log(
            f'{source} was converted as a file of {method}; licence of its weights: {licence}',
            logger='current',
        )
    prefixes = tuple(options.get('parts') or ())
    return _select_weights(state, prefixes, initial, source) if prefixes else state


def _select_weights(
    state: Mapping[str, Tensor],
    prefixes: tuple[str, ...],
    initial: Mapping[str, Tensor],
    source: str,
) -> dict[str, Tensor]:
    """Return the weights of ``state`` below ``prefixes``, and the initial ones of all else."""
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in initial):
            raise ConfigError(
                f'load_published.parts: no weight of the model begins with {prefix!r}'
            )
    published = {name: value for name, value in state.items() if name.startswith(prefixes)}
    untouched = {name: value for name, value in initial.items() if not name.startswith(prefixes)}
    print_log(
        f'{len(published)} weights below {", ".join(prefixes)} come from {source}; '
        f'{len(untouched)} others keep their start',
        logger='current',
    )
    return untouched | published
