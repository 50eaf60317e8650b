"""Hook that stops a training whose loss or gradient is not finite and reports the cause."""

from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.dist import get_rank, is_distributed
from mmengine.hooks import Hook, LoggerHook
from mmengine.runner import Runner
from torch import Tensor

from depth.integrity import is_finite
from depth.registry import HOOKS
from depth.sharded_tensors import is_sharded, local_tensor

from ..checkpoint import find_latest_checkpoint, save_atomically, to_plain
from ..distributed import unwrap_model
from ..errors import NonFiniteError
from ..loops import get_random_state, preserved_random_state
from ..optim_wrappers import GuardedStep
from ..sharding import is_sharded_model, whole_state
from ..step_guard import StepGuard
from ..training_state import checkpoint_meta
from ..training_step import StepReport, batch_to_plain, image_paths, run_step_again

LONGEST_INTERVAL = 50  # iterations


@dataclass
class _Record:
    """Values of one iteration that have not been read from the device yet.

    ``values`` are the losses, the gradient norm, the number of bad steps in a row and whether the
    guard is frozen; ``numbers`` are the same after the transfer.
    """

    iteration: int
    random_state: dict
    batch: dict | None
    names: list[str]
    values: Tensor
    ends_window: bool
    numbers: list[float] | None = None

    @property
    def losses(self) -> dict[str, float]:
        return dict(zip(self.names, self.numbers, strict=False))

    @property
    def grad_norm(self) -> float:
        return self.numbers[-3]

    @property
    def is_bad(self) -> bool:
        return self.ends_window and (self.numbers[-2] > 0 or self.numbers[-1] > 0)


@HOOKS.register_module()
class FiniteWatchHook(Hook):
    """Skip steps whose loss or gradient is not finite; stop and name samples and first bad layer.

    A bad step is skipped on the device (:class:`~depth.engine.step_guard.StepGuard`), so weights,
    running statistics and checkpoints stay finite. The values are read when the log is written, at
    least every 50 iterations, before every checkpoint and validation, and on a CPU in each
    iteration. Before the training stops, the bad batch is rebuilt and run again, and saved with the
    weights as ``nonfinite_iter_N_rankR.pth`` in the work dir, for
    ``tools/analysis_tools/replay_step.py``. Weights that are not finite are never saved.

    Args:
        check_interval: Iterations between two readings of the values; they are also read whenever
            the log is written.
        skip: Continue after a bad step, which is named in the log, instead of stopping.
        max_consecutive: With ``skip``: number of bad steps in a row after which to stop.
        max_overflows: Number of steps in a row skipped by float16's loss scaling after which to
            stop; a few are normal.

    Raises:
        ValueError: If an argument is out of range.
    """

    priority = 'ABOVE_NORMAL'  # before moving averages, the log and checkpoints

    def __init__(
        self,
        check_interval: int = 50,
        skip: bool = False,
        max_consecutive: int = 10,
        max_overflows: int = 30,
    ) -> None:
        if not 1 <= check_interval <= LONGEST_INTERVAL:
            raise ValueError(
                f'FiniteWatchHook.check_interval is 1 to {LONGEST_INTERVAL} iterations, got '
                f'{check_interval!r}'
            )
        for name, value in (('max_consecutive', max_consecutive), ('max_overflows', max_overflows)):
            if not value >= 1:
                raise ValueError(f'FiniteWatchHook.{name} is 1 or more steps, got {value!r}')
        self.check_interval = check_interval
        self.skip = skip
        self.max_consecutive = max_consecutive
        self.max_overflows = max_overflows
        self.guard: StepGuard | None = None
        self.records: list[_Record] = []

    def before_train(self, runner: Runner) -> None:
        """Put the guard into the optimizer wrapper."""
        if not isinstance(runner.optim_wrapper, GuardedStep):
            runner.logger.warning(
                f'FiniteWatchHook: {type(runner.optim_wrapper).__name__} has no guarded step, so '
                'nobody watches over losses and gradients; use OptimWrapper or AmpOptimWrapper of '
                'this toolbox'
            )
            return
        limit = self.max_consecutive if self.skip else 1
        self.guard = StepGuard(unwrap_model(runner), limit=limit, overflow_limit=self.max_overflows)
        self.guard.begin_window()
        runner.optim_wrapper.guard = self.guard
        log_intervals = [hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)]
        self.interval = 1 if self.guard.waits else min([self.check_interval, *log_intervals])
        self.records = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Store the random state, and open the guard's window at the first iteration of a step."""
        if self.guard is None:
            return
        wrapper = runner.optim_wrapper
        if wrapper.inner_count % wrapper._accumulative_counts == 0:
            self.guard.begin_window()
        self.random_state = get_random_state()

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Record the step's values on the device, and read them at the interval."""
        if self.guard is None:
            return
        losses = {name: value for name, value in (outputs or {}).items() if 'loss' in name}
        scalars = [*losses.values(), self.guard.norm, self.guard.in_a_row, self.guard.frozen]
        device = self.guard.norm.device
        values = []
        for scalar in scalars:
            values.append(torch.as_tensor(scalar).detach().to(device).float().reshape(()))
        # A sampler with batch_of_iteration() can rebuild the batch; others would need it in memory.
        keeps_batch = not hasattr(runner.train_dataloader.sampler, 'batch_of_iteration')
        self.records.append(
            _Record(
                iteration=runner.iter,
                random_state=self.random_state,
                batch=data_batch if keeps_batch else None,
                names=list(losses),
                values=torch.stack(values),
                ends_window=runner.optim_wrapper.should_update(),
            )
        )
        if self.every_n_train_iters(runner, self.interval):
            self.check(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the steps before the validation measures the model."""
        self.check(runner)

    def after_train(self, runner: Runner) -> None:
        """Check the last steps."""
        self.check(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite.

        Raises:
            NonFiniteError: If one is not.
        """
        state = checkpoint['state_dict']
        bad = [name for name, value in state.items() if not is_finite(local_tensor(value))]
        if any(is_sharded(value) for value in state.values()):
            entries: list = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(entries, bad)
            bad = [name for entry in entries for name in entry]
        if bad:
            raise NonFiniteError(
                f'iteration {runner.iter + 1}: the weight {bad[0]} is not finite, so no '
                f'checkpoint is written; {_last_checkpoint(runner)}. Lower the learning rate '
                'or clip gradients (--cfg-options optim_wrapper.optimizer.lr=... '
                'optim_wrapper.clip_grad.max_norm=...)'
            )

    def check(self, runner: Runner) -> None:
        """Read the values of all recorded steps in one transfer; warn of bad steps or stop.

        Raises:
            NonFiniteError: If the guard has stopped the training.
        """
        if not self.records:
            return
        numbers = torch.cat([record.values for record in self.records]).tolist()
        for record in self.records:
            record.numbers, numbers = numbers[: len(record.values)], numbers[len(record.values) :]
        bad = [index for index, record in enumerate(self.records) if record.is_bad]
        if self.records[-1].numbers[-1]:
            self._stop(runner, self._start_of_last_streak())
        for index in bad:
            self._warn(runner, index)
        # Iterations of an unfinished accumulation window stay for the next check.
        num_finished = len(self.records)
        while num_finished and not self.records[num_finished - 1].ends_window:
            num_finished -= 1
        self.records = self.records[num_finished:]

    def _start_of_last_streak(self) -> int:
        """Return the first bad step of the last streak; weights are those before it."""
        start = len(self.records) - 1
        for index in range(len(self.records) - 1, -1, -1):
            if self.records[index].is_bad:
                start = index
            elif self.records[index].ends_window:
                break
        return start

    def _window(self, index: int) -> list[_Record]:
        """Return the records of the accumulation window that ends with the step ``index``."""
        start = index
        while start > 0 and not self.records[start - 1].ends_window:
            start -= 1
        return self.records[start : index + 1]

    def _warn(self, runner: Runner, index: int) -> None:
        skipped = runner.message_hub.get_info('skipped_steps', 0) + 1
        runner.message_hub.update_info('skipped_steps', skipped)
        window = self._window(index)
        paths = [path for record in window for path in image_paths(_batch(runner, record))]
        runner.logger.warning(
            f'iteration {window[-1].iteration + 1}: loss or gradient is not finite, the step was '
            f'skipped ({skipped} so far; the training stops after {self.max_consecutive} in a '
            f'row). {_numbers(window)}; samples: {", ".join(paths)}'
        )

    def _stop(self, runner: Runner, index: int) -> None:
        """Find samples and layer of the bad step ``index``, save the step and raise the error."""
        window = self._window(index)
        model = unwrap_model(runner)
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        scale = scaler.get_scale() if scaler is not None and scaler.is_enabled() else 1.0
        record, batch, report = self._repeat(runner, window, scale)
        state = whole_state(model)
        own_entry = dict(
            iteration=record.iteration + 1,
            numbers=_numbers(window),
            paths=image_paths(batch),
            first=report.first,
            rank=get_rank(),
        )
        entries = [own_entry]
        if is_distributed():
            entries = [None] * torch.distributed.get_world_size()
            torch.distributed.all_gather_object(entries, own_entry)
        # The processes whose repeated step is not finite save it; if there are none, all do.
        culprits = [entry for entry in entries if entry['first'] is not None] or entries
        if own_entry not in culprits:
            raise NonFiniteError(_message(runner, culprits[0], self.skip))
        own_entry['dump'] = str(self._write_dump(runner, record, batch, report, scale, state))
        raise NonFiniteError(_message(runner, own_entry, self.skip))

    @staticmethod
    def _repeat(
        runner: Runner, window: list[_Record], scale: float
    ) -> tuple[_Record, dict, StepReport]:
        """Repeat a window's iterations; return the first bad one, else the last, with its batch."""
        model, wrapper = unwrap_model(runner), runner.optim_wrapper
        repeated = []
        for record in window:
            batch = _batch(runner, record)
            context = wrapper.optim_context(model)
            report = run_step_again(
                model, batch, record.random_state, record.iteration, context, scale
            )
            repeated.append((record, batch, report))
            # All processes gather sharded parameters together, so none of them may leave early.
            if report.first is not None and not is_sharded_model(model):
                break
        bad = [entry for entry in repeated if entry[2].first is not None]
        return bad[0] if bad else repeated[-1]

    @staticmethod
    def _write_dump(
        runner: Runner,
        record: _Record,
        batch: dict,
        report: StepReport,
        scale: float,
        state: dict[str, Tensor],
    ) -> Path:
        """Save the batch, the random state and the weights of a step, and return the file."""
        model = unwrap_model(runner)
        device = next(model.parameters()).device.type
        with runner.optim_wrapper.optim_context(model):
            autocast = (
                str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else None
            )
        step = dict(
            iteration=record.iteration,
            rank=get_rank(),
            batch=batch_to_plain(batch),
            random_state=record.random_state,
            losses=record.losses,
            grad_norm=record.grad_norm,
            first=report.first,
            autocast=autocast,
            loss_scale=scale,
        )
        content = dict(
            meta=checkpoint_meta(runner, {}, by_epoch=False),
            state_dict=state,
            step=step,
        )
        path = Path(runner.work_dir, f'nonfinite_iter_{record.iteration + 1}_rank{get_rank()}.pth')
        save_atomically(to_plain(content), path)
        return path


def check_before_saving(runner: Runner) -> None:
    """Check all recorded steps; all processes call it before a checkpoint is saved.

    Raises:
        NonFiniteError: If a loss, gradient or weight is not finite.
    """
    for hook in runner.hooks:
        if isinstance(hook, FiniteWatchHook):
            hook.check(runner)


def _batch(runner: Runner, record: _Record) -> dict:
    """Return the batch of an iteration, rebuilt from the sampler's indices and seeds if needed."""
    if record.batch is not None:
        return record.batch
    loader = runner.train_dataloader
    with preserved_random_state():
        samples = [
            loader.dataset[index] for index in loader.sampler.batch_of_iteration(record.iteration)
        ]
    return loader.collate_fn(samples)


def _numbers(window: list[_Record]) -> str:
    """Return losses and gradient norm of a step in words."""
    texts = []
    for record in window:
        prefix = f'iteration {record.iteration + 1}: ' if len(window) > 1 else ''
        texts.append(
            prefix + ', '.join(f'{name} {value:.6g}' for name, value in record.losses.items())
        )
    return f'{"; ".join(texts)}; gradient norm {window[-1].grad_norm:.6g}'


def _last_checkpoint(runner: Runner) -> str:
    latest = find_latest_checkpoint(runner.work_dir)
    if latest is None:
        return 'there is no checkpoint from before'
    return f'the last checkpoint is {latest}'


def _message(runner: Runner, entry: dict, skips: bool) -> str:
    """Return the text of the error for the step that ``entry`` describes."""
    finding = (
        entry['first']
        or 'nothing, so the cause is chance (nondeterministic kernels) or another process'
    )
    lines = [
        f'the training was stopped: loss or gradient of iteration {entry["iteration"]} is not '
        'finite' + (', nor is that of the steps after it' if skips else ''),
        f'  values: {entry["numbers"]}',
        f'  samples (process {entry["rank"]}): {", ".join(entry["paths"])}',
        f'  first not finite when the step was run again: {finding}',
        f'  weights are those in front of that step; {_last_checkpoint(runner)}',
    ]
    if 'dump' in entry:
        lines.append(f'  run it again: python tools/analysis_tools/replay_step.py {entry["dump"]}')
    lines.append(
        '  if the samples are in order: lower the learning rate, clip gradients, or let the '
        "training skip such steps with FiniteWatchHook's skip=True"
    )
    return '\n'.join(lines)
