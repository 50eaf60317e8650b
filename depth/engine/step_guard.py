"""Guard of the optimizer step: a step whose gradient is not finite changes nothing."""

from collections.abc import Sequence

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.optim import Optimizer

CHUNK = 2**24  # elements of tensors that are copied together


class StepGuard:
    """Skips optimizer steps whose gradient norm is not finite, without a wait for the device.

    After ``limit`` such steps in a row every further step is skipped as well, so that weights and running statistics
    stay those in front of the bad steps until somebody reads the state. The gradient norm is the same on all
    processes (a loss that is not finite makes the gradients of all of them so), hence they all decide alike.

    On a CPU, reading a value costs nothing and the step is left out. On other devices a fused optimizer takes the
    flag itself, as ``torch.amp.GradScaler`` hands it over; for any other one the parameters and its state are put
    back where the flag says so. The step counters that optimizers keep on the CPU advance in a skipped step.

    Args:
        model: Model whose running statistics are put back together with the weights.
        limit: Bad steps in a row after which the guard freezes the model.
        overflow_limit: The same for steps that float16's loss scaling skips, while the loss itself is finite.
        waits: Read the flag in each step; by default on CPUs alone.
    """

    def __init__(self, model: nn.Module, limit: int = 1, overflow_limit: int = 30, waits: bool | None = None) -> None:
        device = next(model.parameters()).device
        self.limit = limit
        self.overflow_limit = overflow_limit
        self.overflows = 0
        self.waits = device.type == 'cpu' if waits is None else waits
        self.frozen = torch.zeros((), dtype=torch.bool, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int32, device=device)
        self.norm = torch.zeros((), device=device)
        self.loss_is_finite = torch.ones((), dtype=torch.bool, device=device)
        self._statistics = TensorCopies([buffer for buffer in model.buffers() if buffer.is_floating_point()])

    def begin_window(self) -> None:
        """Remember the running statistics; to be called before the forward pass that starts a step's gradients."""
        self.loss_is_finite.fill_(True)
        self._statistics.save()

    def mark(self, loss: Tensor) -> Tensor:
        """Return the loss, with a gradient that is not finite if its value is not.

        A loss of infinity can have a finite gradient, and without this a process whose loss is finite would step.
        """
        is_finite = loss.detach().isfinite()
        self.loss_is_finite &= is_finite
        return loss * torch.where(is_finite, 1.0, torch.nan).to(loss.dtype)

    def step(self, optimizer: Optimizer, norm: Tensor, **kwargs) -> None:
        """Let the optimizer step where ``norm``, the norm of all gradients, is finite and nothing is frozen."""
        allowed = self.judge(norm)
        if self.waits:
            if bool(allowed):
                optimizer.step(**kwargs)
        elif getattr(optimizer, '_step_supports_amp_scaling', False):  # the switch that GradScaler asks for
            optimizer.grad_scale, optimizer.found_inf = None, (~allowed).float()
            try:
                optimizer.step(**kwargs)
            finally:
                del optimizer.grad_scale, optimizer.found_inf
        else:
            _step_and_put_back(optimizer, allowed, **kwargs)
        self._statistics.put_back_unless(allowed)

    def allows_scaled_step(self, norm: Tensor) -> bool:
        """Return whether a step with float16's loss scaling may be taken; ``norm`` is that of unscaled gradients.

        A gradient beyond float16 is no fault while the loss is finite: the scale shrinks until it fits. A scale that
        has been halved ``overflow_limit`` times in a row does not help any more. This reads from the device, as the
        scaler does in each step.
        """
        overflow = not bool(norm.isfinite()) and self._all_losses_are_finite()
        self.overflows = self.overflows + 1 if overflow else 0
        if self.overflows >= self.overflow_limit:
            self.frozen.fill_(True)
        if overflow and not bool(self.frozen):
            self.norm = norm.detach().float()
            return False
        allowed = self.judge(norm)
        self._statistics.put_back_unless(allowed)
        return bool(allowed)

    def _all_losses_are_finite(self) -> bool:
        is_finite = self.loss_is_finite.to(torch.int32)
        all_reduce(is_finite, op='min')  # norms agree, so all processes come here in the same step
        return bool(is_finite)

    def judge(self, norm: Tensor) -> Tensor:
        """Count a gradient norm and return, as a tensor, whether the optimizer may step."""
        is_finite = norm.detach().isfinite()
        self.norm = norm.detach().float()
        counted = torch.where(is_finite, 0, self.in_a_row + 1).to(torch.int32)
        self.in_a_row = torch.where(self.frozen, self.in_a_row, counted)
        self.frozen = self.frozen | (self.in_a_row >= self.limit)
        return is_finite & ~self.frozen


class TensorCopies:
    """Copies of many tensors, made and put back in a few kernels.

    Args:
        tensors: What is copied; tensors that share type and device are joined into chunks.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._chunks = _chunks(tensors)
        self._saved: list[Tensor] = []

    def save(self) -> None:
        """Copy the present values."""
        self._saved = [_joined(chunk) for chunk in self._chunks]

    def put_back_unless(self, keep: Tensor) -> None:
        """Put the saved values back where the flag ``keep``, a scalar on the device, is false."""
        for chunk, saved in zip(self._chunks, self._saved, strict=True):
            values = torch.where(keep.to(saved.device), _joined(chunk), saved)
            parts = values.split([tensor.numel() for tensor in chunk])
            shaped = [part.view(tensor.shape) for part, tensor in zip(parts, chunk, strict=True)]
            torch._foreach_copy_(chunk, shaped)


def gradient_norm(parameters: Sequence[Tensor]) -> Tensor:
    """Return the 2-norm of all gradients, a float32 scalar on the device of the first; 0 where there are none."""
    by_kind: dict[tuple, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_kind.setdefault((parameter.grad.device, parameter.grad.dtype), []).append(parameter.grad.detach())
    norms = [norm.float() for grads in by_kind.values() for norm in torch._foreach_norm(grads)]
    if not norms:
        return torch.zeros(())
    return torch.stack([norm.to(norms[0].device) for norm in norms]).norm()


@torch.no_grad()
def _step_and_put_back(optimizer: Optimizer, allowed: Tensor, **kwargs) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group['params']]
    stepped = [parameter for parameter in parameters if parameter.grad is not None]
    state_before = _state_tensors(optimizer, stepped)
    copies = TensorCopies([*stepped, *state_before.values()])
    copies.save()
    optimizer.step(**kwargs)
    copies.put_back_unless(allowed)
    # State that this step has made starts at zero, as that of a step without gradient.
    for key, tensor in _state_tensors(optimizer, stepped).items():
        if key not in state_before:
            tensor.copy_(torch.where(allowed, tensor, torch.zeros_like(tensor)))


def _state_tensors(optimizer: Optimizer, parameters: Sequence[Tensor]) -> dict[tuple[int, str], Tensor]:
    """Return the optimizer's state on the devices of its parameters, by parameter and name."""
    found = {}
    for index, parameter in enumerate(parameters):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.device == parameter.device:
                found[index, name] = value
    return found


def _chunks(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    chunks: list[list[Tensor]] = []
    open_chunks: dict[tuple, tuple[list[Tensor], int]] = {}
    for tensor in tensors:
        kind = (tensor.device, tensor.dtype)
        chunk, size = open_chunks.get(kind, (None, 0))
        if chunk is None or size + tensor.numel() > CHUNK:
            chunk, size = [], 0
            chunks.append(chunk)
        chunk.append(tensor)
        open_chunks[kind] = (chunk, size + tensor.numel())
    return chunks


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
