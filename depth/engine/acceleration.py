"""Options that make a model faster or smaller in memory; docs/train.md lists them.

Channels-last memory, ``torch.compile``, activation checkpointing, and autocast and CUDA graphs for
inference.
"""

import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from depth.models.layers.deformable_attention import MultiScaleDeformableAttention
from depth.models.losses import FollowsIteration
from depth.ops import check_backend, select_backend

from .cuda_graph import CudaGraphs
from .errors import ConfigError

DTYPES = dict(bfloat16=torch.bfloat16, float16=torch.float16)
# Methods of estimators that run the network.
PREDICTIONS = ('predict_depth', 'predict_inverse_depth')
# Methods of estimators that are compiled for the training, the first that there is.
# Self-supervised ones collect their views before, and EPCDepth draws where to graft them.
LOSSES = ('view_losses', 'loss')
BACKEND_KEY, BACKEND_VARIABLE = 'deform_attn_backend', 'DEPTH_DEFORM_ATTN_BACKEND'


def set_attention_backend(model: nn.Module, cfg: Config, device: str | torch.device) -> str | None:
    """Choose the backend of a model's deformable attention layers, in place.

    The environment variable ``DEPTH_DEFORM_ATTN_BACKEND`` (which ``--deform-attn-backend`` of the
    tools sets) comes before ``deform_attn_backend`` of the config; without either it is ``'auto'``.

    Args:
        model: The model.
        cfg: Its config.
        device: Device on which it will run.

    Returns:
        A line that says which backend runs and why; None if the model has no such layer.

    Raises:
        ConfigError: If there is no such backend, or it cannot run here.
    """
    layers = []
    for module in model.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            layers.append(module)
    choice, source = cfg.get(BACKEND_KEY) or 'auto', BACKEND_KEY
    if os.environ.get(BACKEND_VARIABLE):
        choice, source = os.environ[BACKEND_VARIABLE], BACKEND_VARIABLE
    try:
        check_backend(choice)
    except ValueError as error:
        raise ConfigError(f'{source}: {error}') from error
    if not layers:
        return None
    for layer in layers:
        layer.backend = choice
    # Layers see values of their weights' dtype, or of autocast's.
    weight, heads = layers[0].value_proj.weight, layers[0].num_heads
    value = weight.new_empty(1, 1, heads, len(weight) // heads, device=device)
    backend, reason = select_backend(value, choice)
    if backend == 'triton' and choice != 'auto':
        from depth.ops.triton_launch import unsupported_reason

        obstacle = unsupported_reason(value)
        if obstacle:
            raise ConfigError(f"{source} is 'triton', which cannot run: {obstacle}; take 'auto'")
    if choice != 'auto':
        reason = f'as {source} says'
    return f'deformable attention: backend {backend}, {reason}'


def use_channels_last(model: nn.Module) -> None:
    """Convert a model to channels-last memory, in place: its weights and the backbone's input."""
    model.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(_reorder_images)


def _reorder_images(module: nn.Module, args: tuple) -> tuple:
    return args[0].contiguous(memory_format=torch.channels_last), *args[1:]


def compile_options(switch: bool | dict | None) -> dict | None:
    """Return the arguments of ``torch.compile`` for ``compile`` of a config; None if it is off.

    By default (``dynamic=False``) code is compiled for each input size: compiling a windowed
    transformer for any size takes minutes, for one size seconds. At most 8 sizes are compiled
    (torch's ``recompile_limit``), further sizes run uncompiled.

    Raises:
        ValueError: If ``switch`` is of another type.
    """
    if switch is not None and not isinstance(switch, bool | dict):
        raise ValueError(
            f'compile is True, False or a dict of arguments of torch.compile, got {switch!r}'
        )
    if switch is None or switch is False:
        return None
    return dict(dynamic=False) | (dict(switch) if isinstance(switch, dict) else {})


def compile_method(model: nn.Module, name: str, switch: bool | dict | None) -> None:
    """Compile one method of a model, in place, if ``compile`` of the config is on."""
    options = compile_options(switch)
    if options is not None:
        setattr(model, name, torch.compile(getattr(model, name), **options))


def compile_losses(model: nn.Module, switch: bool | dict | None) -> None:
    """Compile the losses of an estimator, in place, if ``compile`` of the config is on."""
    options = compile_options(switch)
    if options is None:
        return
    name = next(name for name in LOSSES if hasattr(model, name))
    losses = [module for module in model.modules() if isinstance(module, FollowsIteration)]
    compiled = torch.compile(getattr(model, name), **options)

    @functools.wraps(compiled)
    def run(*args: Any, **kwargs: Any) -> Any:
        for loss in losses:
            loss.follow_iteration()
        return compiled(*args, **kwargs)

    setattr(model, name, run)


def recompute_activations(model: nn.Module, modules: str | Sequence[str]) -> None:
    """Use activation checkpointing in some modules of a model, in place.

    Their activations are not stored but computed again in the backward pass, which saves memory and
    takes time. Losses, gradients and running statistics do not change.

    Args:
        model: The model.
        modules: Dotted names of the modules, such as ``['backbone', 'neck']``.

    Raises:
        ValueError: If there is no such module.
    """
    for name in [modules] if isinstance(modules, str) else modules:
        try:
            module = model.get_submodule(name)
        except AttributeError as error:
            children = ', '.join(child for child, _ in model.named_children())
            raise ValueError(
                f'activation_checkpointing: the model has no part {name!r}, only {children}'
            ) from error
        module.forward = _with_recomputation(module, module.forward)


def _with_recomputation(module: nn.Module, forward: Callable) -> Callable:
    """Return ``forward`` with activation checkpointing."""

    def contexts() -> tuple[AbstractContextManager, AbstractContextManager]:
        # Of the first computation and of the repeated one.
        return nullcontext(), _frozen_statistics(module)

    @functools.wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        if not torch.is_grad_enabled():
            return forward(*args, **kwargs)
        # torch.compile accepts no contexts here, and updates the statistics once anyway.
        options = {} if torch.compiler.is_compiling() else dict(context_fn=contexts)
        return checkpoint(forward, *args, use_reentrant=False, **options, **kwargs)

    return run


@contextmanager
def _frozen_statistics(module: nn.Module) -> Iterator[None]:
    """Keep the running statistics of BatchNorms in training mode unchanged within the block."""
    norms = []
    for child in module.modules():
        if isinstance(child, _BatchNorm) and child.track_running_stats:
            norms.append((child, child.momentum, child.num_batches_tracked))
    for norm, _, _ in norms:
        norm.momentum = 0.0
        norm.num_batches_tracked = None
    try:
        yield
    finally:
        for norm, momentum, num_batches in norms:
            norm.momentum = momentum
            norm.num_batches_tracked = num_batches


def speed_up_inference(model: nn.Module, options: dict | None) -> None:
    """Set up autocast, compilation or CUDA graphs for a model's predictions, in place.

    Args:
        model: Estimator in eval mode on its device.
        options: ``inference`` of a config. ``autocast``: ``'bfloat16'`` or ``'float16'``;
            ``compile``: True or arguments of ``torch.compile``; ``cuda_graph``: True records the
            kernels of each image size once and replays them (CUDA only). All are off by default.
            ``validation``: True also uses them in the validations of a training; the caller
            decides.

    Raises:
        ValueError: If an option is unknown, or not available on the model's device.
    """
    options = dict(options or {})
    autocast = options.pop('autocast', None)
    compiled = compile_options(options.pop('compile', None))
    cuda_graph = options.pop('cuda_graph', False)
    options.pop('validation', None)
    if options:
        raise ValueError(
            f'inference has no option {next(iter(options))!r}, only autocast, compile, cuda_graph '
            'and validation'
        )
    if autocast is not None and autocast not in DTYPES:
        raise ValueError(f'inference.autocast is bfloat16 or float16, got {autocast!r}')
    if autocast is None and compiled is None and not cuda_graph:
        return
    device = next(model.parameters()).device.type
    if cuda_graph and device != 'cuda':
        raise ValueError(
            f'inference.cuda_graph=True needs a CUDA device, but the model is on {device}: leave '
            'it out'
        )
    if cuda_graph and compiled is not None:
        raise ValueError(
            'give inference.compile or inference.cuda_graph, not both; '
            "inference.compile=dict(mode='reduce-overhead') records graphs of compiled code"
        )
    for name in PREDICTIONS:
        if hasattr(model, name):
            compile_method(model, name, compiled)
            predict = getattr(model, name)
            if autocast is not None:
                predict = with_autocast(predict, device, DTYPES[autocast])
            setattr(model, name, CudaGraphs(predict) if cuda_graph else predict)


def with_autocast(predict: Callable, device: str, dtype: torch.dtype) -> Callable:
    """Return a function that calls ``predict`` under autocast."""

    @functools.wraps(predict)
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, dtype):
            return predict(*args, **kwargs)

    return run
