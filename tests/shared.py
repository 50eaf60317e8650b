"""Where the shared reference values and real frames are, and a skip in words where they are not."""

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / 'shared'
REFERENCE = SHARED / 'reference'
SAMPLES = SHARED / 'samples'

needs_reference = pytest.mark.skipif(not REFERENCE.is_dir(), reason=f'{REFERENCE} (reference values) is not there')
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason=f'{SAMPLES} (real frames) is not there')
