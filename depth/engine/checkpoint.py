"""Checkpoint files: written atomically, read without executing what they name."""

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader
from torch import Tensor, nn

from depth.atomic_write import atomic_open
from depth.integrity import check_weights, is_finite, verify_archive
from depth.sharded_tensors import shard_like

from .sharded_checkpoint import SHARDS, join_tensors, verify_shards

_BUFFER = '__history_buffer__'
_DROP = object()


class Replaced:
    """Inert placeholder for an object of a foreign checkpoint whose class is not allowed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Ignore the arguments."""

    def __setstate__(self, state: Any) -> None:
        """Ignore the state."""

    def __call__(self, *args: Any, **kwargs: Any) -> 'Replaced':
        """Return another placeholder."""
        return Replaced()

    def append(self, item: Any) -> None:
        """Do nothing."""

    def extend(self, items: Any) -> None:
        """Do nothing."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Do nothing."""


def to_plain(value: Any, copy: Callable[[str, Tensor], Tensor] | None = None) -> Any:
    """Return ``value`` with tensors on the CPU and everything else as plain Python values.

    History buffers become dicts, which :func:`from_plain` converts back. Entries that have no plain
    form, such as a function in a scheduler's state, are dropped; loading then keeps the one that
    was built from the config.

    Args:
        value: Content of a checkpoint.
        copy: Gives what stands for a tensor of a name; None shares those that are on the CPU.
    """
    plain = _plain(value, copy or _to_cpu, '')
    return None if plain is _DROP else plain


def _to_cpu(name: str, tensor: Tensor) -> Tensor:
    return tensor.detach().to('cpu')


def _plain(value: Any, copy: Callable[[str, Tensor], Tensor], name: str) -> Any:
    if isinstance(value, Tensor):
        return copy(name, value)
    if isinstance(value, HistoryBuffer):
        values, counts = value.data
        content = dict(
            values=torch.tensor(np.asarray(values, np.float64)),
            counts=torch.tensor(np.asarray(counts)),
        )
        return {_BUFFER: dict(content, max_length=int(value.max_length))}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        items = {key: _plain(item, copy, f'{name}/{key}') for key, item in value.items()}
        return {key: item for key, item in items.items() if item is not _DROP}
    if isinstance(value, list | tuple | set):
        items = [_plain(item, copy, f'{name}/{i}') for i, item in enumerate(value)]
        return type(value)(item for item in items if item is not _DROP)
    if value is None or isinstance(value, bool):
        return value
    # Subclasses too: torch.__version__ is a str of a class of its own.
    for kind in (int, float, complex, str, bytes):
        if isinstance(value, kind):
            return kind(value)
    return _DROP


def from_plain(value: Any) -> Any:
    """Restore the history buffers that :func:`to_plain` converted."""
    if isinstance(value, dict):
        if set(value) == {_BUFFER}:
            content = value[_BUFFER]
            return HistoryBuffer(
                content['values'].numpy(), content['counts'].numpy(), content['max_length']
            )
        return {key: from_plain(item) for key, item in value.items()}
    return value


def save_atomically(checkpoint: dict, path: str | Path, verify: bool = False) -> None:
    """Write a checkpoint under a temporary name and rename it; a failure keeps the earlier file.

    Args:
        checkpoint: Tensors and plain values.
        path: Path of the file.
        verify: Read the file again and compare its checksums before it is renamed.

    Raises:
        OSError: If the file cannot be written, or does not hold what was written.
    """
    try:
        with atomic_open(path) as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's error for a full disk
                raise OSError(str(error)) from error
            if verify:
                file.flush()
                os.fsync(file.fileno())
                try:
                    verify_archive(file.name)
                except ValueError as error:
                    raise OSError(f'what was written cannot be read again: {error}') from error
    except OSError as error:
        raise OSError(f'checkpoint {error}; earlier checkpoints are untouched') from error


def load_checkpoint_file(
    path: str | Path, map_location: str | torch.device = 'cpu', mesh: Any = None
) -> dict:
    """Read a checkpoint without importing or calling anything that it names.

    Files of this toolbox are read by torch's weights-only reader, ``.safetensors`` files by that of
    safetensors. Files with objects of other classes are read by a restricted unpickler that keeps
    tensors and plain values, replaces other objects by inert placeholders, and logs their classes.
    The checksums of the archive are compared first.

    Args:
        path: Checkpoint file.
        map_location: Device of the tensors.
        mesh: Processes over which the tensors of a sharded checkpoint are divided; None reads them
            whole.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no checkpoint or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'checkpoint {path} does not exist')
    if path.stat().st_size == 0:
        raise ValueError(f'checkpoint {path} is empty')
    if path.suffix == '.safetensors':
        return _load_safetensors(path, map_location)
    verify_archive(path)
    try:
        checkpoint = torch.load(path, map_location=map_location, weights_only=True)
    except (RuntimeError, EOFError, zipfile.BadZipFile, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f'checkpoint {path} is damaged or not a checkpoint: {reason}') from error
    # UnpicklingError for objects of other classes, and many kinds for bytes that are no pickle.
    except Exception:
        checkpoint = _load_foreign(path, map_location)
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, expected a dict of weights'
        )
    return join_tensors(checkpoint, path, mesh) if SHARDS in checkpoint else checkpoint


def _load_safetensors(path: Path, map_location: str | torch.device) -> dict:
    """Read a safetensors file, which can hold tensors alone."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path, device=str(map_location))
    except (SafetensorError, OSError) as error:
        raise ValueError(f'checkpoint {path} is damaged or no safetensors file: {error}') from error


@CheckpointLoader.register_scheme(prefixes='', force=True)
def load_for_mmengine(filename: str, map_location: str | torch.device | None) -> dict:
    """Read a local checkpoint for mmengine (``init_cfg=dict(type='Pretrained', ...)``) safely.

    mmengine's own reader uses the default of ``torch.load``, which executes what a file names
    before PyTorch 2.6.
    """
    return load_checkpoint_file(Path(filename).expanduser(), map_location)


def _load_foreign(path: Path, map_location: str | torch.device) -> dict:
    """Read a checkpoint with the restricted unpickler and log the classes that were replaced."""
    replaced: set[str] = set()

    class Reader(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            allowed_class = _allowed_class(module, name)
            if allowed_class is None:
                replaced.add(f'{module}.{name}')
                # A new class for each name: pickle builds objects by calling it or its __new__.
                return type(name, (Replaced,), {})
            return allowed_class

    # torch.load takes a module with these two names.
    load = staticmethod(lambda file, **options: Reader(file).load())
    reader = type('restricted_pickle', (), dict(Unpickler=Reader, load=load))
    try:
        checkpoint = torch.load(
            path, map_location=map_location, pickle_module=reader, weights_only=False
        )
    except Exception as error:
        raise ValueError(
            f'checkpoint {path} is damaged or not a checkpoint: {type(error).__name__}: '
            f'{str(error)[:200]}'
        ) from error
    if replaced:
        print_log(
            f'{path}: {len(replaced)} kinds of objects were not read, placeholders stand for them: '
            f'{", ".join(sorted(replaced))}',
            logger='current',
        )
    return checkpoint


def _allowed_class(module: str, name: str) -> Any:
    """Return the class or function of a name that a pickle may use, None if it may not.

    Allowed are tensors, storages, sizes, dtypes, ordered dicts and NumPy numbers.
    """
    if (module, name) == ('collections', 'OrderedDict'):
        return OrderedDict
    if module == 'torch._utils' and name in (
        '_rebuild_tensor',
        '_rebuild_tensor_v2',
        '_rebuild_parameter',
    ):
        return getattr(torch._utils, name)
    if module == 'torch' and name in ('Size', 'device', 'dtype'):
        return getattr(torch, name)
    if module in ('torch', 'torch.storage') and name.endswith('Storage'):
        owner = torch if hasattr(torch, name) else torch.storage
        return getattr(owner, name, None)
    if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
        return getattr(torch, name)
    if (module, name) == ('_codecs', 'encode'):  # old pickle protocols spell bytes as encoded text
        return _encode
    if module in ('numpy', 'numpy.core.multiarray', 'numpy._core.multiarray'):
        numpy_names = dict(
            dtype=np.dtype, ndarray=np.ndarray, scalar=_numpy_scalar, _reconstruct=_numpy_array
        )
        return numpy_names.get(name)
    return None


def _encode(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


def _numpy_scalar(dtype: np.dtype, data: bytes) -> Any:
    if np.dtype(dtype).hasobject:
        raise ValueError('an array of Python objects')
    return np.frombuffer(data, dtype)[0].item()


def _numpy_array(subtype: type, shape: tuple, dtype: Any) -> np.ndarray:
    return np.ndarray.__new__(np.ndarray, shape, dtype)


def load_model_state(
    model: nn.Module, state: Mapping[str, Tensor], source: str | Path, strict: bool = True
) -> None:
    """Load weights into a model; names or shapes that do not fit are an error.

    Weights that a module lists in ``OPTIONAL_STATE`` may be missing, unexpected or of another
    shape; that is logged.

    Args:
        model: Model without a distributed wrapper.
        state: Weights by name; a leading ``module.`` is dropped.
        source: File of the weights, for the message.
        strict: If False, weights that do not fit are logged and left out.

    Raises:
        ValueError: If names are missing or unexpected, shapes differ, or a weight is NaN or
            infinite.
    """
    state = {name.removeprefix('module.'): value for name, value in state.items()}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f'checkpoint {source} holds a {type(value).__name__} as {name!r}, expected a tensor'
            )
    own = model.state_dict()
    initial = dict(own)  # with the optional weights, for the comparison of infinities below
    for name in optional_names(model):
        if name in state and (name not in own or state[name].shape != own[name].shape):
            print_log(
                f'{name} of {source} does not belong to this config and is left out',
                logger='current',
            )
            del state[name]
        if name not in state:
            own.pop(name, None)
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    mismatched = []
    for name, value in own.items():
        if name in state and state[name].shape != value.shape:
            mismatched.append(f'{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}')
    problems = []
    for kind, names in (
        ('missing', missing),
        ('unexpected', unexpected),
        ('differing in shape', mismatched),
    ):
        if names:
            ellipsis = ', ...' if len(names) > 6 else ''
            problems.append(f'{len(names)} {kind}: {", ".join(names[:6])}{ellipsis}')
    if problems:
        model_name = type(model).__name__
        message = (
            f'checkpoint {source} does not fit the model ({model_name} of the config): '
            f'{"; ".join(problems)}'
        )
        if strict:
            raise ValueError(f'{message}. Is it a checkpoint of this config?')
        print_log(message, logger='current')
        state = {
            name: value
            for name, value in state.items()
            if name in own and value.shape == own[name].shape
        }
    check_weights(state, source, initial)
    state = {name: shard_like(value, initial[name]) for name, value in state.items()}
    model.load_state_dict(state, strict=False)


def optional_names(model: nn.Module) -> set[str]:
    """Return the names of weights that a checkpoint need not have, from ``OPTIONAL_STATE``."""
    names = set()
    for prefix, module in model.named_modules():
        for name in getattr(module, 'OPTIONAL_STATE', ()):
            names.add(f'{prefix}.{name}'.lstrip('.'))
    return names


def find_latest_checkpoint(
    work_dir: str | Path, among: Iterable[Path] | None = None
) -> Path | None:
    """Return the newest ``iter_N.pth`` of a work dir that can be loaded, None if it has none.

    A file that is cut off, whose checksums or pickle are damaged, or whose weights hold NaN is
    skipped, with a line in the log.

    Args:
        work_dir: Folder.
        among: Files that are considered; all of the folder by default.

    Raises:
        ValueError: If there are checkpoints, but none can be loaded; a new start would overwrite
            them.
    """
    numbered = []
    for path in Path(work_dir).glob('iter_*.pth') if among is None else among:
        number = path.stem.removeprefix('iter_')
        if number.isdigit():
            numbered.append((int(number), path))
    problems = []
    for _, path in sorted(numbered, reverse=True):
        try:
            _check_loadable(path)
        except (ValueError, OSError) as error:
            print_log(
                f'{path} cannot be resumed from, trying the one before: {error}', logger='current'
            )
            problems.append(str(error))
            continue
        return path
    if problems:
        raise ValueError(
            f'none of the {len(problems)} checkpoints in {work_dir} can be loaded; move them away '
            f'to start anew. The newest: {problems[0]}'
        )
    return None


def _check_loadable(path: Path) -> None:
    """Raise ValueError or OSError if :func:`load_checkpoint_file` could not read our own file."""
    if not zipfile.is_zipfile(path):
        raise ValueError(f'checkpoint {path} is cut off or not a checkpoint')
    verify_archive(path)
    try:
        checkpoint = torch.load(path, map_location='cpu', weights_only=True, mmap=True)
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can raise any exception
        raise ValueError(
            f'checkpoint {path} is damaged: {type(error).__name__}: {str(error)[:200]}'
        ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'checkpoint {path} holds a {type(checkpoint).__name__}, expected a dict of weights'
        )
    if SHARDS in checkpoint:
        verify_shards(path, checkpoint[SHARDS])
    weights = checkpoint.get('state_dict', checkpoint)
    # Only NaN here: an infinity may be an attention mask of the model, with which
    # load_model_state() compares it.
    with_nan = {}
    for name, value in weights.items():
        if isinstance(value, Tensor) and not is_finite(value) and bool(value.isnan().any()):
            with_nan[name] = value
    check_weights(with_nan, f'checkpoint {path}')
