"""Memory that a process keeps for its next allocations when it frees it (glibc).

Large blocks are otherwise given back to the system at once. The next ones come as pages that the
kernel clears and maps one by one.
"""

import ctypes
from collections.abc import Callable

# Names and numbers of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
LARGEST_MMAP_THRESHOLD = 1 << 25  # bytes, of glibc on 64 bits
UNLIMITED = -1


def keep_freed_memory(most: int | None = None) -> bool:
    """Keep freed memory in this process from now on.

    Args:
        most: Bytes that are kept at the end of the heap; blocks of 32 MB and more are not kept
            then. None keeps everything, so the process stays as large as it ever was.

    Returns:
        Whether the C library can do that.
    """
    mallopt = _mallopt()
    if mallopt is None:
        return False
    if most is None:
        return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, UNLIMITED))
    is_kept = mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD)
    return bool(is_kept and mallopt(M_TRIM_THRESHOLD, most))


def _mallopt() -> Callable[[int, int], int] | None:
    """Return glibc's function, None elsewhere."""
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None
