"""Choice of the deformable attention backend, and what the Triton kernels compile to."""

import importlib
import json
import logging
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from torch._subclasses.fake_tensor import FakeTensorMode

from depth.engine.acceleration import BACKEND_VARIABLE, set_attention_backend
from depth.engine.errors import ConfigError
from depth.models.layers import MultiScaleDeformableAttention
from depth.ops import (
    deformable_attention,
    ms_deform_attn,
    select_backend,
    triton_launch,
    use_backend,
)
from tests.shared import REPO, child_environment

SHAPES = [(5, 7), (0, 3), (3, 4)]


@pytest.fixture
def cuda_value():
    """Fake value on CUDA, (N, S, H, D); nothing is computed."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield torch.empty(1, 47, 2, 32, device='cuda')


@pytest.fixture
def compiler(monkeypatch):
    monkeypatch.setattr(triton_launch, '_has_compiler', lambda: True)


def test_triton_runs_on_cuda_and_torch_elsewhere(cuda_value, compiler):
    pytest.importorskip('triton', minversion='3.6')
    assert select_backend(cuda_value) == ('triton', 'on CUDA')
    assert select_backend(torch.empty(1, 47, 2, 32, device='meta')) == ('torch', 'on meta')
    with use_backend('reference'):
        assert select_backend(cuda_value)[0] == 'reference'
        assert select_backend(cuda_value, 'torch') == ('torch', 'as requested')


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        (dict(triton=None), 'Triton is not installed'),
        (dict(OLDEST_TRITON=(99, 0)), 'checked with Triton 99.0 and newer'),
        (dict(_has_compiler=lambda: False), 'needs a C compiler'),
        (dict(DTYPES=()), 'value is torch.float32'),
    ],
)
def test_without_triton_cuda_takes_the_reference(cuda_value, compiler, monkeypatch, change, reason):
    for name, changed in change.items():
        monkeypatch.setattr(triton_launch, name, changed)
    backend, words = select_backend(cuda_value)
    assert backend == 'reference'
    assert reason in words
    monkeypatch.setattr(torch, 'are_deterministic_algorithms_enabled', lambda: True)
    assert select_backend(cuda_value)[0] == 'torch'


def test_the_fused_form_is_the_attention_at_its_locations_and_weights():
    generator = torch.Generator().manual_seed(0)
    value = torch.randn(2, 47, 2, 4, generator=generator, dtype=torch.float64)
    offsets = torch.randn(2, 6, 2, 3, 5, 2, generator=generator, dtype=torch.float64) * 3
    logits = torch.randn(2, 6, 2, 3, 5, generator=generator, dtype=torch.float64)
    references = torch.rand(1, 6, 1, 2, generator=generator, dtype=torch.float64)
    locations = torch.empty_like(offsets)
    for level, (height, width) in enumerate(SHAPES):
        for axis, side in ((0, width), (1, max(height, 1))):
            own = references[:, :, 0, axis, None, None] + offsets[:, :, :, level, :, axis] / side
            locations[:, :, :, level, :, axis] = own
    weights = logits.exp() / logits.exp().sum(dim=(3, 4), keepdim=True)
    expected = ms_deform_attn(value, SHAPES, locations, weights, backend='reference')
    for backend in ('reference', 'torch'):
        actual = deformable_attention(value, SHAPES, references, offsets, logits, backend=backend)
        torch.testing.assert_close(actual, expected)


def test_locations_are_float32_whatever_the_dtype_of_offsets():
    """In bfloat16, the neighbouring columns 600 and 601 of 1200 are one location."""
    value = torch.arange(1200.0).view(1, 1200, 1, 1)
    references = ((torch.arange(1200) + 0.5) / 1200)[None, :, None, None].expand(1, -1, 1, 1)
    references = torch.cat([references, torch.full_like(references, 0.5)], dim=-1)
    offsets = torch.zeros(1, 1200, 1, 1, 1, 2, dtype=torch.bfloat16)
    logits = torch.zeros(1, 1200, 1, 1, 1, dtype=torch.bfloat16)
    actual = deformable_attention(value, [(1, 1200)], references, offsets, logits)
    torch.testing.assert_close(actual[0, :, 0], torch.arange(1200.0), rtol=0, atol=1e-3)


def test_references_that_do_not_fit_are_named():
    offsets, logits = torch.zeros(1, 6, 2, 3, 5, 2), torch.zeros(1, 6, 2, 3, 5)
    with pytest.raises(ValueError, match=r'reference_points must be \(1 or 1, 6, 3 or 1, 2\)'):
        deformable_attention(
            torch.zeros(1, 47, 2, 4), SHAPES, torch.zeros(1, 6, 2), offsets, logits
        )


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = MultiScaleDeformableAttention(32, num_heads=2)


def test_environment_comes_before_the_config(monkeypatch):
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
    model = Model()
    line = set_attention_backend(model, Config(dict()), 'cpu')
    assert (line, model.attention.backend) == (
        'deformable attention: backend torch, on cpu',
        'auto',
    )
    cfg = Config(dict(deform_attn_backend='torch'))
    line = set_attention_backend(model, cfg, 'cpu')
    assert line == 'deformable attention: backend torch, as deform_attn_backend says'
    monkeypatch.setenv(BACKEND_VARIABLE, 'reference')
    line = set_attention_backend(model, cfg, 'cpu')
    assert line == f'deformable attention: backend reference, as {BACKEND_VARIABLE} says'
    assert model.attention.backend == 'reference'
    assert set_attention_backend(torch.nn.Linear(2, 2), cfg, 'cpu') is None


@pytest.mark.parametrize(
    ('choice', 'message'),
    [('cuda', "deform_attn_backend: backend is one of 'auto'"), ('triton', 'cannot run: Triton')],
)
def test_a_backend_that_cannot_run_is_an_error_at_the_start(choice, message, monkeypatch):
    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=message):
        set_attention_backend(Model(), Config(dict(deform_attn_backend=choice)), 'cpu')


def test_the_model_of_a_config_uses_its_backend_and_logs_it(monkeypatch, caplog):
    from depth.apis import init_model

    monkeypatch.delenv(BACKEND_VARIABLE, raising=False)
    config = REPO / 'configs/synthetic/depthformer_tiny_rooms.py'
    with caplog.at_level(logging.INFO):
        model = init_model(config, cfg_options=dict(deform_attn_backend='reference'))
    layers = [m for m in model.modules() if isinstance(m, MultiScaleDeformableAttention)]
    assert {layer.backend for layer in layers} == {'reference'}


@pytest.mark.parametrize('tool', ['train', 'test', 'infer'])
def test_the_flag_sets_the_environment(tool, monkeypatch):
    # Set first, so that the value is put back after the test.
    monkeypatch.setenv(BACKEND_VARIABLE, 'auto')
    parser = importlib.import_module(f'depth.cli.{tool}').build_parser()
    parser.parse_args([*ARGUMENTS[tool], '--deform-attn-backend', 'torch'])
    assert os.environ[BACKEND_VARIABLE] == 'torch'


ARGUMENTS = dict(
    train=['config.py'],
    test=['config.py', 'weights.pth'],
    infer=['image.png', '--checkpoint', 'weights.pth', '--out-dir', 'out'],
)


@pytest.fixture(scope='module')
def compiled_kernels(tmp_path_factory):
    """Return a row a kernel for sm_80 and sm_90: Triton compiles for a GPU that need not be there."""
    pytest.importorskip('triton', minversion='3.6')
    if os.environ.get('TRITON_INTERPRET') == '1':
        pytest.skip('TRITON_INTERPRET=1: Triton interprets kernels instead of compiling them')
    code = (
        'import json; from benchmarks.kernels import kernel_rows; '
        'print(json.dumps(kernel_rows([80, 90], [(128, 1)], (64,), ("bf16",), (True,))))'
    )
    cache = str(tmp_path_factory.mktemp('triton'))
    environment = child_environment(TRITON_CACHE_DIR=cache)
    process = subprocess.run(
        [sys.executable, '-c', code], cwd=REPO, env=environment, capture_output=True, text=True
    )
    assert process.returncode == 0, process.stderr[-3000:]
    return json.loads(process.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize('arch', [80, 90])
def test_kernels_compile_without_spills_and_coarse_levels_save_atomics(arch, compiled_kernels):
    rows = [row for row in compiled_kernels if row['arch'] == f'sm_{arch}']
    assert len(rows) == 3
    assert {row['spilled_bytes'] for row in rows} == {0}
    atomics = {row['kernel']: row['atomics_per_point'] for row in rows}
    vector = 4 if arch >= 90 else 1  # sm_90 adds four numbers at once
    assert atomics['forward'] == 0
    assert atomics['backward'] == 4 * 64 / vector  # corners x channels
    assert atomics['backward, coarse levels'] < 1
    if arch >= 90:
        assert {row['barriers'] for row in rows if row['tile'] is not None} == {0}
