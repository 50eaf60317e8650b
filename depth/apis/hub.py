"""Models as folders that can be shared: weights as safetensors, config as data, and a model card.

A folder holds ``model.safetensors``, ``config.json`` and ``README.md``. Reading one executes and
imports nothing that it names: the config is data under the rules of
:mod:`depth.engine.stored_config`, and every other file is ignored.
"""

import difflib
import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

import depth
from depth.atomic_write import atomic_open, write_atomically
from depth.calibration import DepthCalibration
from depth.datasets.optional_imports import import_optional
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_from_data, config_to_data
from depth.integrity import sha256_of

from .exported_model import is_exported
from .inference import init_model
from .model_card import depth_range, licence_facts, protocol_facts, write_card
from .published_files import fetch_published, list_published, record_published

FORMAT = 'depth-toolbox model 1'
WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.json', 'README.md'
# What the author of a folder states; a model keeps it in ``model.card``.
_STATED = ('name', 'metrics', 'licence', 'training_data')
# Keys of a config that belong to one machine or one run.
_OF_A_RUN = ('work_dir', 'load_from', 'resume', 'launcher')
_MAX_CONFIG = 16 << 20  # bytes of a config.json
_MAX_NESTING = 100
_REPOSITORY = re.compile(r'[\w.-]+/[\w.-]+')
# Keys of objects that stand for values that JSON does not have.
_TUPLE, _ITEMS, _NUMBER = '__tuple__', '__items__', '__number__'


def save_pretrained(
    model: nn.Module,
    folder: str | Path,
    *,
    name: str | None = None,
    metrics: Mapping[str, float] | str | Path | None = None,
    licence: str | None = None,
    training_data: str | None = None,
) -> Path:
    """Write a model as a folder that :func:`from_pretrained` reads bit for bit.

    Args:
        model: From ``init_model``, ``from_pretrained`` or a training, with its config in ``cfg``.
        folder: Folder of the three files, which are replaced.
        name: Name in the card; by default that of the folder.
        metrics: Metrics by name under the protocol of the config, or the JSON file that
            ``tools/test.py`` wrote; by default those of the folder that the model came from, if it
            came from one, otherwise the card says that none are known.
        licence: Licence of the weights, as SPDX identifier (``Apache-2.0``) or name. By default the
            one of the folder that the model came from, or of the published weights that its config
            names.
        training_data: Data that the weights were trained on, in words, for the card.

    Returns:
        The folder.

    Raises:
        ValueError: If the model has no config, or a metric is no number.
        OSError: If a file cannot be written.
    """
    # The library writes tensors as they lie in memory, without pickle.
    save_file = import_optional('safetensors.torch', 'save_pretrained', 'hub').save_file
    folder = Path(folder)
    if folder.is_file():
        raise FileExistsError(f'{folder} is a file; name a folder')
    if is_exported(getattr(model, 'source', None)):
        raise ValueError(f'{model.source} is an exported model, which is one file: copy that')
    cfg = getattr(model, 'cfg', None)
    if cfg is None:
        raise ValueError('the model has no config (model.cfg); build it with init_model')
    stated = getattr(model, 'card', {})
    data = config_to_data(cfg)
    for key in _OF_A_RUN:
        data.pop(key, None)
    facts = dict(
        format=FORMAT,
        version=depth.__version__,
        name=name or folder.resolve().name,
        prediction_type=model.prediction_type,
        depth_range=depth_range(model),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        protocols=protocol_facts(data),
        metrics=_read_metrics(stated.get('metrics') if metrics is None else metrics),
        licence=licence or stated.get('licence'),
        training_data=training_data or stated.get('training_data'),
        published=licence_facts(data),
        calibration=None if model.calibration is None else model.calibration.to_plain(),
    )
    with atomic_open(folder / WEIGHTS) as file:
        save_file(_separate_tensors(model.state_dict()), file.name)
    weights = folder / WEIGHTS
    facts['weights'] = dict(file=WEIGHTS, size=weights.stat().st_size, sha256=sha256_of(weights))
    content = dict(facts, config=_encode(data))
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(folder / CONFIG, text + '\n')
    write_atomically(folder / CARD, write_card(facts, data))
    return folder


def from_pretrained(
    source: str | Path,
    device: str | torch.device = 'cpu',
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    local_files_only: bool = False,
    accept_licence: str | None = None,
    endpoint: str | None = None,
    token: str | None = None,
    cfg_options: dict | None = None,
    trusted_modules: Sequence[str] = (),
    show_progress: bool = True,
) -> nn.Module:
    """Load a model from a folder, by the name of published weights, or from the Hugging Face Hub.

    Args:
        source: Folder of :func:`save_pretrained`; name of a config whose published weights can be
            fetched (:func:`depth.apis.published_files.list_published`); or ``OWNER/NAME`` of a
            repository on the Hub.
        device: Device of the model.
        revision: Branch, tag or commit of the repository.
        cache_dir: Folder of downloads; by default ``DEPTH_CACHE`` or ``~/.cache/depth-toolbox``,
            and for repositories that of huggingface_hub.
        local_files_only: Never ask the network.
        accept_licence: Name of the licence of published weights, where it restricts their use.
        endpoint: Address of another Hub; by default ``HF_ENDPOINT``.
        token: Access token for the Hub; by default the one of ``hf auth login``.
        cfg_options: Values by dotted key that replace those of the config.
        trusted_modules: Modules and packages outside the toolbox and its projects that the config
            may import and name.
        show_progress: Show the progress of downloads.

    Returns:
        The model in eval mode, as from ``init_model``.

    Raises:
        FileNotFoundError: If the folder lacks a file.
        ConfigError: If its config is no data of this toolbox or names what is not trusted.
        ValueError: If the name is unknown, or a file is damaged.
        PermissionError: If a licence has to be accepted.
        ConnectionError: If a download fails; the message says what to fetch by hand, and where to
            put it.
    """
    if Path(source).is_dir():
        return _load_folder(Path(source), device, cfg_options, trusted_modules)
    name = str(source)
    if name in list_published():
        path = fetch_published(name, cache_dir, accept_licence, local_files_only, show_progress)
        model = init_model(name, path, device, cfg_options, trusted_modules)
        digest = record_published(name, cache_dir)
        if digest is not None:
            print_log(
                f'{path}: SHA-256 {digest} was recorded; the publisher states none, so this first '
                'download was not compared with anything',
                logger='current',
            )
        return model
    if not _REPOSITORY.fullmatch(name) or name.startswith('.'):
        near = difflib.get_close_matches(name, list_published(), n=3)
        hint = f'; did you mean {", ".join(near)}?' if near else ''
        raise ValueError(
            f'{name!r} is no folder, no published weights and no OWNER/NAME of a repository{hint}. '
            'A checkpoint file is loaded with init_model'
        )
    folder = _fetch_repository(
        name, revision, cache_dir, local_files_only, endpoint, token, show_progress
    )
    return _load_folder(folder, device, cfg_options, trusted_modules)


def push_to_hub(
    model: nn.Module | str | Path,
    repository: str,
    *,
    private: bool = True,
    revision: str | None = None,
    message: str = 'Upload model',
    endpoint: str | None = None,
    token: str | None = None,
    **card: Any,
) -> str:
    """Upload a model to a repository of the Hugging Face Hub, which is created if it is missing.

    Args:
        model: The model, or a folder of :func:`save_pretrained`.
        repository: ``OWNER/NAME``.
        private: Whether a new repository is private.
        revision: Branch; by default the main one.
        message: Commit message.
        endpoint: Address of another Hub; by default ``HF_ENDPOINT``.
        token: Access token; by default the one of ``hf auth login``.
        **card: ``metrics``, ``licence`` and ``training_data`` of :func:`save_pretrained`.

    Returns:
        Address of the commit.

    Raises:
        FileNotFoundError: If the folder lacks a file.
        ConnectionError: If the Hub cannot be reached or refuses; the message gives the reason.
    """
    hub = import_optional('huggingface_hub', 'push_to_hub', 'hub')
    if not _REPOSITORY.fullmatch(repository):
        raise ValueError(f'repository is OWNER/NAME, got {repository!r}')
    if isinstance(model, nn.Module):
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(model, folder, name=repository.split('/')[1], **card)
            return push_to_hub(
                folder,
                repository,
                private=private,
                revision=revision,
                message=message,
                endpoint=endpoint,
                token=token,
            )
    if card:
        raise ValueError(f'{", ".join(card)}: the card of a folder is there already; edit {CARD}')
    folder = Path(model)
    _read_description(folder)
    api = hub.HfApi(endpoint=endpoint, token=token)
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            revision=revision,
            commit_message=message,
            # Nothing else that lies in the folder is published.
            allow_patterns=[WEIGHTS, CONFIG, CARD],
        )
    except Exception as error:
        # The library raises errors of its HTTP client, whose classes change between versions.
        raise ConnectionError(
            f'{repository}: the upload failed: {_first_line(error)}. The files are written by '
            'save_pretrained(model, folder) without a network; `hf auth login` stores a token'
        ) from error
    return commit.commit_url


def _load_folder(
    folder: Path,
    device: str | torch.device,
    cfg_options: dict | None,
    trusted_modules: Sequence[str],
) -> nn.Module:
    description = _read_description(folder)
    path, weights = folder / CONFIG, folder / WEIGHTS
    stated = description.get('weights')
    if isinstance(stated, dict) and stated.get('sha256') not in (None, sha256_of(weights)):
        raise ValueError(
            f'{weights} is not the file that {path} describes (its SHA-256 differs): it is damaged '
            'or of another model; copy or fetch both again'
        )
    try:
        data = _decode(description.get('config'))
    except (ValueError, TypeError) as error:
        raise ConfigError(f'{path}: its config cannot be read: {error}') from error
    cfg = config_from_data(data, path, trusted_modules)
    model = init_model(cfg, weights, device, cfg_options, trusted_modules)
    calibration = description.get('calibration')
    if calibration is not None:
        model.calibration = DepthCalibration.from_plain(calibration, str(path))
    model.card = {key: description.get(key) for key in _STATED if description.get(key)}
    return model


def _read_description(folder: Path) -> dict:
    """Return the content of a folder's ``config.json``, still encoded."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise FileNotFoundError(
                f'{folder} has no {name}; it is no folder of save_pretrained, or incomplete'
            )
    path = folder / CONFIG
    if path.stat().st_size > _MAX_CONFIG:
        raise ConfigError(f'{path} has {path.stat().st_size} bytes, at most {_MAX_CONFIG} are read')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'{path} is damaged: {error}') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise ConfigError(f'{path} is no model of this toolbox: its format is not {FORMAT!r}')
    return content


def _fetch_repository(
    name: str,
    revision: str | None,
    cache_dir: str | Path | None,
    local_files_only: bool,
    endpoint: str | None,
    token: str | None,
    show_progress: bool,
) -> Path:
    """Return the folder in the cache with the three files of a repository."""
    hub = import_optional('huggingface_hub', f'from_pretrained({name!r})', 'hub')
    if not show_progress:
        hub.utils.disable_progress_bars(name='huggingface_hub.snapshot_download')
    try:
        folder = hub.snapshot_download(
            name,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            endpoint=endpoint,
            token=token,
            # Code and pickles of a repository are never even fetched.
            allow_patterns=[WEIGHTS, CONFIG, CARD],
        )
    except Exception as error:
        # The library raises errors of its HTTP client, whose classes change between versions.
        address = endpoint or hub.constants.ENDPOINT
        raise ConnectionError(
            f'{name} could not be fetched: {_first_line(error)}. Or fetch {WEIGHTS} and {CONFIG} '
            f'of {address}/{name} by hand into a folder, and give that folder'
        ) from error
    return Path(folder)


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].rstrip('.')


def _separate_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous tensors on the CPU that share no memory, as safetensors asks for."""
    separate = {}
    addresses = set()
    for name, value in state.items():
        value = value.detach().cpu().contiguous()
        # Tied weights are written once for each name.
        if value.data_ptr() in addresses:
            value = value.clone()
        addresses.add(value.data_ptr())
        separate[name] = value
    return separate


def _read_metrics(metrics: Mapping[str, float] | str | Path | None) -> dict[str, float]:
    if metrics is None:
        return {}
    source = 'metrics'
    if isinstance(metrics, str | Path):
        source = str(metrics)
        metrics = json.loads(Path(metrics).read_text(encoding='utf-8'))
    values = {}
    for name, value in metrics.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            raise ValueError(f'{source}: {name} is {value!r}, expected a finite number')
        values[str(name)] = float(value)
    return values


def _encode(value: Any) -> Any:
    """Return plain data as JSON can hold it: tuples, other keys and other numbers are marked."""
    if isinstance(value, Mapping):
        if all(isinstance(key, str) and not key.startswith('__') for key in value):
            return {key: _encode(item) for key, item in value.items()}
        return {_ITEMS: [[_encode(key), _encode(item)] for key, item in value.items()]}
    if isinstance(value, tuple):
        return {_TUPLE: [_encode(item) for item in value]}
    if isinstance(value, list):
        return [_encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    return value


def _decode(value: Any, nesting: int = 0) -> Any:
    """Return the plain data of :func:`_encode`.

    Raises:
        ValueError: If a mark is damaged or the data is nested too deeply.
    """
    if nesting > _MAX_NESTING:
        raise ValueError(f'it is nested more than {_MAX_NESTING} levels deep')
    if isinstance(value, list):
        return [_decode(item, nesting + 1) for item in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {_TUPLE}:
        return tuple(_decode(item, nesting + 1) for item in value[_TUPLE])
    if set(value) == {_ITEMS}:
        content = {}
        for key, item in value[_ITEMS]:
            content[_decode(key, nesting + 1)] = _decode(item, nesting + 1)
        return content
    if set(value) == {_NUMBER}:
        return float(value[_NUMBER])
    return {key: _decode(item, nesting + 1) for key, item in value.items()}
