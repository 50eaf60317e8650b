import subprocess
import sys

import pytest
import torch

from depth.ops import ms_deform_attn
from tests.shared import REPO, child_environment


def check(device, **environment):
    script = [sys.executable, '-m', 'tests.ops.triton_check', device]
    env = child_environment(**environment)
    process = subprocess.run(script, cwd=REPO, env=env, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-3000:]
    assert 'largest error' in process.stdout


@pytest.mark.slow
def test_interpreted_kernels_are_the_reference():
    pytest.importorskip('triton', minversion='3.6')
    check('cpu', TRITON_INTERPRET='1')


@pytest.mark.skipif(torch.cuda.is_available(), reason='Triton can run here')
def test_without_a_gpu_it_says_so():
    value, locations, weights = (
        torch.zeros(1, 4, 1, 16),
        torch.zeros(1, 1, 1, 1, 1, 2),
        torch.zeros(1, 1, 1, 1, 1),
    )
    with pytest.raises(
        RuntimeError,
        match=r"'triton' cannot run: .*(needs a CUDA device|is not installed|were checked with)",
    ):
        ms_deform_attn(value, [(2, 2)], locations, weights, backend='triton')
