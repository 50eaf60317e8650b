"""Memory that a process keeps for its next allocations when it frees it (glibc).

Large blocks are otherwise given back to the system at once. The next ones come as pages that the
kernel clears and maps one by one.
"""

import contextlib
import ctypes
from collections.abc import Iterator

# Names, numbers and initial values of glibc's mallopt.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = 128 << 10, 128 << 10, 65536
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


@contextlib.contextmanager
def freed_memory_given_back() -> Iterator[None]:
    """Give freed memory back within the block as glibc does by itself, then keep all of it."""
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(M_MMAP_MAX, MMAP_MAX)
    mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD)
    mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD)
    ctypes.CDLL(None).malloc_trim(0)
    try:
        yield
    finally:
        keep_freed_memory()


def _mallopt():
    """Return glibc's function, None elsewhere."""
    try:
        return ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return None
