"""Memory and time of a training on many GPUs, by arithmetic on a model without weights.

Memory per process is a count: parameters, gradients, moments and the activations that autograd stores,
of a model on the meta device. The time of a step is FLOPs and bytes over rates, which are assumptions
that the caller can replace. docs/scale.md says what of it was measured.
"""

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest import mock

import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

from .complexity import measure_complexity
from .converters.convert import build_without_weights
from .sharding import find_blocks

GB = 1e9
FLOAT32, BFLOAT16 = 4, 2  # bytes
# Tensors of a parameter's size that an optimizer holds for it.
MOMENTS = dict(Adam=2, AdamW=2, NAdam=2, RAdam=2, Adamax=2, RMSprop=1, SGD=0)


@dataclass(frozen=True)
class Group:
    """Parameters that are gathered together: a block, or everything outside of the blocks.

    Attributes:
        name: Name of the block, empty for the rest.
        shapes: Shape of each parameter and whether it is trained.
    """

    name: str
    shapes: tuple[tuple[tuple[int, ...], bool], ...]

    def numel(self, trained: bool = False) -> int:
        """Return the number of values, or of those that are trained."""
        return sum(
            math.prod(shape) for shape, is_trained in self.shapes if is_trained or not trained
        )

    def largest_piece(self, processes: int, trained: bool = False) -> int:
        """Return the number of values of the first process, which has the largest pieces.

        Each parameter is divided along its first dimension, in whole rows.
        """
        total = 0
        for shape, is_trained in self.shapes:
            if (is_trained or not trained) and shape:
                total += math.ceil(shape[0] / processes) * math.prod(shape[1:])
        return total


@dataclass(frozen=True)
class ModelCounts:
    """What :func:`count_model` has counted, for one image of ``size``.

    Attributes:
        groups: Blocks, and last what is outside of them.
        buffers: Bytes of running statistics and the like.
        moments: Tensors of a parameter's size in the optimizer.
        has_average: Whether EMAHook holds a copy of the weights.
        size: (H, W) of the image.
        forward_flops: FLOPs of a forward pass.
        train_flops: FLOPs of a forward and backward pass.
        block_flops: FLOPs of the forward pass of all blocks.
        outside_bytes: Bytes stored for the backward pass outside of blocks, in float32.
        block_bytes: The same for each block.
        block_inputs: Bytes of each block's input.
    """

    groups: tuple[Group, ...]
    buffers: int
    moments: int
    has_average: bool
    size: tuple[int, int]
    forward_flops: float
    train_flops: float
    block_flops: float
    outside_bytes: int
    block_bytes: tuple[int, ...]
    block_inputs: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(group.numel() for group in self.groups)

    @property
    def trained(self) -> int:
        """Number of parameters that are trained."""
        return sum(group.numel(trained=True) for group in self.groups)


@dataclass(frozen=True)
class Machine:
    """GPUs and their connections; the defaults are the published numbers of an H100 SXM node.

    Attributes:
        memory: Memory of a GPU in GB (1e9 bytes).
        gpus_per_node: GPUs that are connected directly.
        tflops: Peak of dense bfloat16 products, in 1e12 FLOPs/s. Float32 is taken as TF32, half.
        utilisation: Part of the peak that a step reaches while it computes.
        node_bandwidth: GB/s that a GPU sends to others of its node (NVLink 4: 450).
        network_bandwidth: GB/s that a GPU sends to other nodes (400 Gbit/s: 50).
        link_utilisation: Part of either bandwidth that collectives reach.
        host_bandwidth: GB/s between a GPU and host memory (PCIe 5: 64).
        latency: Seconds of a collective operation for each doubling of the processes.
        overlap: Part of the communication that can run while the GPU computes.
        reserve: Part of the memory for the context, the allocator and the libraries.
        data_rate: Images/s that the loader workers of one process deliver; None if they suffice.
    """

    memory: float = 80.0
    gpus_per_node: int = 8
    tflops: float = 989.0
    utilisation: float = 0.35
    node_bandwidth: float = 450.0
    network_bandwidth: float = 50.0
    link_utilisation: float = 0.8
    host_bandwidth: float = 64.0
    latency: float = 1e-5
    overlap: float = 0.9
    reserve: float = 0.1
    data_rate: float | None = None


@dataclass(frozen=True)
class Launch:
    """Way to run a training.

    Attributes:
        strategy: ``'ddp'`` or ``'fsdp2'``.
        bf16: Blocks compute in bfloat16; with fsdp2 they are gathered in it as well.
        recompute: Activations inside of blocks are computed again in the backward pass.
        offload: Weights, gradients and moments are in host memory (fsdp2).
    """

    strategy: str
    bf16: bool = False
    recompute: bool = False
    offload: bool = False

    @property
    def switches(self) -> str:
        """The options of ``depth train`` for it."""
        words = [f'--strategy {self.strategy}']
        if self.strategy == 'fsdp2':
            options = []
            if self.bf16:
                options.append('strategy.param_dtype=bfloat16')
            if self.recompute:
                options.append('strategy.recompute_blocks=True')
            if self.offload:
                options.append('strategy.cpu_offload=True')
            return ' '.join(words + (['--cfg-options', *options] if options else []))
        if self.bf16:
            words.append('--amp bf16')
        if self.recompute:
            words.append('--cfg-options model.backbone.grad_checkpointing=True')
        return ' '.join(words)


LAUNCHES = (
    Launch('ddp'),
    Launch('ddp', bf16=True),
    Launch('ddp', bf16=True, recompute=True),
    Launch('fsdp2'),
    Launch('fsdp2', bf16=True),
    Launch('fsdp2', bf16=True, recompute=True),
    Launch('fsdp2', bf16=True, recompute=True, offload=True),
)


@dataclass(frozen=True)
class Plan:
    """Memory of a process in bytes, and the parts of a step in seconds.

    Attributes:
        launch: Way to run the training.
        gpus: Number of processes.
        batch_size: Images of one process.
        weights: Parameters (and their moving average) that the process holds all the time.
        gradients: Gradients.
        moments: The optimizer's moments.
        gathered: Parameters and gradients that exist whole for the time of a block.
        activations: What is stored for the backward pass.
        host: Bytes in host memory, with ``offload``.
        compute: Seconds of the computation.
        communication: Seconds of all collectives, hidden or not.
        exposed: Seconds of them in which the GPU waits.
        data: Seconds in which the loader workers of a process deliver its batch.
        limit: Bytes of the memory that may be used.
    """

    launch: Launch
    gpus: int
    batch_size: int
    weights: int
    gradients: int
    moments: int
    gathered: int
    activations: int
    host: int
    compute: float
    communication: float
    exposed: float
    data: float
    limit: float

    @property
    def memory(self) -> int:
        """Bytes on the GPU."""
        fixed = self.weights + self.gradients + self.moments
        return fixed + self.gathered + self.activations

    @property
    def fits(self) -> bool:
        """Whether the memory of the GPU suffices."""
        return self.memory <= self.limit

    @property
    def step(self) -> float:
        """Seconds of a step."""
        return max(self.compute + self.exposed, self.data)

    @property
    def images_per_second(self) -> float:
        """Images of all processes in a second."""
        return self.gpus * self.batch_size / self.step

    @property
    def efficiency(self) -> float:
        """Images/s over those of the same number of GPUs that only compute."""
        return self.compute / self.step


def count_model(cfg: Config, size: tuple[int, int]) -> ModelCounts:
    """Count parameters, FLOPs and stored activations of a config's model, without its weights.

    Args:
        cfg: Config of a training.
        size: (H, W) of the images in pixels.

    Raises:
        ValueError: If the forward pass needs values, which the meta device does not have, or the
            optimizer's moments are unknown.
    """
    with torch.device('meta'):
        model = build_without_weights(cfg)
        counted = copy.deepcopy(model)  # the count of FLOPs freezes its model
    kind = cfg.optim_wrapper.optimizer.type
    if kind not in MOMENTS:
        raise ValueError(f'the moments of {kind} are not known, only those of {", ".join(MOMENTS)}')
    moments = MOMENTS[kind] + int(
        kind == 'SGD' and bool(cfg.optim_wrapper.optimizer.get('momentum'))
    )
    names = find_blocks(model)
    groups = _groups(model, names)
    is_trained = {name: False for name, _ in model.named_children()}
    for name, parameter in model.named_parameters():
        is_trained[name.split('.')[0]] |= parameter.requires_grad
    try:
        measured = measure_complexity(counted, size)
        outside, inside, inputs = _count_activations(model, names, size)
    except (NotImplementedError, RuntimeError) as error:
        reason = str(error).partition('\n')[0] or type(error).__name__
        raise ValueError(
            f'the forward pass of {type(model).__name__} cannot be counted without values: {reason}'
        ) from error
    forward = measured['total']['flops']
    # A backward pass computes the gradients of weights and of inputs, each as many FLOPs as forward;
    # in front of the first trained part there is none.
    backward = 0
    for name, part in measured['parts'].items():
        backward += 2 * part['flops'] * is_trained[name]
    block_flops = _block_flops(model, names, measured)
    hooks = cfg.get('custom_hooks') or []
    return ModelCounts(
        groups=groups,
        buffers=sum(buffer.numel() * buffer.element_size() for buffer in model.buffers()),
        moments=moments,
        has_average=any(hook.get('type') == 'EMAHook' for hook in hooks),
        size=size,
        forward_flops=forward,
        train_flops=forward + backward,
        block_flops=block_flops,
        outside_bytes=outside,
        block_bytes=tuple(inside),
        block_inputs=tuple(inputs),
    )


def _groups(model: nn.Module, names: Sequence[str]) -> tuple[Group, ...]:
    """Return the groups of parameters that FSDP gathers: each block, then all else."""
    by_group: dict[str, list] = {name: [] for name in [*names, '']}
    for name, parameter in model.named_parameters():
        owner = next((block for block in names if name.startswith(f'{block}.')), '')
        by_group[owner].append((tuple(parameter.shape), parameter.requires_grad))
    return tuple(Group(name, tuple(shapes)) for name, shapes in by_group.items())


def _block_flops(model: nn.Module, names: Sequence[str], measured: dict) -> float:
    """Return the FLOPs of the blocks' forward passes, by their share of the parameters of each part."""
    flops = 0.0
    for name, part in measured['parts'].items():
        module = model.get_submodule(name)
        total = sum(parameter.numel() for parameter in module.parameters())
        in_blocks = 0
        for block in names:
            if block.startswith(f'{name}.'):
                in_blocks += sum(p.numel() for p in model.get_submodule(block).parameters())
        flops += part['flops'] * in_blocks / max(total, 1)
    return flops


def _count_activations(
    model: nn.Module, names: Sequence[str], size: tuple[int, int]
) -> tuple[int, list[int], list[int]]:
    """Count the bytes that autograd stores in a forward pass of one image, in float32.

    Returns:
        Bytes outside of blocks, inside of each block, and of each block's input.
    """
    parameters = {parameter.untyped_storage()._cdata for parameter in model.parameters()}
    stored: set[int] = set()
    tensors: list[Tensor] = []  # held, so that no address is used twice
    counts = dict.fromkeys([*names, ''], 0)
    inputs = dict.fromkeys(names, 0)
    current = ['']

    def pack(tensor: Tensor) -> Tensor:
        key = tensor.untyped_storage()._cdata
        if key not in parameters and key not in stored:
            stored.add(key)
            tensors.append(tensor)
            counts[current[-1]] += tensor.untyped_storage().nbytes()
        return tensor

    handles = []
    for name in names:
        block = model.get_submodule(name)

        def enter(module: nn.Module, args: tuple, name: str = name) -> None:
            current.append(name)
            inputs[name] = sum(x.numel() * x.element_size() for x in args if isinstance(x, Tensor))

        def leave(module: nn.Module, args: tuple, output: object) -> None:
            current.pop()

        handles.append(block.register_forward_pre_hook(enter))
        handles.append(block.register_forward_hook(leave))
    images = torch.zeros(1, 3, *size, device='meta')
    saving = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with torch.device('meta'), saving, _flash_attention():
        model.train()(images, mode='tensor')
    for handle in handles:
        handle.remove()
    return counts[''], [counts[name] for name in names], list(inputs.values())


@contextmanager
def _flash_attention() -> Iterator[None]:
    """Let attention store what fused kernels store: its inputs, its output and a row of factors.

    On the meta device PyTorch takes the plain formula, which stores the matrix of all pairs.
    """

    class FusedAttention(torch.autograd.Function):
        @staticmethod
        def forward(ctx, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            output = query.new_empty(*query.shape[:-1], value.shape[-1])
            ctx.save_for_backward(query, key, value, output, query.new_empty(query.shape[:-1]))
            return output

        @staticmethod
        def backward(ctx, grad: Tensor) -> tuple:
            raise NotImplementedError('memory is counted in the forward pass')

    def attend(
        query: Tensor, key: Tensor, value: Tensor, *args: object, **kwargs: object
    ) -> Tensor:
        return FusedAttention.apply(query, key, value)

    with mock.patch.object(F, 'scaled_dot_product_attention', attend):
        yield


def plan_training(
    counts: ModelCounts, launch: Launch, gpus: int, batch_size: int, machine: Machine
) -> Plan:
    """Compute memory and time of a training; docs/scale.md has the formulas.

    Args:
        counts: Of the model.
        launch: Way to run it.
        gpus: Number of processes.
        batch_size: Images of one process.
        machine: GPUs and connections.
    """
    is_sharded = launch.strategy == 'fsdp2'
    pieces = gpus if is_sharded else 1
    copies = 2 if counts.has_average else 1
    weights = sum(group.largest_piece(pieces) for group in counts.groups) * FLOAT32 * copies
    trained = sum(group.largest_piece(pieces, trained=True) for group in counts.groups)
    gradients, moments = trained * FLOAT32, trained * FLOAT32 * counts.moments
    compute_bytes = BFLOAT16 if launch.bf16 else FLOAT32
    gathered = _gathered_bytes(counts, compute_bytes) if is_sharded else 0
    activations = _activation_bytes(counts, launch, batch_size)
    host = 0
    if launch.offload:
        host = weights + gradients + moments
        weights = gradients = moments = 0
    flops = counts.train_flops + (counts.block_flops if launch.recompute else 0)
    peak = machine.tflops * 1e12 * (1 if launch.bf16 else 0.5)
    compute = flops * batch_size / (peak * machine.utilisation)
    communication, first = _communication(counts, launch, gpus, compute_bytes, machine)
    hidden = min(communication - first, compute * machine.overlap)
    exposed = communication - hidden
    if launch.offload:  # weights to the GPU twice, gradients back, and the step on the host
        exposed += (2 * weights_bytes(counts, gpus) + trained * FLOAT32) / (
            machine.host_bandwidth * GB
        )
    return Plan(
        launch=launch,
        gpus=gpus,
        batch_size=batch_size,
        weights=weights + counts.buffers,
        gradients=gradients,
        moments=moments,
        gathered=gathered,
        activations=activations,
        host=host,
        compute=compute,
        communication=communication,
        exposed=exposed,
        data=0.0 if machine.data_rate is None else batch_size / machine.data_rate,
        limit=machine.memory * GB * (1 - machine.reserve),
    )


def weights_bytes(counts: ModelCounts, processes: int) -> int:
    """Return the bytes of the float32 pieces of all parameters in the first process."""
    return sum(group.largest_piece(processes) for group in counts.groups) * FLOAT32


def _gathered_bytes(counts: ModelCounts, block_bytes: int) -> int:
    """Return the bytes of what is whole at the worst time of a step of FSDP.

    That is the group outside of blocks with its gradients, and of the largest block the parameters,
    those of the next block, which are fetched ahead, and the gradients, in the type of the block and,
    while they are averaged, in float32.
    """
    *blocks, rest = counts.groups
    whole = rest.numel() * FLOAT32 + rest.numel(trained=True) * FLOAT32
    largest = max((block.numel() for block in blocks), default=0)
    largest_trained = max((block.numel(trained=True) for block in blocks), default=0)
    return whole + 2 * largest * block_bytes + largest_trained * (block_bytes + FLOAT32)


def _activation_bytes(counts: ModelCounts, launch: Launch, batch_size: int) -> int:
    """Return the bytes of the stored activations of a batch.

    In bfloat16 those inside of blocks count half; what is outside counts as float32.
    """
    inside = sum(counts.block_bytes)
    if launch.recompute:
        inside = max(counts.block_bytes, default=0)
    share = 0.5 if launch.bf16 else 1.0
    stored = counts.outside_bytes + inside * share
    if launch.recompute:
        stored += sum(counts.block_inputs)
    return int(stored * batch_size)


def _communication(
    counts: ModelCounts, launch: Launch, gpus: int, block_bytes: int, machine: Machine
) -> tuple[float, float]:
    """Return the seconds of all collectives of a step, and of those that nothing can hide.

    A ring moves (N - 1) / N of the bytes of a gather or a reduction through each GPU, and twice that
    for an all-reduce. Nothing hides the first gather and the last reduction.
    """
    if gpus == 1:
        return 0.0, 0.0
    bandwidth = machine.node_bandwidth
    if gpus > machine.gpus_per_node:
        bandwidth = machine.network_bandwidth
    rate = bandwidth * machine.link_utilisation * GB
    share = (gpus - 1) / gpus
    latency = machine.latency * math.log2(gpus)
    *blocks, rest = counts.groups
    if launch.strategy == 'ddp':
        # Gradients go in buckets of 25 MB (torch's default).
        gradients = counts.trained * FLOAT32
        buckets = max(1, math.ceil(gradients / 25e6))
        total = 2 * share * gradients / rate + buckets * latency
        return total, total / buckets
    gathers = 2 * (rest.numel() * FLOAT32 + sum(block.numel() for block in blocks) * block_bytes)
    total = share * (gathers + counts.trained * FLOAT32) / rate + 3 * len(counts.groups) * latency
    first = share * (rest.numel() + rest.numel(trained=True)) * FLOAT32 / rate + 2 * latency
    return total, min(first, total)


def largest_batch(
    counts: ModelCounts, launch: Launch, gpus: int, machine: Machine, most: int = 1024
) -> int:
    """Return the largest number of images of one process that fits; 0 if one does not."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if plan_training(counts, launch, gpus, middle, machine).fits:
            low = middle
        else:
            high = middle - 1
    return low


def best_plan(plans: Sequence[Plan]) -> Plan | None:
    """Return the plan that fits and has the shortest step; None if none fits."""
    return min((plan for plan in plans if plan.fits), key=lambda plan: plan.step, default=None)


def format_counts(counts: ModelCounts, name: str) -> str:
    """Return the counts of a model in words."""
    height, width = counts.size
    stored = counts.outside_bytes + sum(counts.block_bytes)
    return (
        f'{name}: {counts.parameters / 1e6:,.1f} M parameters, {counts.trained / 1e6:,.1f} M of them '
        f'trained, in {len(counts.groups) - 1} blocks and the rest; one image of {height}x{width}: '
        f'{counts.train_flops / 1e12:.2f} TFLOPs for forward and backward, {stored / GB:.2f} GB of '
        'activations in float32'
    )


def format_table(counts: ModelCounts, gpus: Sequence[int], batch: int, machine: Machine) -> str:
    """Return a Markdown table with one line for each number of GPUs and way to run."""
    lines = [
        '| GPUs | strategy | weights | gradients | moments | gathered | activations | GB in all | fits | '
        'largest batch | step, ms | images/s | efficiency |',
        '| --- ' * 13 + '|',
    ]
    for number in gpus:
        for launch in LAUNCHES:
            plan = plan_training(counts, launch, number, batch, machine)
            lines.append(_format_line(plan, largest_batch(counts, launch, number, machine)))
    return '\n'.join(lines)


def _format_line(plan: Plan, largest: int) -> str:
    words = [plan.launch.strategy]
    for name in ('bf16', 'recompute', 'offload'):
        if getattr(plan.launch, name):
            words.append(name)
    cells = [str(plan.gpus), ' '.join(words)]
    for value in (plan.weights, plan.gradients, plan.moments, plan.gathered, plan.activations):
        cells.append(f'{value / GB:.2f}')
    cells += [f'{plan.memory / GB:.1f}', 'yes' if plan.fits else 'no', str(largest)]
    cells += [f'{plan.step * 1e3:,.0f}', f'{plan.images_per_second:,.1f}', f'{plan.efficiency:.0%}']
    return f'| {" | ".join(cells)} |'


def format_assumptions(machine: Machine) -> list[str]:
    """Return what the numbers rest on, one sentence a line."""
    data = 'the loaders keep up'
    if machine.data_rate is not None:
        data = f'the loaders of a process deliver {machine.data_rate:g} images/s'
    return [
        f'{machine.memory:g} GB a GPU, of which {machine.reserve:.0%} are left for the context, the allocator '
        'and the libraries',
        'weights, gradients and moments are counted; activations are what autograd stores in a forward pass '
        'of the network (without the loss), attention as fused kernels store it, half as much inside blocks in bf16',
        f'{machine.tflops:g} TFLOP/s in bf16 and half in float32 (TF32), of which a step reaches '
        f'{machine.utilisation:.0%}',
        f'a GPU sends {machine.node_bandwidth:g} GB/s inside a node of {machine.gpus_per_node} and '
        f'{machine.network_bandwidth:g} GB/s between nodes, of which collectives reach {machine.link_utilisation:.0%}, '
        f'and each takes {machine.latency * 1e6:g} us for every doubling of the processes',
        f'computation hides communication for {machine.overlap:.0%} of its time, except the first gather and the '
        'last reduction',
        data,
    ]


def with_options(machine: Machine, **options: float | None) -> Machine:
    """Return a machine with those options that are not None.

    Raises:
        ValueError: If a number is not positive.
    """
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if not value > 0:
            raise ValueError(f'--{name.replace("_", "-")} is positive, got {value}')
    return replace(machine, **given)
