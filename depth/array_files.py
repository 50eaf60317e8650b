"""Reader of NumPy's files, and what it raises for damaged ones."""

import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

# What NumPy and zipfile raise for files that are cut off, damaged or of another kind.
NUMPY_ERRORS = (
    ValueError,
    OSError,
    EOFError,
    LookupError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    tokenize.TokenError,
)


def load_array(path: str | Path) -> np.ndarray:
    """Return the array of an npy file, or the first one of an npz file, unchanged.

    Raises:
        NUMPY_ERRORS: If it cannot be read; the caller knows what the file should have been.
    """
    # Without pickle: unpickling an array of objects would run code of the file.
    loaded = np.load(path, allow_pickle=False)
    if isinstance(loaded, np.ndarray):
        return loaded
    with loaded as archive:
        return archive[archive.files[0]]
