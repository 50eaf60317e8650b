"""Console output of trainings and tests: short, never silent for long; the log file has everything.

``DEPTH_VERBOSITY`` is ``quiet`` (warnings, errors and the tables of metrics), ``normal``, or
``verbose`` (also the environment, the whole config and the hooks, which are in the log file
anyway).
"""

import contextlib
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator

from mmengine.runner import runner as mmengine_runner

VERBOSITIES = ('quiet', 'normal', 'verbose')
PROGRESS_SECONDS = 10.0  # longest silence of the console


def verbosity() -> str:
    """Return the chosen verbosity.

    Raises:
        ValueError: If ``DEPTH_VERBOSITY`` is none of those.
    """
    name = os.environ.get('DEPTH_VERBOSITY', 'normal')
    if name not in VERBOSITIES:
        raise ValueError(f'DEPTH_VERBOSITY is one of {", ".join(VERBOSITIES)}, got {name!r}')
    return name


def console_handlers(logger: logging.Logger) -> list[logging.Handler]:
    """Return the handlers of a logger that write to the console, not to files."""
    return [
        handler
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
        and not isinstance(handler, logging.FileHandler)
    ]


def set_console(logger: logging.Logger) -> None:
    """Let the console of a run's logger show what the verbosity asks for, from now on."""
    chosen = verbosity()
    if chosen != 'verbose':
        # Names of functions that torch and mmengine have not changed yet: a user can do nothing
        # about them.
        for category in (DeprecationWarning, FutureWarning, PendingDeprecationWarning):
            warnings.filterwarnings('ignore', category=category)
        # Said at the first iterations of every training that accumulates gradients: schedules count
        # iterations, of which several make one step of the optimizer.
        warnings.filterwarnings('ignore', message='Detected call of `scheduler.step')
        # The configs' worker counts are those of a training machine. More of them than cores do no
        # harm on a small one.
        warnings.filterwarnings('ignore', message='This DataLoader will create')
        # DDP compares the strides of dimensions of size 1 too, as of DINOv2's class token.
        warnings.filterwarnings('ignore', message='Grad strides do not match bucket view strides')
    for handler in console_handlers(logger):
        if any(isinstance(item, ConsoleFilter) for item in handler.filters):
            continue
        handler.addFilter(ConsoleFilter(chosen))


class ConsoleFilter(logging.Filter):
    """Filter of a console handler that notes when it last let something through.

    Args:
        chosen: The verbosity.
    """

    def __init__(self, chosen: str) -> None:
        super().__init__()
        self.chosen = chosen
        self.last_output = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record goes to the console."""
        if self.chosen == 'verbose':
            is_shown = True
        elif is_about_one_parameter(record):
            is_shown = False
        elif record.levelno >= logging.WARNING or getattr(record, 'is_result', False):
            is_shown = True
        else:
            # mmengine's constructor logs environment, config and hooks, some 300 lines, and in one
            # process that it would replace SyncBN, whether there is any or not.
            is_dump = record.pathname == mmengine_runner.__file__ and record.funcName in (
                '__init__',
                '_log_env',
                'wrap_model',
            )
            is_shown = self.chosen == 'normal' and not is_dump
        if is_shown:
            self.last_output = time.monotonic()
        return is_shown


def is_about_one_parameter(record: logging.LogRecord) -> bool:
    """Return whether mmengine tells the options of one parameter, or that it is frozen.

    A large model has thousands of such lines; the start says how many parameters are trained.
    """
    message = record.getMessage()
    return message.startswith('paramwise_options') or message.endswith('requires_grad=False')


def seconds_of_silence(logger: logging.Logger) -> float:
    """Return for how long the console has shown nothing; 0 if nothing is watched."""
    silences = []
    for handler in console_handlers(logger):
        for item in handler.filters:
            if isinstance(item, ConsoleFilter):
                silences.append(time.monotonic() - item.last_output)
    return min(silences, default=0.0)


@contextlib.contextmanager
def file_only(logger: logging.Logger, level: int = logging.WARNING) -> Iterator[None]:
    """Keep messages below ``level`` off the console in the block; the log file has them."""
    if verbosity() == 'verbose':
        yield
        return
    handlers = console_handlers(logger)
    levels = [handler.level for handler in handlers]
    for handler in handlers:
        handler.setLevel(max(handler.level, level))
    try:
        yield
    finally:
        for handler, previous in zip(handlers, levels, strict=True):
            handler.setLevel(previous)


@contextlib.contextmanager
def heartbeat(describe: Callable[[], str], logger: Callable[[], logging.Logger]) -> Iterator[None]:
    """Say every ten seconds of silence what is going on: rendering, fetching, a slow iteration.

    Args:
        describe: Returns what is going on, in a few words.
        logger: Returns the logger of the run, which is built in the block.
    """
    started = time.monotonic()
    stopped = threading.Event()

    def watch() -> None:
        last = started
        while not stopped.wait(1.0):
            now = time.monotonic()
            silence = min(now - last, seconds_of_silence(logger()) or now - last)
            if silence >= PROGRESS_SECONDS:
                logger().info(f'{describe()} ({now - started:.0f} s since the start)')
                last = now

    thread = threading.Thread(target=watch, name='heartbeat', daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
