"""Deformable attention on a GPU: every backend, at the sizes of published models."""

import math
import subprocess
import sys

import pytest
import torch

from depth.models.layers import MultiScaleDeformableAttention
from depth.ops import (
    deformable_attention,
    ms_deform_attn,
    select_backend,
    triton_launch,
    use_backend,
)
from tests.shared import REPO

from .shared import DEVICE, GPU, cuda_alone

pytestmark = [*GPU, cuda_alone]
LEVELS = [(88, 176), (44, 88), (22, 44), (11, 22)]  # DepthFormer at 352x704
ROWS = sum(height * width for height, width in LEVELS)
QUERIES = 4000  # other than the rows of the value
FUSED = ('output', 'value', 'references', 'offsets', 'logits')
LOCATIONS = ('references', 'offsets', 'locations')


def make_inputs(dtype, queries=QUERIES, levels=LEVELS, size=64, heads=8, points=8, spread=6.0):
    """Return value, references, offsets and logits; half of the references are one hot spot."""
    generator = torch.Generator().manual_seed(0)
    rows = sum(height * width for height, width in levels)
    # Every second row of a larger tensor: not contiguous.
    value = torch.randn(1, rows * 2, heads, size, generator=generator).to(DEVICE, dtype)[:, ::2]
    references = torch.rand(1, queries, 1, 2, generator=generator)
    references[:, ::2] = 0.5013  # between pixels
    shape = (1, queries, heads, len(levels), points)
    offsets = torch.randn(*shape, 2, generator=generator) * spread
    offsets[0, 0, 0, 0, 0, 0] = math.nan
    offsets[0, 1, 1, 1, 1, 1] = math.inf
    logits = torch.randn(shape, generator=generator)
    return value, references.to(DEVICE), offsets.to(DEVICE, dtype), logits.to(DEVICE, dtype)


def run(backend, tensors, levels=LEVELS, dtype=None, call=deformable_attention):
    """Return the output and the gradients of all arguments."""
    tensors = [tensor.detach().to(dtype or tensor.dtype).requires_grad_() for tensor in tensors]
    output = call(tensors[0], levels, *tensors[1:], backend=backend)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(output.shape, generator=generator).to(output.device, output.dtype)
    return [output, *torch.autograd.grad(output, tensors, grad)]


def assert_close(actual_all, expected_all, tolerance, names=FUSED):
    """Compare norms. Gradients of locations jump where a point enters another cell."""
    for name, actual, expected in zip(names, actual_all, expected_all, strict=True):
        actual, expected = actual.detach().double(), expected.detach().double()
        allowed = max(tolerance, 2e-2) if name in LOCATIONS else tolerance
        error = float((actual - expected).norm() / expected.norm())
        assert error < allowed, f'{name}: relative error {error}'


@pytest.mark.parametrize(
    ('dtype', 'tolerance'),
    [(torch.float32, 1e-5), (torch.float16, 3e-3), (torch.bfloat16, 2e-2)],
    ids=str,
)
def test_fused_kernels_are_the_reference_in_float64(dtype, tolerance):
    tensors = make_inputs(dtype)
    assert_close(run('triton', tensors), run('reference', tensors, dtype=torch.double), tolerance)


@pytest.mark.parametrize('backend', ['reference', 'torch'])
@pytest.mark.parametrize(
    ('dtype', 'tolerance'),
    [(torch.float64, 1e-9), (torch.float32, 1e-5), (torch.float16, 3e-3), (torch.bfloat16, 2e-2)],
    ids=str,
)
def test_other_backends_on_cuda_are_the_cpus(backend, dtype, tolerance):
    levels = LEVELS[2:]
    tensors = make_inputs(dtype, queries=300, levels=levels, heads=2, size=16, points=4)
    if dtype == torch.float64:
        tensors = tuple(tensor.double() for tensor in tensors)
    on_cpu = [tensor.cpu() for tensor in tensors]
    expected = run('reference', on_cpu, levels, torch.double)
    expected = [tensor.to(DEVICE) for tensor in expected]
    assert_close(run(backend, tensors, levels), expected, tolerance)


def test_locations_and_weights_form_is_the_reference():
    value, references, offsets, logits = make_inputs(torch.float32)
    sizes = torch.tensor([(w, h) for h, w in LEVELS], device=DEVICE)[:, None]
    locations = references[:, :, None, :, None] + offsets / sizes
    weights = logits.flatten(3).softmax(-1).view(logits.shape)
    tensors = (value, locations, weights)
    actual = run('triton', tensors, call=ms_deform_attn)
    expected = run('reference', tensors, dtype=torch.double, call=ms_deform_attn)
    assert_close(actual, expected, 1e-5, ('output', 'value', 'locations', 'weights'))


def test_stem_sized_hot_spot_in_tiles_and_by_atomics():
    """Two launches of 30 000 queries that all look at the centre."""
    value, references, offsets, logits = make_inputs(torch.float32, queries=30000, spread=0.5)
    tensors = (value, torch.full_like(references, 0.5013), offsets, logits)
    tiled = run('triton', tensors)
    threshold = triton_launch.TILED_PIXELS
    triton_launch.TILED_PIXELS = 0
    try:
        by_atomics = run('triton', tensors)
    finally:
        triton_launch.TILED_PIXELS = threshold
    # A float32 sum of 240 000 points, one by one, is off by 1e-5.
    assert_close(tiled, by_atomics, 1e-4)


def test_deterministic_gradients_repeat_to_the_bit():
    tensors = make_inputs(torch.float32)
    expected = run('triton', tensors)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        first, second = run('triton', tensors), run('triton', tensors)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert_close(first, expected, 1e-5)


@pytest.mark.parametrize('launch', [*triton_launch.LAUNCHES, (1024, 4)], ids=str)
def test_every_launch_shape_gives_the_same(launch):
    tensors = make_inputs(torch.bfloat16, queries=500)
    expected = run('reference', tensors, dtype=torch.double)
    with triton_launch.use_launches([launch]):
        assert_close(run('triton', tensors), expected, 2e-2)


def test_two_streams_do_not_disturb_each_other():
    tensors = make_inputs(torch.float32)
    expected = run('triton', tensors)
    streams = [torch.cuda.Stream(), torch.cuda.Stream()]
    torch.cuda.synchronize()
    results = []
    for stream in streams:
        with torch.cuda.stream(stream):
            results.append(run('triton', tensors))
    torch.cuda.synchronize()
    for actual in results:
        assert_close(actual, expected, 1e-5)


def test_inductor_compiles_around_the_kernels():
    tensors = make_inputs(torch.float32, queries=500)

    def attend(value, levels, references, offsets, logits, backend):
        actual = deformable_attention(value * 2, levels, references, offsets, logits, backend)
        return actual.sin()

    expected = run('triton', tensors, call=attend)
    compiled = torch.compile(attend, fullgraph=True)
    try:
        assert_close(run('triton', tensors, call=compiled), expected, 1e-5)
    finally:
        torch.compiler.reset()


def test_places_stay_float32_under_bf16_autocast():
    torch.manual_seed(0)
    layer = MultiScaleDeformableAttention(64, num_heads=2, num_levels=1, dropout=0.0).to(DEVICE)
    rows, columns = 16, 1200
    value = torch.linspace(0, 1, columns, device=DEVICE).repeat(rows)
    value = value[None, :, None].expand(1, -1, 64).contiguous()
    x = (torch.arange(columns, device=DEVICE) + 0.5) / columns
    references = torch.stack([x, torch.full_like(x, 0.5)], dim=-1)[None, :, None]
    query = torch.zeros(1, columns, 64, device=DEVICE)
    with torch.no_grad():
        expected = layer(query, value, references, [(rows, columns)])
        with torch.autocast(DEVICE, torch.bfloat16):
            actual = layer(query, value, references, [(rows, columns)])
    # Locations in bfloat16 would turn the ramp into steps of up to 4 columns.
    error = (actual.float() - expected).abs().max() / expected.abs().max()
    assert float(error) < 2e-2


def test_automatic_choice_is_triton_and_takes_less_memory_than_the_reference():
    tensors = make_inputs(torch.float32)
    assert select_backend(tensors[0]) == ('triton', 'on CUDA')
    peaks = {}
    for backend in ('auto', 'reference'):
        with use_backend(backend):
            run('auto', tensors)  # the first call may time launches
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run('auto', tensors)
            peaks[backend] = torch.cuda.max_memory_allocated() - before
    assert peaks['auto'] < peaks['reference'] / 3


def test_small_cases_against_float64_in_a_fresh_process():
    finished = subprocess.run(
        [sys.executable, '-m', 'tests.ops.triton_check', DEVICE],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert 'checked' in finished.stdout
