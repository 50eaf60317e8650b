"""Repetition of a training step to find its first value that is not finite, and its storage."""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from mmengine.logging import MessageHub
from torch import Tensor, nn

from depth.sharded_tensors import is_sharded
from depth.structures import DepthDataSample

from .acceleration import LOSSES
from .checkpoint import to_plain
from .loops import preserved_random_state, set_random_state
from .step_guard import TensorCopies, gradient_norm


@dataclass
class StepReport:
    """Losses, gradient norm and first value that is not finite of one training step.

    Attributes:
        losses: Every logged loss and their sum, ``loss``.
        grad_norm: 2-norm of the gradients of all weights.
        first: Description of the first value that was not finite; None if all were.
        weights: Names of the weights whose gradient is not finite.
    """

    losses: dict[str, float] = field(default_factory=dict)
    grad_norm: float = math.nan
    first: str | None = None
    weights: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        losses = ', '.join(f'{name} {value:.6g}' for name, value in self.losses.items())
        lines = [f'losses: {losses}', f'gradient norm: {self.grad_norm:.6g}']
        lines.append(f'first not finite: {self.first or "nothing, all values are finite"}')
        if self.weights:
            more = f' and {len(self.weights) - 4} more' if len(self.weights) > 4 else ''
            lines.append(
                f'weights whose gradient is not finite: {", ".join(self.weights[:4])}{more}'
            )
        return lines


def run_step_again(
    model: nn.Module,
    batch: dict,
    random_state: dict | None = None,
    iteration: int = 0,
    context: AbstractContextManager | None = None,
    loss_scale: float = 1.0,
) -> StepReport:
    """Run the forward and backward pass of a batch and find the first value that is not finite.

    Weights, running statistics, gradients and random states are restored afterwards.

    Args:
        model: Estimator without a distributed wrapper.
        batch: Batch of the data loader: ``inputs`` and ``data_samples``.
        random_state: Random states before the step, from ``get_random_state``.
        iteration: Number of the step, for losses that depend on it.
        context: Autocast of the forward pass.
        loss_scale: Factor of the loss in the backward pass, from float16's loss scaling.
    """
    report = StepReport()
    report.first = nonfinite_weight(model) or _nonfinite_sample(batch)
    with preserved_random_state(), _restored_state(model, iteration), _watch_outputs(model, report):
        if random_state is not None:
            set_random_state(random_state)
        with context or nullcontext():
            data = model.data_preprocessor(batch, True)
            losses = model(**data, mode='loss')
        total, log_vars = model.parse_losses(losses)
        report.losses = {name: float(value.detach()) for name, value in log_vars.items()}
        if total.requires_grad:
            (total * loss_scale).backward()
        for name, parameter in model.named_parameters():
            if parameter.grad is not None and not bool(parameter.grad.isfinite().all()):
                report.weights.append(name)
        report.grad_norm = float(gradient_norm(list(model.parameters()))) / loss_scale
        if report.first is None and not bool(total.detach().isfinite()):
            report.first = 'the sum of the losses'
        # Sharded gradients are the sum over the processes and say nothing about this one.
        is_own = not any(is_sharded(parameter) for parameter in model.parameters())
        if report.first is None and report.weights and is_own:
            report.first = f'the gradient of the weight {report.weights[0]}'
    return report


def nonfinite_weight(model: nn.Module) -> str | None:
    """Return a description of the first weight or running statistic that is not finite, or None."""
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor) and not _is_finite(value):
            return f'the weight {name} ({_count(value)})'
    return None


@contextmanager
def _restored_state(model: nn.Module, iteration: int) -> Iterator[None]:
    """Set up eager training at ``iteration``; restore what it changes afterwards."""
    hub = MessageHub.get_current_instance()
    # A compiled loss would not call the hooks that watch the modules.
    compiled = {name: vars(model).pop(name) for name in LOSSES if name in vars(model)}
    grads = [parameter.grad for parameter in model.parameters()]
    statistics = TensorCopies(list(model.buffers()))
    statistics.save()
    was_training = model.training
    iter_before = hub.get_info('iter', 0)
    hub.update_info('iter', iteration)
    model.train()
    model.zero_grad(set_to_none=True)
    try:
        yield
    finally:
        model.train(was_training)
        hub.update_info('iter', iter_before)
        statistics.put_back_unless(torch.tensor(False))
        for parameter, grad in zip(model.parameters(), grads, strict=True):
            parameter.grad = grad
        vars(model).update(compiled)


@contextmanager
def _watch_outputs(model: nn.Module, report: StepReport) -> Iterator[None]:
    """Record in ``report`` the first module output, or its gradient, that is not finite."""
    handles = []

    def record_nonfinite(kind: str, label: str, value: Tensor) -> None:
        if report.first is None and not _is_finite(value):
            report.first = f'the {kind} of {label} ({_count(value)})'

    def check_output(name: str, module: nn.Module, inputs: tuple, output: object) -> None:
        label = f'{name or "the model"} ({type(module).__name__})'
        for tensor in _tensors(output):
            record_nonfinite('output', label, tensor)
            if tensor.requires_grad:
                check_gradient = functools.partial(
                    record_nonfinite, 'gradient at the output', label
                )
                tensor.register_hook(check_gradient)

    for name, module in model.named_modules():
        handles.append(module.register_forward_hook(functools.partial(check_output, name)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _tensors(value: object) -> Iterator[Tensor]:
    """Yield the floating point tensors of nested dicts, lists and tuples."""
    if isinstance(value, Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


def _nonfinite_sample(batch: dict) -> str | None:
    """Return a description of the first sample value that is not finite, or None."""
    for sample in batch.get('data_samples') or []:
        for name, value in sample.items():
            if isinstance(value, Tensor) and value.is_floating_point() and not _is_finite(value):
                return f'{name} of {sample.get("img_path", "a sample")} ({_count(value)})'
    return None


def _is_finite(value: Tensor) -> bool:
    return not value.is_floating_point() or bool(value.isfinite().all())


def _count(value: Tensor) -> str:
    return f'{int((~value.isfinite()).sum())} of {value.numel()} values'


def batch_to_plain(batch: dict) -> dict:
    """Return a batch of the data loader as tensors and plain values."""
    samples = []
    for sample in batch.get('data_samples') or []:
        data = to_plain(dict(sample.items()))
        meta = to_plain(dict(sample.metainfo_items()))
        samples.append(dict(data=data, meta=meta))
    return dict(inputs=[image.cpu() for image in batch['inputs']], data_samples=samples)


def batch_from_plain(plain: Mapping) -> dict:
    """Undo :func:`batch_to_plain`."""
    samples = []
    for content in plain['data_samples']:
        sample = DepthDataSample(metainfo=content['meta'])
        for name, value in content['data'].items():
            sample.set_data({name: value})
        samples.append(sample)
    return dict(inputs=list(plain['inputs']), data_samples=samples)


def image_paths(batch: dict) -> list[str]:
    """Return the image paths of a batch's samples."""
    samples: Sequence[DepthDataSample] = batch.get('data_samples') or []
    return [str(sample.metainfo.get('img_path', 'a sample without img_path')) for sample in samples]
