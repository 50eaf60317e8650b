"""Checkpoints whose tensors are written by all processes, by torch's distributed checkpoint.

``iter_N.pth`` then holds all but the sharded tensors, and for each of these its name, shape and
type. The tensors are in the folder ``iter_N.shards`` beside it: files ``__RANK_*.distcp`` with the
pieces of one process each, and ``.metadata``. ``iter_N.pth`` is written last, by one process, and
lists the size and SHA-256 of every file of the folder: without it there is no checkpoint, and with
it a whole one.

Reading cuts the tensors as the present number of processes needs them; a single process without a
process group reads them whole. Nothing that the files name is imported or executed.
"""

import enum
import hashlib
import io
import pickle
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import IO, Any

import torch
import torch.distributed as dist
from torch import Tensor

from depth.atomic_write import free_space
from depth.integrity import sha256_of
from depth.sharded_tensors import is_sharded

SHARDS = 'shards'  # entry of a checkpoint: the files of its folder
_REFERENCE = '__sharded_tensor__'
_METADATA = '.metadata'
_BUFFER = 1 << 20  # bytes
# What the metadata file may name: plain records of torch's distributed checkpoint, types and sizes.
_METADATA_CLASSES = frozenset(
    {
        'BytesStorageMetadata',
        'ChunkStorageMetadata',
        'Metadata',
        'MetadataIndex',
        'StorageMeta',
        'TensorProperties',
        'TensorStorageMetadata',
        '_MEM_FORMAT_ENCODING',
    }
)


def shards_folder(path: str | Path) -> Path:
    """Return the folder of a checkpoint's sharded tensors, whether it has one or not."""
    return Path(path).with_suffix('.shards')


def split_tensors(
    checkpoint: dict, is_split: Callable[[Tensor], bool] = is_sharded
) -> tuple[dict, dict[str, Tensor]]:
    """Return a checkpoint with references in place of its sharded tensors, and these by name.

    Args:
        checkpoint: Nested dicts and lists.
        is_split: Whether a tensor goes into the folder.
    """
    tensors: dict[str, Tensor] = {}

    def split(value: Any, name: str) -> Any:
        if isinstance(value, Tensor) and is_split(value):
            tensors[name] = value.detach()
            dtype = str(value.dtype).removeprefix('torch.')
            return {_REFERENCE: dict(name=name, shape=list(value.shape), dtype=dtype)}
        if isinstance(value, Mapping):
            return {key: split(item, f'{name}/{key}') for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(split(item, f'{name}/{i}') for i, item in enumerate(value))
        return value

    return {key: split(item, str(key)) for key, item in checkpoint.items()}, tensors


def write_tensors(
    tensors: dict[str, Tensor],
    folder: Path,
    group: dist.ProcessGroup | None = None,
    verify: bool = True,
) -> dict[str, list]:
    """Write the tensors of :func:`split_tensors`; all processes of the group call it.

    Args:
        tensors: On the CPU; each process writes its own pieces.
        folder: Result.
        group: Processes with collectives on the CPU; None without a process group.
        verify: Read each file again and compare its SHA-256 with that of the bytes that were
            written.

    Returns:
        Size in bytes and SHA-256 of each file, by name; in the first process.
        The others get an empty dict.

    Raises:
        OSError: If a process cannot write its pieces, or reads something else than it has written.
    """
    from torch.distributed import checkpoint as dcp

    _clear_folder(folder, group)
    written: dict[str, str] = {}
    rank = 0 if group is None else dist.get_rank(group)
    with warnings.catch_warnings():  # that a single process writes alone
        warnings.simplefilter('ignore')
        writer = _writer(folder, written)
        try:
            dcp.save(tensors, storage_writer=writer, process_group=group, no_dist=group is None)
        except dcp.CheckpointException as error:  # no Exception but a BaseException
            raise OSError(
                f'checkpoint folder {folder} could not be written: {_describe(error)} '
                f'({free_space(folder)}); earlier checkpoints are untouched'
            ) from error
    files = {}
    for name, digest in written.items():
        if verify and sha256_of(folder / name) != digest:
            raise OSError(
                f'{folder / name}: what was written cannot be read again; earlier checkpoints are '
                'untouched'
            )
        files[name] = [(folder / name).stat().st_size, digest]
    if group is None:
        return files
    records: list | None = [None] * dist.get_world_size(group) if rank == 0 else None
    dist.gather_object(files, records, group=group, group_dst=0)
    merged: dict[str, list] = {}
    for record in records or []:
        merged.update(record)
    return merged


def _clear_folder(folder: Path, group: dist.ProcessGroup | None) -> None:
    """Make a folder, or empty it of a killed save's files, before any process writes."""
    if group is None or dist.get_rank(group) == 0:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if path.suffix == '.distcp' or path.name.startswith(_METADATA):
                path.unlink()
    if group is not None:
        dist.barrier(group=group)


class _HashedFile(io.BufferedWriter):
    """File that computes the SHA-256 of what is written, from its begin to its end."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(io.FileIO(path, 'wb'), _BUFFER)
        self.digest = hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return super().write(data)


def _writer(folder: Path, digests: dict[str, str]) -> Any:
    """Return torch's writer into a folder, which notes the SHA-256 of each file by its name."""
    from torch.distributed.checkpoint import FileSystemWriter
    from torch.distributed.checkpoint.filesystem import FileSystem

    class NotingFileSystem(FileSystem):
        @contextmanager
        def create_stream(self, path: str | Path, mode: str) -> Iterator[IO]:
            with _HashedFile(path) as stream:
                yield stream
            # The metadata are written under a temporary name.
            digests[Path(path).name.removesuffix('.tmp')] = stream.digest.hexdigest()

    writer = FileSystemWriter(str(folder), single_file_per_rank=True, sync_files=True)
    writer.fs = NotingFileSystem()
    return writer


def _describe(error: BaseException) -> str:
    """Return an error in one line; that of torch's distributed checkpoint by its first cause."""
    from torch.distributed.checkpoint import CheckpointException

    if isinstance(error, CheckpointException):
        rank, (cause, _) = sorted(error.failures.items())[0]
        return f'process {rank}: {_describe(cause)}'
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def verify_shards(
    path: str | Path, files: Mapping[str, list], mesh: 'dist.DeviceMesh | None' = None
) -> None:
    """Compare the files of a sharded checkpoint with the sizes and digests in its head.

    Args:
        path: The head.
        files: What it lists.
        mesh: Processes that share the work: each reads some of the files, and all refuse together.

    Raises:
        ValueError: If a file is missing or differs; the message names it.
    """
    if not isinstance(files, Mapping):
        raise ValueError(f'checkpoint {path}: its list of files is a {type(files).__name__}')
    names = sorted(files)
    if mesh is not None:
        names = names[mesh.get_local_rank() :: mesh.size()]
    problem = _find_damage(path, {name: files[name] for name in names})
    if mesh is not None:
        problems: list = [None] * mesh.size()
        dist.all_gather_object(problems, problem)
        problem = next((entry for entry in problems if entry is not None), None)
    if problem is not None:
        raise ValueError(problem)


def _find_damage(path: str | Path, files: Mapping[str, list]) -> str | None:
    """Return which file of a checkpoint is missing or differs, in words; None if none does."""
    folder = shards_folder(path)
    for name, (size, digest) in files.items():
        file = folder / name
        try:
            if Path(name).name != name or not file.is_file():
                return f'checkpoint {path}: its file {file} is missing; copy the whole folder'
            present = file.stat().st_size
            if present != size:
                reason = f'it has {present} bytes, {size} were written'
            elif sha256_of(file) != digest:
                reason = 'its SHA-256 is not that of the file that was written'
            else:
                continue
        except OSError as error:
            reason = f'it cannot be read: {error.strerror or error}'
        return (
            f'checkpoint {path} is damaged in {file}: {reason}; copy it again, or take an earlier '
            'checkpoint'
        )
    return None


def join_tensors(checkpoint: dict, path: str | Path, mesh: 'dist.DeviceMesh | None' = None) -> dict:
    """Return a checkpoint with the tensors of its folder in place of their references.

    Args:
        checkpoint: Content of ``path``.
        path: The checkpoint file, beside its folder.
        mesh: Processes among which the tensors are divided; None reads them whole.

    Raises:
        ValueError: If a file of the folder is missing or damaged, or does not hold the tensors.
    """
    from torch.distributed import checkpoint as dcp

    checkpoint = dict(checkpoint)
    verify_shards(path, checkpoint.pop(SHARDS), mesh)
    tensors: dict[str, Tensor] = {}

    def allocate(value: Any) -> Any:
        if isinstance(value, Mapping) and set(value) == {_REFERENCE}:
            entry = value[_REFERENCE]
            tensor = _empty(entry['shape'], getattr(torch, entry['dtype']), mesh)
            tensors[entry['name']] = tensor
            return tensor
        if isinstance(value, Mapping):
            return {key: allocate(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)(allocate(item) for item in value)
        return value

    joined = allocate(checkpoint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            # Each process reads what it needs; nothing is communicated.
            dcp.load(tensors, storage_reader=_reader(shards_folder(path)), no_dist=True)
    except (Exception, dcp.CheckpointException) as error:  # torch's own, of several kinds
        raise ValueError(
            f'checkpoint {path}: {shards_folder(path)} cannot be read: {_describe(error)}'
        ) from error
    return joined


def _empty(shape: list[int], dtype: torch.dtype, mesh: 'dist.DeviceMesh | None') -> Tensor:
    """Return a tensor without values: whole, or this process's piece of a sharded one."""
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f'a sharded checkpoint names the unknown type {dtype!r}')
    # Scalars cannot be divided; each process has them whole.
    if mesh is None or not shape:
        return torch.empty(shape, dtype=dtype)
    from torch.distributed.tensor import DTensor, Shard

    whole = torch.empty(shape, dtype=dtype, device='meta')
    pieces = whole.chunk(mesh.size(), dim=0)
    rank = mesh.get_local_rank()
    piece = pieces[rank] if rank < len(pieces) else whole[:0]
    local = torch.empty(piece.shape, dtype=dtype, device=mesh.device_type)
    return DTensor.from_local(
        local, mesh, (Shard(0),), run_check=False, shape=whole.shape, stride=whole.stride()
    )


def _reader(folder: Path) -> Any:
    """Return torch's reader of a folder, whose metadata may name plain records alone."""
    from torch.distributed.checkpoint import FileSystemReader
    from torch.distributed.checkpoint.metadata import StorageMeta

    class PlainReader(FileSystemReader):
        def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
            with Path(folder, _METADATA).open('rb') as file:
                metadata = _MetadataUnpickler(file).load()
            if metadata.storage_meta is None:
                metadata.storage_meta = StorageMeta()
            return metadata

    return PlainReader(str(folder))


class _MetadataUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return a record of torch's distributed checkpoint, a type or a size.

        Raises:
            pickle.UnpicklingError: If the file names anything else.
        """
        if module == 'torch.distributed.checkpoint.metadata' and name in _METADATA_CLASSES:
            return super().find_class(module, name)
        if (module, name) in (
            ('torch', 'Size'),
            ('torch.serialization', '_get_layout'),
            ('torch.distributed.checkpoint.filesystem', '_StorageInfo'),
        ):
            return super().find_class(module, name)
        if module in ('pathlib', 'pathlib._local') and name in ('PosixPath', 'WindowsPath'):
            return PurePath  # where the files were once; not used
        if (module, name) == ('builtins', 'getattr'):
            return _member_of_enum  # as Python before 3.11.4 writes a member of an enum
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(f'the metadata names {module}.{name}, which is not allowed')


def _member_of_enum(enum_class: type, name: str) -> enum.Enum:
    """Return a member of an enum by its name; no attribute of anything else.

    Raises:
        pickle.UnpicklingError: If it is not an enum.
    """
    if not (isinstance(enum_class, type) and issubclass(enum_class, enum.Enum)):
        raise pickle.UnpicklingError(f'the metadata name an attribute {name} of {enum_class}')
    return enum_class[name]


def copy_to_cpu(
    tensors: dict[str, Tensor], mesh: 'dist.DeviceMesh', copy: Callable[[str, Tensor], Tensor]
) -> dict[str, Tensor]:
    """Return copies of sharded tensors in host memory, which later steps do not change.

    Args:
        tensors: Sharded along their first dimension.
        mesh: The same processes, on the CPU.
        copy: Returns a copy of the tensor of a name in host memory.
    """
    from torch.distributed.tensor import DTensor, Shard

    copies = {}
    for name, tensor in tensors.items():
        copies[name] = DTensor.from_local(
            copy(name, tensor.to_local()),
            mesh,
            (Shard(0),),
            run_check=False,
            shape=tensor.shape,
            stride=tensor.stride(),
        )
    return copies


def write_whole_as_sharded(checkpoint: dict, path: str | Path) -> dict:
    """Write the tensors of a whole checkpoint into its folder, in one process; return its head.

    Args:
        checkpoint: Content of a checkpoint of a training.
        path: File that the head will be saved as.
    """
    groups = ('state_dict', 'ema_state_dict', 'optimizer', 'accumulated_grads')
    tensors: dict[str, Tensor] = {}
    head = dict(checkpoint)
    for key in groups:
        if key in checkpoint:
            # Scalars, such as step counters, stay in the head: they are whole on every process.
            entry, parts = split_tensors({key: checkpoint[key]}, lambda value: value.ndim > 0)
            head.update(entry)
            tensors.update(parts)
    head[SHARDS] = write_tensors(tensors, shards_folder(path))
    return head
