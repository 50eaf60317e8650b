"""Launches of the Triton kernels on a driver that compiles for sm_90, loads nothing and runs nothing."""

import os

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from depth.ops import deformable_attention, triton_launch

pytest.importorskip('triton', minversion='3.6')
if torch.cuda.is_available() or os.environ.get('TRITON_INTERPRET') == '1':
    pytest.skip('here the kernels run, and these tests replace the driver', allow_module_level=True)

LEVELS = (6, 8, 3, 4)  # heights and widths
HEADS, SIZE, POINTS, QUERIES = 2, 32, 3, 40


class LoadedKernels:
    """Driver of Triton without a GPU; ``names`` are the kernels that were loaded onto it."""

    def __init__(self):
        self.names = []
        self.launches = []
        self.utils = self

    def get_current_target(self):
        from triton.backends.compiler import GPUTarget

        return GPUTarget('cuda', 90, 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0

    def get_device_properties(self, device):
        return dict(max_shared_mem=232448)

    def get_benchmarker(self):
        # The second of the launches is the fastest.
        seconds = iter((3.0, 1.0, 2.0, 4.0))

        def benchmark(call, quantiles):
            call()
            return [next(seconds)] * len(quantiles)

        return benchmark

    def load_binary(self, name, binary, shared, device):
        self.names.append(name)
        return 'module', name, 32, 0, 1024

    def unload_module(self, module):
        pass

    def launcher_cls(self, source, metadata):
        return lambda *arguments: self.launches.append((metadata.name, metadata.num_warps))


@pytest.fixture
def driver(monkeypatch, tmp_path):
    from triton.runtime.driver import driver as config

    from depth.ops import triton_backward, triton_forward

    monkeypatch.setenv('TRITON_CACHE_DIR', str(tmp_path))
    kernels = LoadedKernels()
    previous = config._active
    config.set_active(kernels)
    jitted = [triton_forward._forward_kernel, triton_backward._backward_kernel]
    jitted.append(triton_backward._tiled_kernel)
    tuned = [triton_forward._tuned_kernel, triton_backward._tuned_kernel]
    for kernel in tuned:
        # Two of the launches, for a quick test.
        monkeypatch.setattr(kernel, 'configs', kernel.configs[:2])
    yield kernels
    for kernel in jitted:
        kernel.device_caches.clear()
    for kernel in tuned:
        kernel.cache.clear()
    config._active = previous


def make_inputs(dtype):
    rows = LEVELS[0] * LEVELS[1] + LEVELS[2] * LEVELS[3]
    grid = (1, QUERIES, HEADS, 2, POINTS)
    value = torch.zeros(1, rows, HEADS, SIZE, dtype=dtype)
    return value, torch.zeros(1, QUERIES, 1, 2), torch.zeros(*grid, 2), torch.zeros(grid)


@pytest.mark.slow
def test_a_recorded_graph_launches_what_its_warm_up_has_loaded(driver, monkeypatch):
    """A stream that records a graph cannot load a kernel."""
    from depth.ops.triton_forward import run_forward

    value, references, offsets, logits = make_inputs(torch.float32)
    run_forward(value, list(LEVELS), references, offsets, logits)
    assert len(driver.names) == 2  # both were timed
    loaded, fastest = list(driver.names), driver.launches[-1]
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: True)
    run_forward(value, list(LEVELS), references, offsets, logits)
    assert driver.names == loaded
    assert driver.launches[-1] == fastest == ('_forward_kernel', triton_launch.LAUNCHES[1][1])


@pytest.mark.slow
@pytest.mark.parametrize('deterministic', [False, True])
def test_the_backward_pass_launches_both_kernels(driver, monkeypatch, deterministic):
    from depth.ops.triton_backward import run_backward

    monkeypatch.setattr(triton_launch, 'TILED_POINTS_PER_PIXEL', 8)
    value, references, offsets, logits = make_inputs(torch.bfloat16)
    output = torch.zeros(1, QUERIES, HEADS * SIZE, dtype=torch.bfloat16)
    arguments = (output + 1, value, list(LEVELS), references, offsets, logits, output)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    try:
        gradients = run_backward(*arguments)
    finally:
        torch.use_deterministic_algorithms(False)
    assert [gradient.shape for gradient in gradients] == [
        tensor.shape for tensor in (value, offsets, logits)
    ]
    assert [name for name, _ in driver.launches[-2:]] == ['_backward_kernel', '_tiled_kernel']
    assert len(driver.names) == (2 if deterministic else 3)


@pytest.mark.skipif(
    not hasattr(torch._C, '_ensureCUDADeviceGuardSet'),
    reason='this version of torch makes no fake CUDA tensors without a GPU',
)
def test_torch_compile_makes_one_graph_of_the_choice_and_the_kernels(monkeypatch):
    monkeypatch.setenv('CC', '')  # so that the compiler is searched for
    triton_launch._find_compiler.cache_clear()
    torch._C._ensureCUDADeviceGuardSet()

    def attend(value, references, offsets, logits):
        shapes = [LEVELS[:2], LEVELS[2:]]
        return deformable_attention(value * 2, shapes, references, offsets, logits).sin()

    with FakeTensorMode():
        tensors = [torch.empty_like(tensor, device='cuda') for tensor in make_inputs(torch.float32)]
        graph = torch._dynamo.export(attend)(*tensors).graph_module.graph
    names = {str(node.target) for node in graph.nodes}
    assert 'depth.deformable_attention_triton.default' in names
