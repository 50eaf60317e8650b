"""Checkpoints whose tensors are written by all processes, by torch's distributed checkpoint.

``iter_N.pth`` then holds all but the sharded tensors, and for each of these its name, shape and type.
The tensors are in the folder ``iter_N.shards`` beside it: files ``__RANK_*.distcp`` with the pieces of
one process each, and ``.metadata``. ``iter_N.pth`` is written last, by one process, and lists the size
and SHA-256 of every file of the folder: without it there is no checkpoint, and with it a whole one.

Reading cuts the tensors as the present number of processes needs them; a single process without a
process group reads them whole. Nothing that the files name is imported or executed.
"""

import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from depth.integrity import sha256_of
from depth.sharded_tensors import is_sharded

SHARDS = 'shards'  # entry of a checkpoint: the files of its folder
_REFERENCE = '__sharded_tensor__'
_METADATA = '.metadata'
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
    tensors: dict[str, Tensor], folder: Path, group: dist.ProcessGroup | None = None
) -> dict[str, list]:
    """Write the tensors of :func:`split_tensors`; all processes of the group call it.

    Args:
        tensors: On the CPU; each process writes its own pieces.
        folder: Result.
        group: Processes with collectives on the CPU; None without a process group.

    Returns:
        Size in bytes and SHA-256 of each file as it was read again, by name; in the first process.
        The others get an empty dict.
    """
    from torch.distributed import checkpoint as dcp

    folder.mkdir(parents=True, exist_ok=True)
    writer = dcp.FileSystemWriter(str(folder), single_file_per_rank=True, sync_files=True)
    rank = 0 if group is None else dist.get_rank(group)
    with warnings.catch_warnings():  # that a single process writes alone
        warnings.simplefilter('ignore')
        dcp.save(tensors, storage_writer=writer, process_group=group, no_dist=group is None)
    files = {}
    names = [path.name for path in folder.glob(f'__{rank}_*.distcp')]
    for name in [*names, _METADATA] if rank == 0 else names:
        files[name] = [(folder / name).stat().st_size, sha256_of(folder / name)]
    if group is None:
        return files
    records: list | None = [None] * dist.get_world_size(group) if rank == 0 else None
    dist.gather_object(files, records, group=group, group_dst=0)
    merged: dict[str, list] = {}
    for record in records or []:
        merged.update(record)
    return merged


def verify_shards(path: str | Path, files: Mapping[str, list]) -> None:
    """Compare the files of a sharded checkpoint with the sizes and digests in its head.

    Raises:
        ValueError: If a file is missing or differs; the message names it.
    """
    folder = shards_folder(path)
    for name, (size, digest) in files.items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise ValueError(f'checkpoint {path}: its file {file} is missing')
        if file.stat().st_size != size or sha256_of(file) != digest:
            raise ValueError(
                f'checkpoint {path} is damaged in {file}; copy it again, or take an earlier checkpoint'
            )


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
    verify_shards(path, checkpoint.pop(SHARDS))
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
    except Exception as error:  # torch's own, of several kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f'checkpoint {path}: {shards_folder(path)} cannot be read: {reason}'
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
        if module == 'torch' and isinstance(getattr(torch, name, None), torch.dtype):
            return getattr(torch, name)
        raise pickle.UnpicklingError(f'the metadata names {module}.{name}, which is not allowed')


def copy_to_cpu(tensors: dict[str, Tensor], mesh: 'dist.DeviceMesh') -> dict[str, Tensor]:
    """Return copies of sharded tensors in host memory, which later steps do not change.

    Args:
        tensors: Sharded along their first dimension.
        mesh: The same processes, on the CPU.
    """
    from torch.distributed.tensor import DTensor, Shard

    copies = {}
    for name, tensor in tensors.items():
        copies[name] = DTensor.from_local(
            tensor.to_local().to('cpu', copy=True),
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
