"""Switches that make a model faster or smaller without changing what it computes; docs/train.md lists them."""

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from .cuda_graph import CudaGraphs

DTYPES = dict(bfloat16=torch.bfloat16, float16=torch.float16)
PREDICTIONS = ('predict_depth', 'predict_inverse_depth')  # methods of estimators that run the network


def use_channels_last(model: nn.Module) -> None:
    """Keep convolution weights and the backbone's input in channels-last order, in place; values stay the same."""
    model.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(_reorder_images)


def _reorder_images(module: nn.Module, args: tuple) -> tuple:
    return args[0].contiguous(memory_format=torch.channels_last), *args[1:]


def compile_options(switch: bool | dict | None) -> dict | None:
    """Return the arguments of ``torch.compile`` that ``compile`` of a config stands for, None if it is off.

    Shapes are constants unless the config says otherwise: tracing a windowed transformer for any size takes minutes,
    one size takes seconds. A function is compiled for 8 sizes at most (torch's ``recompile_limit``), further sizes
    run uncompiled.

    Raises:
        ValueError: If the switch is something else.
    """
    if switch is not None and not isinstance(switch, bool | dict):
        raise ValueError(f'compile is True, False or a dict of arguments of torch.compile, got {switch!r}')
    if switch is None or switch is False:
        return None
    return dict(dynamic=False) | (dict(switch) if isinstance(switch, dict) else {})


def compile_method(model: nn.Module, name: str, switch: bool | dict | None) -> None:
    """Compile one method of a model, in place, if the switch is on."""
    options = compile_options(switch)
    if options is not None:
        setattr(model, name, torch.compile(getattr(model, name), **options))


def recompute_activations(model: nn.Module, modules: str | Sequence[str]) -> None:
    """Let parts of a model forget their activations and compute them again in the backward pass, in place.

    Memory for time; losses, gradients and running statistics are those of a model that remembers.

    Args:
        model: The model.
        modules: Dotted names of its parts, ``['backbone', 'neck']`` say.

    Raises:
        ValueError: If there is no such part.
    """
    for name in [modules] if isinstance(modules, str) else modules:
        try:
            module = model.get_submodule(name)
        except AttributeError as error:
            parts = ', '.join(part for part, _ in model.named_children())
            raise ValueError(f'activation_checkpointing: the model has no part {name!r}, only {parts}') from error
        module.forward = _recomputing(module, module.forward)


def _recomputing(module: nn.Module, forward: Callable) -> Callable:
    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        return nullcontext(), _statistics_left_alone(module)

    @functools.wraps(forward)
    def run(*args, **kwargs):
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # Compiled code changes statistics beside the graph, once, and takes no contexts.
        options = {} if torch.compiler.is_compiling() else dict(context_fn=contexts)
        return checkpoint(forward, *args, use_reentrant=False, **options, **kwargs)

    return run


@contextmanager
def _statistics_left_alone(module: nn.Module) -> Iterator[None]:
    """Compute as in training, but let BatchNorms count their batch no second time."""
    counting = [part for part in module.modules() if isinstance(part, _BatchNorm) and part.track_running_stats]
    before = [(part.momentum, part.num_batches_tracked) for part in counting]
    for part in counting:
        part.momentum, part.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for part, (momentum, batches) in zip(counting, before, strict=True):
            part.momentum, part.num_batches_tracked = momentum, batches


def speed_up_inference(model: nn.Module, options: dict | None) -> None:
    """Change how a model predicts, in place, as ``inference`` of a config says.

    Args:
        model: Estimator in eval mode on its device.
        options: ``autocast``: ``'bfloat16'`` or ``'float16'``; ``compile``: True or arguments of ``torch.compile``;
            ``cuda_graph``: True records the kernels of each size once and replays them (CUDA alone).

    Raises:
        ValueError: If an option is unknown, or cannot be had here.
    """
    options = dict(options or {})
    autocast, compiled = options.pop('autocast', None), compile_options(options.pop('compile', None))
    cuda_graph = options.pop('cuda_graph', False)
    if options:
        raise ValueError(f'inference has no option {next(iter(options))!r}, only autocast, compile and cuda_graph')
    if autocast is not None and autocast not in DTYPES:
        raise ValueError(f'inference.autocast is bfloat16 or float16, got {autocast!r}')
    if autocast is None and compiled is None and not cuda_graph:
        return
    device = next(model.parameters()).device.type
    if cuda_graph and device != 'cuda':
        raise ValueError(f'inference.cuda_graph=True needs a CUDA device, but the model is on {device}: leave it out')
    if cuda_graph and compiled is not None:
        raise ValueError(
            "give inference.compile or inference.cuda_graph, not both; inference.compile=dict(mode='reduce-overhead') "
            'records graphs of compiled code'
        )
    for name in PREDICTIONS:
        if hasattr(model, name):
            compile_method(model, name, compiled)
            predict = getattr(model, name)
            if autocast is not None:
                predict = _autocast(predict, device, DTYPES[autocast])
            setattr(model, name, CudaGraphs(predict) if cuda_graph else predict)


def _autocast(predict: Callable, device: str, dtype: torch.dtype) -> Callable:
    @functools.wraps(predict)
    def run(*args, **kwargs):
        with torch.autocast(device, dtype):
            return predict(*args, **kwargs)

    return run
