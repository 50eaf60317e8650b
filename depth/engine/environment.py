"""Settings of PyTorch that a config makes for its whole process, and timestamps of its runs."""

import os
from datetime import datetime, timedelta

import torch

_TIMESTAMP_FORMAT = '%Y%m%d_%H%M%S'
# Timestamps of the runners of this process.
_used_timestamps: set[str] = set()


def set_tf32(tf32: bool | None) -> None:
    """Switch TF32 of CUDA's products and convolutions on or off; None leaves it as PyTorch has it.

    Raises:
        ValueError: If ``tf32`` is neither a bool nor None.
    """
    if tf32 is None:
        return
    if not isinstance(tf32, bool):
        raise ValueError(f'env_cfg.tf32 is True, False or None (as PyTorch has it), got {tf32!r}')
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def use_deterministic_kernels() -> None:
    """Use deterministic kernels where there are any, and warn once where there is none.

    mmengine would let a kernel without a deterministic variant (bicubic and bilinear resizing,
    cumulative sums) end the run; results may differ in the last digits instead.
    """
    # cuBLAS reads this when its first product is computed.
    os.environ.setdefault('CUBLAS_WORKSPACE_CONFIG', ':4096:8')
    torch.use_deterministic_algorithms(True, warn_only=True)


def unused_timestamp(timestamp: str) -> str:
    """Return the first timestamp from the given second on that no runner of this process has.

    mmengine names logger, message hub and log folder by the second: two runs of one process in one
    second would share them. The processes of a run start from one time and count alike.
    """
    while timestamp in _used_timestamps:
        following = datetime.strptime(timestamp, _TIMESTAMP_FORMAT) + timedelta(seconds=1)
        timestamp = following.strftime(_TIMESTAMP_FORMAT)
    _used_timestamps.add(timestamp)
    return timestamp
