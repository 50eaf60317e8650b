"""Guard that skips optimizer steps whose gradient is not finite, without synchronising the GPU."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torch.optim import Optimizer

from depth.sharded_tensors import is_sharded, local_tensor

CHUNK = 2**24  # elements of tensors that are copied together


class StepGuard:
    """Guard that skips optimizer steps whose gradient norm is not finite.

    After ``limit`` such steps in a row the guard is frozen: every further step is skipped, so that
    weights and running statistics stay those before the bad steps until the state is read. All
    processes decide alike, because the gradient norm is the same on all of them: a loss that is not
    finite on one makes the averaged gradients of all not finite.

    On a CPU the flag is read and the step left out. On other devices the host does not wait for the
    flag: a fused optimizer takes it as a tensor, as from ``torch.amp.GradScaler``; with any other
    optimizer the parameters and its state are restored where the flag is false. The step counters
    that optimizers keep on the CPU advance in a skipped step.

    Args:
        model: Model whose running statistics are restored together with the weights.
        limit: Number of bad steps in a row after which the guard freezes the model.
        overflow_limit: The same for steps that float16's loss scaling skips while the loss itself
            is finite.
        waits: Read the flag in each step; by default on the devices of ``READS_ON``.
    """

    READS_ON = ('cpu',)  # types of the devices on which the flag is read in each step

    def __init__(
        self, model: nn.Module, limit: int = 1, overflow_limit: int = 30, waits: bool | None = None
    ) -> None:
        device = next(model.parameters()).device
        self.limit = limit
        self.overflow_limit = overflow_limit
        self.overflows = 0
        self.waits = device.type in self.READS_ON if waits is None else waits
        self.frozen = torch.zeros((), dtype=torch.bool, device=device)
        self.in_a_row = torch.zeros((), dtype=torch.int32, device=device)
        self.norm = torch.zeros((), device=device)
        self.loss_is_finite = torch.ones((), dtype=torch.bool, device=device)
        self._statistics = TensorCopies(
            [buffer for buffer in model.buffers() if buffer.is_floating_point()]
        )

    def begin_window(self) -> None:
        """Save the running statistics; call it before the first forward pass of a step."""
        self.loss_is_finite.fill_(True)
        self._statistics.save()

    def mark(self, loss: Tensor) -> Tensor:
        """Return the loss; if its value is not finite, its gradient is NaN.

        An infinite loss can have a finite gradient, with which the other processes would step.
        """
        is_finite = loss.detach().isfinite()
        self.loss_is_finite &= is_finite
        return loss * torch.where(is_finite, 1.0, torch.nan).to(loss.dtype)

    def step(self, optimizer: Optimizer, norm: Tensor, **kwargs) -> None:
        """Step the optimizer if the gradients' ``norm`` is finite and nothing is frozen."""
        allowed = self.judge(norm)
        if self.waits:
            if bool(allowed):
                optimizer.step(**kwargs)
        # The switch that GradScaler asks for.
        elif getattr(optimizer, '_step_supports_amp_scaling', False):
            optimizer.grad_scale, optimizer.found_inf = None, (~allowed).float()
            try:
                with _mixed_tensors(optimizer):
                    optimizer.step(**kwargs)
            finally:
                del optimizer.grad_scale, optimizer.found_inf
        else:
            _step_and_put_back(optimizer, allowed, **kwargs)
        self._statistics.put_back_unless(allowed)

    def allows_scaled_step(self, norm: Tensor) -> bool:
        """Return whether a step with float16's loss scaling may be taken.

        A gradient beyond float16's range is normal while the loss is finite: the scaler halves its
        scale until the gradient fits. After ``overflow_limit`` halvings in a row the guard freezes.
        This reads from the device, as the scaler does in each step.

        Args:
            norm: Norm of the unscaled gradients.
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
    """Copies of many tensors, saved and restored with a few kernels.

    Args:
        tensors: Tensors to copy; those of one type and device are joined into chunks. Of sharded
            ones the piece of this process is copied.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._chunks = _chunks([local_tensor(tensor) for tensor in tensors])
        self._saved: list[Tensor] = []

    def save(self) -> None:
        """Save the present values."""
        self._saved = [_joined(chunk) for chunk in self._chunks]

    def put_back_unless(self, keep: Tensor) -> None:
        """Restore the saved values where the flag ``keep``, a scalar on the device, is false."""
        for chunk, saved in zip(self._chunks, self._saved, strict=True):
            values = torch.where(keep.to(saved.device), _joined(chunk), saved)
            pieces = values.split([tensor.numel() for tensor in chunk])
            shaped = [piece.view(tensor.shape) for piece, tensor in zip(pieces, chunk, strict=True)]
            torch._foreach_copy_(chunk, shaped)


def gradient_norm(parameters: Sequence[Tensor], norm_type: float = 2.0) -> Tensor:
    """Return the norm of all gradients, a float32 scalar on the first one's device; 0 if none.

    Of sharded gradients each process takes the norm of its pieces, and these are joined by one
    all-reduce.

    Args:
        parameters: With or without gradients; all of them sharded, or none.
        norm_type: Order of the norm; infinity takes the largest magnitude.
    """
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    by_kind: dict[tuple, list[Tensor]] = {}
    for grad in grads:
        local = local_tensor(grad).detach()
        if local.numel():  # the last processes have no piece of a short tensor
            by_kind.setdefault((local.device, local.dtype), []).append(local)
    norms = []
    for tensors in by_kind.values():
        norms += [norm.float() for norm in torch._foreach_norm(tensors, norm_type)]
    if not grads:
        return torch.zeros(())
    if norms:
        norm = torch.stack([norm.to(norms[0].device) for norm in norms]).norm(norm_type)
    else:
        norm = torch.zeros((), device=grads[0].device)
    sharded = next((grad for grad in grads if is_sharded(grad)), None)
    return norm if sharded is None else _norm_over_processes(norm, norm_type, sharded.device_mesh)


def _norm_over_processes(
    norm: Tensor, norm_type: float, mesh: torch.distributed.DeviceMesh
) -> Tensor:
    """Return the norm of the vector whose pieces on the processes have the norms ``norm``."""
    group = mesh.get_group()
    if norm_type == math.inf:
        torch.distributed.all_reduce(norm, torch.distributed.ReduceOp.MAX, group=group)
        return norm
    norms = norm.new_zeros(mesh.size())
    norms[mesh.get_local_rank()] = norm
    torch.distributed.all_reduce(norms, group=group)
    return norms.norm(norm_type)


def clip_gradients_by_norm(
    parameters: Sequence[Tensor], max_norm: float, norm_type: float = 2.0
) -> Tensor:
    """Scale sharded gradients in place to a norm of at most ``max_norm``; return that before.

    As ``torch.nn.utils.clip_grad_norm_``, with one all-reduce instead of one for each gradient.
    """
    norm = gradient_norm(parameters, norm_type)
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    grads = [local_tensor(parameter.grad) for parameter in parameters if parameter.grad is not None]
    torch._foreach_mul_(grads, factor)
    return norm


def _mixed_tensors(optimizer: Optimizer) -> AbstractContextManager:
    """Return a context in which a fused optimizer of sharded parameters takes plain flags."""
    if not is_sharded(optimizer.param_groups[0]['params'][0]):
        return nullcontext()
    from torch.distributed.tensor.experimental import implicit_replication

    return implicit_replication()


@torch.no_grad()
def _step_and_put_back(optimizer: Optimizer, allowed: Tensor, **kwargs) -> None:
    """Step the optimizer, then restore parameters and state where ``allowed`` is false."""
    stepped = []
    for group in optimizer.param_groups:
        stepped += [parameter for parameter in group['params'] if parameter.grad is not None]
    state_before = _state_tensors(optimizer, stepped)
    copies = TensorCopies([*stepped, *state_before.values()])
    copies.save()
    optimizer.step(**kwargs)
    copies.put_back_unless(allowed)
    # State that this step created has no earlier value; it starts at zero instead.
    for key, tensor in _state_tensors(optimizer, stepped).items():
        if key not in state_before:
            tensor = local_tensor(tensor)
            tensor.copy_(torch.where(allowed, tensor, torch.zeros_like(tensor)))


def _state_tensors(
    optimizer: Optimizer, parameters: Sequence[Tensor]
) -> dict[tuple[int, str], Tensor]:
    """Return the optimizer's state on the devices of its parameters, by parameter and name."""
    tensors = {}
    for index, parameter in enumerate(parameters):
        for name, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor) and value.device == parameter.device:
                tensors[index, name] = value
    return tensors


def _chunks(tensors: Sequence[Tensor]) -> list[list[Tensor]]:
    """Group tensors of one type and device into lists of at most ``CHUNK`` elements."""
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
