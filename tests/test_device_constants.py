"""Constants are made once for each device, whatever mode and tracer asks for them first."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from depth import device_constants
from depth.device_constants import device_constant

CPU = torch.device('cpu')


@pytest.fixture(autouse=True)
def no_constants(monkeypatch):
    monkeypatch.setattr(device_constants, '_constants', {})


def test_equal_arguments_give_one_tensor():
    sides = device_constant(((304, 88), (152, 44)), CPU)
    assert sides.dtype == torch.float32
    assert sides.tolist() == [[304, 88], [152, 44]]
    assert device_constant(((304, 88), (152, 44)), CPU) is sides
    assert device_constant(((304, 88), (152, 45)), CPU) is not sides
    assert device_constant(((304, 88), (152, 44)), CPU, torch.int64).dtype == torch.int64


def test_a_constant_made_in_inference_mode_trains():
    with torch.inference_mode():
        constant = device_constant((2.0, 3.0), CPU)
    weight = torch.ones(2, requires_grad=True)
    (weight * constant).sum().backward()
    assert weight.grad.tolist() == [2, 3]


def test_a_tracer_leaves_nothing_behind():
    with FakeTensorMode():
        assert isinstance(device_constant((5, 7), CPU), FakeTensor)
    assert device_constant((5, 7), CPU).tolist() == [5, 7]


def test_compiled_code_holds_the_constant():
    graphs = []

    def backend(graph, inputs):
        graphs.append([str(node.target) for node in graph.graph.nodes])
        return graph

    @torch.compile(backend=backend, fullgraph=True)
    def scale(values):
        return values / device_constant((4.0, 8.0), values.device)

    assert scale(torch.tensor([8.0, 8.0])).tolist() == [2, 1]
    assert len(graphs) == 1
    assert not any('tensor' in name for name in graphs[0])  # nothing is built in the graph
    torch.compiler.reset()
