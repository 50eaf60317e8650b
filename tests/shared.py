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


def child_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a Python that a test starts: it also finds the repository."""
    path = os.pathsep.join(filter(None, [str(REPO), os.environ.get('PYTHONPATH')]))
    return dict(os.environ, PYTHONPATH=path, **variables)


# Options that make a DenseDepth config a network of 0.3 million parameters.
TINY_DENSEDEPTH = [
    'model.backbone.model_name=test_resnet',
    'model.backbone.pretrained=False',
    'model.decode_head.in_channels=[32,32,48,192,96]',
    'model.decode_head.up_sample_channels=[8,8,8,8,8]',
    'model.decode_head.channels=8',
]
