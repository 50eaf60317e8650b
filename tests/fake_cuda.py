"""Fake CUDA tensors: devices and copies of a step, found without a GPU and without computing.

Fake tensors know shape, type and device and hold no values. An operation on tensors of different
devices is an error as on a GPU, and so is whatever needs a value, which a GPU would be waited for.
"""

import random
import traceback
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.config import Config
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from depth import device_constants
from depth.engine.converters.convert import build_without_weights
from depth.structures import DepthDataSample

CUDA = torch.device('cuda', 0)
_randint = torch.randint
# Operators that copy a CPU scalar to the device; others take it as an argument of their kernel.
COPYING_SCALARS = {
    torch.ops.aten._to_copy.default,
    torch.ops.aten.copy_.default,
    torch.ops.aten.index.Tensor,
    torch.ops.aten.where.self,
}
# Functions that copy something once and keep it.
KEEPING = {'device_constant', '_kept_embedding'}
# Operators whose errors are read back from the device.
CHECKED_ON_HOST = {torch.ops.aten._linalg_check_errors.default}


class Transfers(TorchDispatchMode):
    """Record the operators that move values between the host and a device.

    Args:
        with_constants: Also the copies of what is kept on the device, one for each constant.
    """

    def __init__(self, with_constants: bool = False) -> None:
        super().__init__()
        self.with_constants = with_constants
        self.names: list[str] = []
        self.count = 0  # of all operators

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += 1
        result = func(*args, **(kwargs or {}))
        moves = _moves_values(func, args, kwargs, result)
        if moves and (self.with_constants or not _is_in(KEEPING)):
            self.names.append(f'{func} called in {_caller()}')
        return result


def _moves_values(func, args: tuple, kwargs: dict | None, result) -> bool:
    """Return whether an operator copies between the host and a device."""
    if func in CHECKED_ON_HOST:
        return True
    values = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    if func is torch.ops.aten._to_copy.default:
        values.append(result)
    on_host = [value for value in values if _device_type(value) == 'cpu']
    if not on_host or len(on_host) == len(values):
        return False
    # CPU scalars are arguments of the kernel, but for these operators.
    return func in COPYING_SCALARS or any(value.ndim > 0 for value in on_host)


def _device_type(value: Tensor) -> str:
    # ``device`` of a fake tensor is an operator of its own, ten times as slow.
    return (value.fake_device if isinstance(value, FakeTensor) else value.device).type


def _is_in(names: set[str]) -> bool:
    """Return whether this code runs within a call of a function of one of these names."""
    return any(frame.f_code.co_name in names for frame, _ in traceback.walk_stack(None))


def _caller() -> str:
    """Return the innermost line outside of torch and of this file."""
    for frame, line in traceback.walk_stack(None):
        path = frame.f_code.co_filename
        if '/torch/' not in path and path != __file__:
            return f'{path}:{line}'
    return 'torch'


@contextmanager
def fake_cuda(monkeypatch) -> Iterator[None]:
    """Context manager in which tensors are fake and CUDA devices may be named."""
    with monkeypatch.context() as patch:
        patch.setattr(torch.cuda, 'is_current_stream_capturing', lambda: False)
        # Autocast on CUDA asks for the device.
        patch.setattr(torch.cuda.amp.common, 'amp_definitely_not_available', lambda: False)
        patch.setattr(torch.cuda, 'is_bf16_supported', lambda: True)
        patch.setattr(torch, 'randint', _randint_with_numbers)
        # Constants may stay, as on a GPU: all belong to the one mode of this block.
        patch.setattr(device_constants, 'KEPT_CLASSES', (Tensor, FakeTensor))
        patch.setattr(device_constants, '_constants', {})
        with FakeTensorMode(allow_non_fake_inputs=True):
            yield


def _randint_with_numbers(low: int, high: int, size: tuple, **options) -> Tensor | int:
    """Replace ``torch.randint``: a single number drawn on the host is one, and no fake tensor."""
    if size == () and 'device' not in options:
        return random.randrange(low, high)
    return _randint(low, high, size, **options)


@contextmanager
def fake_model(cfg: Config, monkeypatch) -> Iterator[nn.Module]:
    """Context manager of a config's model with fake CUDA weights.

    What is neither parameter nor buffer stays where it was built, as with ``model.cuda()``.
    """
    with torch.device('meta'):
        model = build_without_weights(cfg)
    with fake_cuda(monkeypatch):
        yield model._apply(lambda value: torch.empty_like(value, device=CUDA))


def fake_batch(
    count: int, height: int, width: int, dataset: str = 'nyu'
) -> tuple[Tensor, list[DepthDataSample]]:
    """Return normalised images and samples with every field that any method reads, on CUDA."""
    samples = []
    for _ in range(count):
        sample = DepthDataSample(
            metainfo=dict(
                img_path='image.png',
                img_shape=(height, width),
                ori_shape=(height, width),
                dataset=dataset,
                scene='kitchen',
                scene_class=0,
            )
        )
        for name in ('gt_depth', 'depth_hint'):
            sample.set_data({name: torch.rand(height, width, device=CUDA)})
        for name in ('intrinsics', 'other_intrinsics'):
            sample.set_data({name: torch.rand(3, 3, device=CUDA)})
        sample.stereo_extrinsics = torch.rand(4, 4, device=CUDA)
        sample.normals = torch.rand(3, height, width, device=CUDA)
        for name in ('clean_img', 'clean_other_img', 'other_img'):
            sample.set_data({name: torch.zeros(3, height, width, dtype=torch.uint8, device=CUDA)})
        samples.append(sample)
    return torch.rand(count, 3, height, width, device=CUDA), samples


def run_backward(loss: Tensor) -> None:
    """Backward pass of fake tensors, node by node.

    PyTorch's own engine asks the driver for the streams of the device, and there is no driver.

    Args:
        loss: Scalar; the leaves of its graph get their ``grad``.
    """
    pending = _count_edges(loss.grad_fn)
    grads: dict = defaultdict(dict)
    grads[loss.grad_fn][0] = torch.ones_like(loss)
    ready = [loss.grad_fn]
    while ready:
        node = ready.pop()
        received = grads.pop(node, {})
        outputs = _call_node(node, received) if received else ()
        for index, (following, slot) in enumerate(node.next_functions):
            if following is None:
                continue
            if index < len(outputs) and outputs[index] is not None:
                grad = _fitted(outputs[index], following._input_metadata[slot])
                slots = grads[following]
                slots[slot] = slots[slot] + grad if slot in slots else grad
            pending[following] -= 1
            if pending[following] == 0:
                ready.append(following)


def _count_edges(root) -> dict:
    """Return the number of edges into each node of a graph."""
    pending: dict = defaultdict(int)
    visited, waiting = {root}, [root]
    while waiting:
        for following, _ in waiting.pop().next_functions:
            if following is None:
                continue
            pending[following] += 1
            if following not in visited:
                visited.add(following)
                waiting.append(following)
    return pending


def _call_node(node, received: dict) -> tuple:
    """Return the gradients of a node's inputs; a leaf takes its gradient and returns nothing."""
    if type(node).__name__ == 'AccumulateGrad':
        leaf = node.variable
        assert received[0].device == leaf.device, 'gradient and parameter on different devices'
        leaf.grad = received[0] if leaf.grad is None else leaf.grad + received[0]
        return ()
    grads = [received.get(slot) for slot in range(len(node._input_metadata))]
    is_python = isinstance(node, torch.autograd.function.BackwardCFunction)
    outputs = node.apply(*grads) if is_python else node(*grads)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    outputs = list(outputs)
    # A Python node has None, but no edge, for what is no tensor: a custom operator's last argument,
    # and the sides of levels, which come before reference points (they may have None too).
    if len(outputs) > len(node.next_functions) and outputs[-1] is None:
        outputs.pop()
    while len(outputs) > len(node.next_functions):
        del outputs[[output is None for output in outputs].index(True)]
    return tuple(outputs)


def _fitted(grad: Tensor, metadata) -> Tensor:
    """Return a gradient summed over broadcast dimensions, in the type of the forward pass."""
    if grad.shape != metadata.shape:
        grad = grad.sum_to_size(metadata.shape)
    assert grad.device == metadata.device, 'gradient and value on different devices'
    return grad.to(metadata.dtype)
