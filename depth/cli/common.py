"""Shared functions of the command-line tools; light imports only, so that ``--help`` is fast.

A tool fails with one message and a non-zero exit, never with a bare traceback.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def run_tool(main: Callable[[], int | None]) -> None:
    """Run a tool's ``main`` and leave the process.

    Exit codes: what ``main`` returns (0 by default), 1 after an error, 130 after Ctrl-C. With
    ``DEPTH_DEBUG=1`` an error also prints its traceback.
    """
    try:
        code = main() or 0
    except KeyboardInterrupt:
        print('interrupted', file=sys.stderr)
        code = 130
    except Exception as error:
        _record_for_launcher(error)
        if os.environ.get('DEPTH_DEBUG') == '1':
            raise
        print(f'error: {describe(error)}', file=sys.stderr)
        print('(DEPTH_DEBUG=1 shows where it happened)', file=sys.stderr)
        code = 1
        if _process_group() is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            # The end of a group waits for the other processes, which wait for this one.
            os._exit(code)
    else:
        if _process_group() is not None:
            # The threads of a group that is still open when the interpreter exits can abort the
            # process, so that a complete training would end with exit code 134.
            _process_group().destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    if code:
        sys.exit(code)


def _process_group() -> ModuleType | None:
    """Return ``torch.distributed`` in a process of a distributed run, None in any other."""
    # Not imported: a tool without torch has no group.
    distributed = sys.modules.get('torch.distributed')
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return distributed


def _record_for_launcher(error: Exception) -> None:
    """Write an error where torchrun looks for it, which then names it as the root cause."""
    if 'TORCHELASTIC_ERROR_FILE' in os.environ:
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(error)


def describe(error: BaseException) -> str:
    """Return an error's message without the text that registries and loader workers add to it."""
    text = str(error).strip() or type(error).__name__
    # A worker process sends its traceback as text; the original message is its last line.
    if 'Original Traceback' in text:
        text = text.splitlines()[-1]
        text = re.sub(r'^[\w.]*(Error|Exception): ', '', text)
    text = re.sub(r'^class `\w+` in \S+\.py: ', '', text)
    if isinstance(error, KeyError | IndexError | AttributeError | TypeError | AssertionError):
        text = f'{type(error).__name__}: {text}'
    return text


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help text with the default of every option that has a value, and descriptions as written."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ''
        default = action.default
        # Switches are off and lists empty unless the text says otherwise.
        is_plain = default is None or isinstance(default, bool) or default in ('', [], ())
        if is_plain or default is argparse.SUPPRESS or '%(default)' in text:
            return text
        values = default if isinstance(default, list | tuple) else [default]
        return f'{text} (default: {" ".join(map(str, values))})'


class CommandParser(argparse.ArgumentParser):
    """Parser to which a word such as ``-1e9`` or ``-inf`` is a value and not an option."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        # argparse knows -1 and -1.5 only, and reports that the option before has no value.
        self._negative_number_matcher = re.compile(
            r'-((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?|nan)$', re.IGNORECASE
        )


def command_parser(examples: Sequence[str], **options: Any) -> argparse.ArgumentParser:
    """Return a parser whose help ends with examples.

    Args:
        examples: Command lines, each starting with ``depth COMMAND``.
        **options: Of ``argparse.ArgumentParser``.
    """
    lines = ['examples:']
    for example in examples:
        lines.append(f'  {example}')
    return CommandParser(formatter_class=HelpFormatter, epilog='\n'.join(lines), **options)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``, read with :func:`parse_cfg_options`."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=[],
        metavar='KEY=VALUE',
        help='replace values of the config: train_cfg.max_iters=200 model.decode_head.channels=32 '
        '"some.list=[1,2]"',
    )


def add_trust_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-module``, the modules that the config inside a checkpoint may import."""
    parser.add_argument(
        '--trust-module',
        action='append',
        default=[],
        metavar='MODULE',
        help="module or package outside the toolbox that the checkpoint's config may import "
        '(repeatable)',
    )


def add_device_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--device`` of commands that predict."""
    parser.add_argument(
        '--device', default='auto', help="'cuda', 'cpu' or 'auto': a GPU if there is one"
    )


def add_backend_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--deform-attn-backend``, which sets ``DEPTH_DEFORM_ATTN_BACKEND`` when it is parsed."""
    parser.add_argument(
        '--deform-attn-backend',
        action=_SetBackend,
        choices=['auto', 'reference', 'torch', 'triton'],
        help='implementation of deformable attention (default: DEPTH_DEFORM_ATTN_BACKEND of the '
        'environment, or else deform_attn_backend of the config, or else auto: Triton on CUDA)',
    )


class _SetBackend(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: Any,
        option_string: str | None = None,
    ) -> None:
        os.environ['DEPTH_DEFORM_ATTN_BACKEND'] = value
        setattr(namespace, self.dest, value)


def add_verbosity_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--verbose``, which set ``DEPTH_VERBOSITY`` when they are parsed."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        '--quiet',
        action=_SetVerbosity,
        nargs=0,
        help='print warnings, errors and the tables of metrics only',
    )
    group.add_argument(
        '--verbose',
        action=_SetVerbosity,
        nargs=0,
        help='also print environment, config and hooks, which the log file has anyway',
    )


class _SetVerbosity(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        value: Any,
        option_string: str | None = None,
    ) -> None:
        os.environ['DEPTH_VERBOSITY'] = self.dest
        setattr(namespace, self.dest, True)


def add_launch_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher`` and ``--local_rank``, which :func:`set_local_rank` passes on."""
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm'],
        default='none',
        help='job launcher',
    )
    parser.add_argument(
        '--local_rank',
        '--local-rank',
        type=int,
        default=0,
        help='set by older torch launchers',
    )


def set_local_rank(args: argparse.Namespace) -> None:
    """Put the process number of an older launcher where newer launchers put it themselves."""
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))


def parse_cfg_options(items: list[str]) -> dict:
    """Return config values by dotted key.

    Raises:
        ValueError: If an item is not ``key=value``.
    """
    from mmengine.config import DictAction

    options = {}
    for item in items:
        key, separator, value = item.partition('=')
        if not separator or not key:
            raise ValueError(f'--cfg-options takes KEY=VALUE, got {item!r}')
        options[key] = DictAction._parse_iterable(value)
    return options
