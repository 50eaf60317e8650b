"""Strict conversion of published checkpoints, and the search for the config that they belong to.

Every published weight has to be used or dropped on purpose, and every weight of the model filled.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

import depth
from depth.engine.checkpoint import load_checkpoint_file, optional_names, save_atomically
from depth.engine.config import find_config, load_config, without_pretrained
from depth.engine.custom_modules import make_projects_importable
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data
from depth.registry import CONVERTERS, MODELS
from depth.shipped_configs import shipped_root

from .state import PublishedState, find_source, list_names

Shapes = dict[str, torch.Size]


def convert_official(
    method: str, state: Mapping[str, Tensor], source: str = 'the checkpoint'
) -> dict[str, Tensor]:
    """Convert a published state dict to this toolbox's names.

    Args:
        method: Name in ``CONVERTERS``.
        state: Published weights by name.
        source: File of the weights, for messages.

    Raises:
        ValueError: If the method is unknown, or the converter neither uses nor drops an entry.
    """
    published = PublishedState(state, source)
    converted = find_converter(method)(published)
    published.finish()
    return converted


def find_converter(method: str) -> Callable[[PublishedState], dict[str, Tensor]]:
    """Return the function registered for a method.

    Raises:
        ValueError: If there is none.
    """
    CONVERTERS.import_from_location()
    converter = CONVERTERS.get(method)
    if converter is None:
        near = difflib.get_close_matches(method, CONVERTERS.module_dict, n=1)
        hint = (
            f'did you mean {near[0]}?'
            if near
            else f'there are {", ".join(sorted(CONVERTERS.module_dict))}'
        )
        raise ValueError(f'there is no converter for {method!r}; {hint}')
    return converter


def write_converted(
    method: str,
    source: str | Path,
    target: str | Path,
    config: str | Path | None = None,
    root: Path | None = None,
) -> list[Path]:
    """Convert a published checkpoint file and write the result.

    Args:
        method: Name in ``CONVERTERS``.
        source: Published checkpoint.
        target: File of the converted checkpoint.
        config: Config whose model the weights must fill; by default one of the method's shipped
            configs has to fit.
        root: Folder with ``configs/`` and ``projects/``; by default that of the shipped ones.

    Returns:
        The configs that fit. If there is exactly one, the file carries it. An empty list for the
        weights of an encoder alone, which ``backbone.checkpoint`` of a config takes.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If names or shapes do not fit; the message lists them.
    """
    root = Path(root) if root else shipped_root()
    import_project_converters(root)
    find_converter(method)
    checkpoint = load_checkpoint_file(source)
    options = find_source(method).stated_options(checkpoint)
    state = convert_official(method, published_weights(checkpoint), str(source))
    if config is not None:
        problems = find_problems(state, _config_with(config, options), lenient=True)
        if problems:
            raise ValueError(f'{source} does not fill the model of {config}: {problems}')
        fitting = [find_config(config)]
    else:
        fitting = find_fitting(method, state, source, root, options)
    if is_encoder(state):
        fitting = []
    meta = _checkpoint_meta(method, source, fitting, options)
    save_atomically(dict(meta=meta, state_dict=state), target)
    return fitting


def published_weights(checkpoint: dict) -> dict[str, Tensor]:
    """Return the weights of a checkpoint, which are often one level down.

    Several state dicts next to each other become one, with names ``<dict>.<name>``; other entries
    are left out.
    """
    for key in ('state_dict', 'model', 'model_state_dict'):
        if isinstance(checkpoint.get(key), Mapping):
            return dict(checkpoint[key])
    weights = {}
    for key, state in checkpoint.items():
        if _is_state_dict(state):
            for name, value in state.items():
                weights[f'{key}.{name}'] = value
    return weights or checkpoint


def _is_state_dict(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(item, Tensor) for item in value.values())
    )


def is_encoder(state: Mapping[str, Tensor]) -> bool:
    """Return whether these are weights of an encoder alone, named as timm's network."""
    return not any(name.startswith(('backbone.', 'decode_head.')) for name in state)


def compare(state: Mapping[str, Tensor], shapes: Shapes) -> str:
    """Return the names and shapes in ``state`` that do not fit a model, as text."""
    missing = [name for name in shapes if name not in state]
    unexpected = [name for name in state if name not in shapes]
    differing = []
    for name, shape in shapes.items():
        if name in state and state[name].shape != shape:
            differing.append(f'{name} {tuple(state[name].shape)} instead of {tuple(shape)}')
    problems = []
    for kind, names in dict(missing=missing, unexpected=unexpected, differing=differing).items():
        if names:
            problems.append(f'{len(names)} {kind}: {list_names(names)}')
    return '; '.join(problems)


def build_without_weights(cfg: Config) -> nn.Module:
    """Build a config's model without fetching pretrained weights."""
    init_default_scope('depth')
    return MODELS.build(without_pretrained(cfg.model.to_dict()))


def find_problems(state: Mapping[str, Tensor], cfg: Config, lenient: bool = False) -> str:
    """Return the weights that do not fit a config's model, as text; empty if all fit.

    Args:
        state: Converted weights; those of an encoder alone have to fill the backbone's network.
        cfg: Config with a model.
        lenient: Weights that modules list as optional (``OPTIONAL_STATE``) need not fit.
    """
    with torch.device('meta'):
        model = build_without_weights(cfg)
    if is_encoder(state):
        model = model.backbone.net
    optional = optional_names(model) if lenient else set()
    shapes = {
        name: value.shape for name, value in model.state_dict().items() if name not in optional
    }
    return compare({name: value for name, value in state.items() if name not in optional}, shapes)


def find_fitting(
    method: str,
    state: Mapping[str, Tensor],
    source: str | Path,
    root: Path,
    options: Mapping | None = None,
) -> list[Path]:
    """Return the shipped configs of a method whose model the weights fill.

    Several can fit, because a data set changes no shape; if the converter names one for the file,
    or one has the name of the file, it is chosen. If no config takes all weights, the optional ones
    need not fit. ``options`` are those of the model that the file states itself.

    Raises:
        ValueError: If none fits; the message gives the reason for the nearest one.
    """
    configs = {}
    for path in shipped_configs(method, root):
        cfg = _config_with(path, options)
        # Methods may share a folder; a config can say to which one it belongs.
        if (cfg.get('load_published') or {}).get('method', method) == method:
            configs[path] = cfg
    for lenient in (False, True):
        problems = {path: find_problems(state, cfg, lenient) for path, cfg in configs.items()}
        fitting = [path for path, problem in problems.items() if not problem]
        if fitting:
            break
    else:
        nearest = min(problems.items(), key=lambda item: len(item[1]), default=None)
        reason = f'the nearest is {nearest[0]}: {nearest[1]}' if nearest else f'{root} has none'
        raise ValueError(
            f'{source} fits no shipped config of {method}; {reason}. Name yours with --config'
        )
    stated = find_source(method).files.get(Path(source).stem)
    if stated is not None:
        return [path for path in fitting if path.stem == stated] or fitting
    namesakes = [path for path in fitting if Path(source).stem.startswith(path.stem)]
    if namesakes:
        return [max(namesakes, key=lambda path: len(path.stem))]
    return fitting


def identify_published(checkpoint: Mapping, source: str | Path) -> tuple[str, list[Path]]:
    """Return the method of a published file, and the shipped configs whose model its weights fill.

    Methods that know the file by its name are tried first, then all others.

    Args:
        checkpoint: Content of the file.
        source: The file.

    Raises:
        ValueError: If no method takes all of its weights, or they are those of an encoder alone.
    """
    root = shipped_root()
    import_project_converters(root)
    CONVERTERS.import_from_location()
    weights = published_weights(dict(checkpoint))
    stem = Path(source).stem
    methods = sorted(CONVERTERS.module_dict)
    methods.sort(key=lambda method: stem not in _published_stems(method))
    for method in methods:
        try:
            state = convert_official(method, weights, str(source))
            if is_encoder(state):
                continue
            options = find_source(method).stated_options(checkpoint)
            stated = find_source(method).files.get(stem)
            if stated is not None:
                path = find_config(stated)
                if not find_problems(state, _config_with(path, options), lenient=True):
                    return method, [path]
            return method, find_fitting(method, state, source, root, options)
        # Converters look for what their method has; another method's file breaks them in any way.
        except (ValueError, LookupError, AttributeError, TypeError, StopIteration):
            continue
    raise ValueError(
        f'{source} is neither a checkpoint of this toolbox (it carries no config) nor a published '
        f'file of one of {", ".join(methods)}; name its config with --model'
    )


def _published_stems(method: str) -> set[str]:
    """Return the recorded names of a method's published files, without suffix."""
    source = find_source(method)
    stems = set(source.files)
    for name, file in source.downloads.items():
        stems |= {name, Path(file.url).stem}
    return stems


def shipped_configs(method: str, root: Path) -> Iterator[Path]:
    """Yield the configs in ``configs/<method>`` and ``projects/*/configs/<method>``, in any case.

    A method can have another folder, see :func:`register_converter`.
    """
    find_converter(method)
    config_folder = find_source(method).config_folder.lower()
    for folder in sorted([*root.glob('configs/*'), *root.glob('projects/*/configs/*')]):
        if folder.is_dir() and folder.name.lower() == config_folder:
            yield from sorted(folder.glob('*.py'))


def import_project_converters(root: Path) -> None:
    """Import ``projects/*/converters.py``, which register their methods.

    Raises:
        ConfigError: If one cannot be imported.
    """
    for path in sorted(root.glob('projects/*/converters.py')):
        make_projects_importable(path)
        try:
            import_module(f'projects.{path.parent.name}.converters')
        except ImportError as error:
            raise ConfigError(f'{path} cannot be imported: {error}') from error


def _config_with(path: str | Path, options: Mapping | None) -> Config:
    """Read a config and replace the options that a published file states itself."""
    cfg = load_config(path)
    cfg.merge_from_dict(dict(options or {}))
    return cfg


def _checkpoint_meta(
    method: str, source: str | Path, fitting: list[Path], options: Mapping
) -> dict:
    meta = dict(
        converted_from=Path(source).name,
        method=method,
        versions=dict(depth=depth.__version__),
        **find_source(method).licences(),
    )
    if len(fitting) == 1:
        cfg = _config_with(fitting[0], options)
        head = cfg.model.get('decode_head') or {}
        meta |= dict(
            cfg=config_to_data(cfg), depth_range=[head.get('min_depth'), head.get('max_depth')]
        )
    return meta
