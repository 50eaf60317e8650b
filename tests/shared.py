"""Where the shared reference values and real frames are, a skip in words where they are not, and the seed."""

import os
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
SHARED = REPO.parent / 'shared'
SEED = int(os.environ.get('DEPTH_TEST_SEED', '0'))  # of tests that train: they hold for every seed
REFERENCE = SHARED / 'reference'
SAMPLES = SHARED / 'samples'

needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason=f'{REFERENCE} (reference values) is not there'
)
needs_samples = pytest.mark.skipif(
    not SAMPLES.is_dir(), reason=f'{SAMPLES} (real frames) is not there'
)
