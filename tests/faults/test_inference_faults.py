"""Faults of images, cameras and outputs in inference."""

import pytest

from .bench import Fault, check_fault

INFER = 'infer {images} --checkpoint {checkpoint} --out-dir {out} --device cpu'
CASES = [
    Fault(
        'checkpoint_missing',
        lambda bench: bench.checkpoint.unlink(),
        INFER,
        says=('{checkpoint} does not exist',),
    ),
    Fault(
        'image_truncated',
        lambda bench: (bench.images / '000.png').write_bytes((bench.images / '000.png').read_bytes()[:200]),
        INFER,
        says=('{images}/000.png', '1 images done'),
        writes=('out/**/001*', 'out/report.json'),
    ),
]


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)
