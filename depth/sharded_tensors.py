"""Tensors divided over processes (``DTensor``): their local piece, their whole, and cutting.

Every sharded tensor of this toolbox is divided along its first dimension over one row of processes,
as FSDP2 does it: the pieces are those of ``torch.chunk``, and the last processes may have none.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def is_sharded(value: Any) -> bool:
    """Return whether a value is a tensor that is divided over processes."""
    # Without a process group there is none, and the import, 0.3 s, is not needed.
    if not isinstance(value, Tensor) or not dist.is_available() or not dist.is_initialized():
        return False
    from torch.distributed.tensor import DTensor

    return isinstance(value, DTensor)


def local_tensor(value: Tensor) -> Tensor:
    """Return this process's piece of a sharded tensor, no copy; other tensors as they are."""
    return value.detach().to_local() if is_sharded(value) else value


def shard_like(value: Tensor, target: Tensor) -> Tensor:
    """Return a tensor divided as another one is, on its device.

    Args:
        value: Whole tensor, the same on all processes, or one that is divided already.
        target: Tensor of the same shape; if it is not sharded, ``value`` is returned as it is.
    """
    if not is_sharded(target) or is_sharded(value):
        return value
    return shard_tensor(value.to(target.device), target.device_mesh)


def shard_tensor(value: Tensor, mesh: 'torch.distributed.DeviceMesh') -> Tensor:
    """Return a whole tensor, the same on all processes, divided along its first dimension.

    Nothing is communicated: each process cuts its own piece out.
    """
    from torch.distributed.tensor import DTensor, Shard

    pieces = value.chunk(mesh.size(), dim=0)
    rank = mesh.get_local_rank()
    piece = pieces[rank] if rank < len(pieces) else value[:0]
    return DTensor.from_local(
        piece.contiguous(),
        mesh,
        (Shard(0),),
        run_check=False,
        shape=value.shape,
        stride=value.contiguous().stride(),
    )


def gather_tensors(value: Any, keep: bool = True) -> Any:
    """Return nested dicts and lists with the whole of each sharded tensor, on the CPU.

    A collective operation: all processes have to call it with the same structure.

    Args:
        value: Tensors and other values in dicts, lists and tuples.
        keep: Whether this process wants the result. The others take part and get None in place of
            each sharded tensor, so that one process alone needs the memory.
    """
    if is_sharded(value):
        whole = value.full_tensor()
        return whole.detach().cpu() if keep else None
    if isinstance(value, dict):
        return {key: gather_tensors(item, keep) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(gather_tensors(item, keep) for item in value)
    return value
