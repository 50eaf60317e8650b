"""Mode saving: what a checkpoint costs the training that writes it, at once and in a thread.

Processor time is that of the thread that trains: what it waits for, such as the disk or the
interpreter's lock, shows by the clock alone, which needs a machine that nobody else uses.

Three trainings take turns in blocks of iterations: one without checkpoints, one that waits for each
(``at_once``) and one that writes them in a thread (``in_thread``). A block begins with the
iteration that saves and has enough iterations for the thread to end its write. What a block takes
longer than that of the training without checkpoints in the same round is the cost of one
checkpoint.
"""

import contextlib
import itertools
import multiprocessing.util
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from depth.engine.runner import build_runner

from .scenes import image_size
from .settings import Setting, Spec
from .train import prepare

BLOCK = 8  # iterations from one checkpoint to the next, in the measurement
GOAL = 0.02  # of the training's time
_numbers = itertools.count()


@dataclass
class Block:
    """Seconds of the iterations from one checkpoint to the next.

    Attributes:
        wall: Of each iteration.
        cpu: Processor time of the training's thread in each.
        during_write: Whether a checkpoint was being written when the iteration ended.
    """

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    during_write: list[bool] = field(default_factory=list)


def run(spec: Spec, setting: Setting, rounds: int, progress: Callable[[str], None]) -> dict:
    """Measure, and return one row for each way to save.

    Args:
        spec: Config and sizes.
        setting: Setting of the training.
        rounds: Checkpoints of each kind that count, after one that warms up.
        progress: Called with a line of text before each round.
    """
    interval = int(setting.load(spec).default_hooks.checkpoint.interval)
    with contextlib.ExitStack() as stack:
        runners = {}
        for name in ('none', 'at_once', 'in_thread'):
            runners[name] = _start(spec, setting, name, stack)
        for runner in runners.values():
            _run_block(runner, BLOCK - 1, spec.device)  # the next iteration saves
        blocks: dict[str, list[Block]] = {name: [] for name in runners}
        for number in range(rounds + 1):
            progress(f'checkpoint {number}/{rounds}')
            for name, runner in runners.items():
                block = _run_block(runner, BLOCK, spec.device)
                if number:  # the first one warms up
                    blocks[name].append(block)
                runner.checkpoint_writer.wait()
        files = sorted(Path(runners['in_thread'].work_dir).glob('iter_*.pth'))
        size = files[-1].stat().st_size
    rows = [_row(name, blocks[name], blocks['none'], interval) for name in blocks]
    for row in rows[1:]:
        row['file_mb'] = size / 1e6
    return dict(rows=rows, ratios=[], notes=_notes(rows, interval))


def _start(spec: Spec, setting: Setting, name: str, stack: contextlib.ExitStack) -> Runner:
    """Return a runner that trains step by step and saves as the name says."""
    cfg = setting.load(spec)
    checkpoint = dict(cfg.default_hooks.checkpoint, interval=BLOCK, save_best=None)
    batch_size = spec.batch_size or cfg.train_dataloader.get('batch_size', 1)
    prepare(cfg, spec.shape or image_size(cfg, 'train_dataloader'), batch_size)
    if name != 'none':
        asynchronous = name == 'in_thread'
        cfg.default_hooks.checkpoint = dict(checkpoint, asynchronous=asynchronous)
    return _build(cfg, stack)


def _build(cfg: Config, stack: contextlib.ExitStack) -> Runner:
    cfg.work_dir = tempfile.mkdtemp(prefix='benchmark_')
    # The logger of a runner writes until the process ends.
    multiprocessing.util.Finalize(None, shutil.rmtree, args=(cfg.work_dir, True), exitpriority=0)
    cfg.experiment_name = f'saving_{next(_numbers)}'
    runner = build_runner(cfg)
    runner.train()  # prepares the loop, without an iteration
    stack.callback(runner.checkpoint_writer.close)
    return runner


def _run_block(runner: Runner, iterations: int, device: str) -> Block:
    """Run iterations and return their times."""
    block = Block()
    for _ in range(iterations):
        wall, cpu = _now(device), time.thread_time()
        runner.train_loop.step()
        block.wall.append(_now(device) - wall)
        block.cpu.append(time.thread_time() - cpu)
        block.during_write.append(runner.checkpoint_writer.is_busy)
    return block


def _now(device: str) -> float:
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter()


def _row(name: str, blocks: list[Block], without: list[Block], interval: int) -> dict:
    """Return what a checkpoint costs, as medians over the rounds, each against its own round."""
    step = statistics.median(itertools.chain(*(block.wall for block in without)))
    step_cpu = statistics.median(itertools.chain(*(block.cpu for block in without)))
    row: dict[str, object] = dict(checkpoints=name, step_ms=step * 1e3, step_cpu_ms=step_cpu * 1e3)
    if blocks is without:
        return row
    saving, saving_cpu, following, cost, cost_cpu, count = [], [], [], [], [], []
    for block, base in zip(blocks, without, strict=True):
        saving.append(block.wall[0] - base.wall[0])
        saving_cpu.append(block.cpu[0] - base.cpu[0])
        following.append(sum(block.wall[1:]) - sum(base.wall[1:]))
        cost.append(sum(block.wall) - sum(base.wall))
        cost_cpu.append(sum(block.cpu) - sum(base.cpu))
        count.append(sum(block.during_write))
    row['saving_ms'] = statistics.median(saving) * 1e3
    row['saving_cpu_ms'] = statistics.median(saving_cpu) * 1e3
    row['beside_ms'] = statistics.median(following) * 1e3
    row['iterations_beside'] = statistics.median(count)
    row['cost_ms'] = statistics.median(cost) * 1e3
    row['cost_cpu_ms'] = statistics.median(cost_cpu) * 1e3
    row['cost_share'] = statistics.median(cost) / (interval * step)
    row['cost_cpu_share'] = statistics.median(cost_cpu) / (interval * step_cpu)
    return row


def _notes(rows: list[dict], interval: int) -> list[str]:
    """Return what the columns mean for a training at the config's interval."""
    notes = [
        f'cost_share: of the time of {interval} iterations, the interval of this config; '
        'saving_ms: what the iteration that saves takes longer, beside_ms: the following ones in '
        'sum'
    ]
    for row in rows[1:]:
        least = max(row['cost_ms'], 0.0) / (GOAL * interval)
        least_cpu = max(row['cost_cpu_ms'], 0.0) / (GOAL * interval)
        notes.append(
            f'`{row["checkpoints"]}`: below {GOAL:.0%} of the training wherever an iteration takes '
            f'more than {least:.2f} ms, by processor time {least_cpu:.2f} ms'
        )
    return notes
