"""The console command ``depth COMMAND ...``: a table of subcommands, each a module of this package.

A module of a subcommand offers ``build_parser()`` and ``main(argv)``, which returns the exit code.
The scripts of ``tools/`` call the same ``main``.
"""

import importlib
import sys
from collections.abc import Sequence

from depth.cli.common import run_tool

# Name of the subcommand, which is that of its module, and its line in the help text.
COMMANDS = {
    'train': 'train a model from a config',
    'export': 'write a model as ONNX, torch.export or TorchScript, with a parity report',
}


def usage() -> str:
    """Return the help text of ``depth`` itself."""
    width = max(map(len, COMMANDS)) + 2
    lines = [f'  {name:{width}}{text}' for name, text in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: depth COMMAND [ARGUMENTS]',
            '',
            'commands:',
            *lines,
            '',
            'depth COMMAND --help lists the arguments of a command.',
        ]
    )


def dispatch(argv: Sequence[str]) -> int:
    """Run the subcommand that ``argv`` names and return its exit code: 2 for a command that does not exist."""
    if not argv or argv[0] in ('-h', '--help', 'help'):
        print(usage())
        return 0 if argv else 2
    name, *arguments = argv
    if name not in COMMANDS:
        print(f'error: depth has no command {name!r}', file=sys.stderr)
        print(usage(), file=sys.stderr)
        return 2
    # argparse names the program by its first word: "depth train" in place of "depth".
    sys.argv[0] = f'depth {name}'
    command = importlib.import_module(f'depth.cli.{name}')
    return command.main(arguments) or 0


def main() -> None:
    """Run the console script ``depth``."""
    run_tool(lambda: dispatch(sys.argv[1:]))


if __name__ == '__main__':
    main()
