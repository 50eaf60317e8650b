"""Tables and sentences of ``depth plan``."""

from collections.abc import Sequence

from .model_counts import ModelCounts
from .step_model import GB, LAUNCHES, Machine, Plan, largest_batch, plan_training


def format_counts(counts: ModelCounts, name: str) -> str:
    """Return the counts of a model in words."""
    height, width = counts.size
    stored = counts.outside_bytes + sum(counts.block_bytes)
    return (
        f'{name}: {counts.parameters / 1e6:,.1f} M parameters, {counts.trained / 1e6:,.1f} M of '
        f'them trained, in {len(counts.groups) - 1} blocks and the rest; one image of '
        f'{height}x{width}: {counts.train_flops / 1e12:.2f} TFLOPs for forward and backward, '
        f'{stored / GB:.2f} GB of activations in float32'
    )


def format_table(counts: ModelCounts, gpus: Sequence[int], batch: int, machine: Machine) -> str:
    """Return a Markdown table with one line for each number of GPUs and way to run."""
    lines = [
        '| GPUs | strategy | weights | gradients | moments | gathered | activations | GB in all | '
        'fits | largest batch | step, ms | images/s | efficiency |',
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
        f'{machine.memory:g} GB a GPU, of which {machine.reserve:.0%} are left for the context, '
        'the allocator and the libraries',
        'weights, gradients and moments are counted; activations are what autograd stores in a '
        'forward pass of the network (without the loss), attention as fused kernels store it, half '
        'as much inside blocks in bf16',
        'FLOPs are counted: products of matrices, convolutions and attention; a backward pass '
        'takes twice those of the forward pass of trained parts, recomputation those of the blocks '
        'once more',
        f'{machine.tflops:g} TFLOP/s in bf16 and half in float32 (TF32), of which a step reaches '
        f'{machine.utilisation:.0%}',
        f'a GPU sends {machine.node_bandwidth:g} GB/s inside a node of {machine.gpus_per_node} and '
        f'{machine.network_bandwidth:g} GB/s between nodes, of which collectives reach '
        f'{machine.link_utilisation:.0%}, and each takes {machine.latency * 1e6:g} us for every '
        'doubling of the processes',
        f'computation hides communication for {machine.overlap:.0%} of its time, except the first '
        'gather and the last reduction',
        data,
    ]
