"""Memory and time of a training step on many GPUs, from counts of a model and rates.

docs/scale.md has the formulas.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .model_counts import ModelCounts

GB = 1e9
FLOAT32, BFLOAT16 = 4, 2  # bytes


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

    def switches(self, backbone: str = 'model.backbone') -> str:
        """Return the options of ``depth train`` for it.

        Args:
            backbone: Config key of the network whose blocks ``recompute`` means, for DDP.
        """
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
            words.append(f'--cfg-options {backbone}.grad_checkpointing=True')
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
    those of the next block, which are fetched ahead, and the gradients, in the type of the block
    and, while they are averaged, in float32.
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

    A ring moves (N - 1) / N of the bytes of a gather or a reduction through each GPU, and twice
    that for an all-reduce. Nothing hides the first gather and the last reduction.
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
