"""The console command ``depth COMMAND ...``: a table of subcommands, each a module of this package.

A module of a subcommand offers ``build_parser()`` and ``main(argv)``, which returns the exit code.
The scripts of ``tools/`` call the same ``main``.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from depth.cli.common import run_tool

# Name of the subcommand, which is that of its module (with - for _), and its line in the help text.
COMMANDS = {
    'serve': 'serve a model as a page and an HTTP endpoint',
    'train': 'train a model from a config',
    'test': 'test a checkpoint and write its metrics',
    'sweep': 'train and test over settings and seeds, with one table',
    'reproduce': 'say what reproduces a published number, run it, judge the result',
    'calibrate': 'fit the depth scale to a few labelled images',
    'infer': 'predict depth for images',
    'score': 'score prediction files of any program',
    'report': 'write a report of tests as one HTML file',
    'compare': 'compare two test results image by image',
    'label': 'label images with a teacher, for training',
    'export': 'write a model as ONNX, torch.export or TorchScript, with a parity report',
    'list': 'list the shipped configs and their facts',
    'doctor': 'check the installation, or a config with its data',
    'check': 'check the data sets of a config: files, scale, pairs, leakage',
    'browse': 'draw samples of a data set before and after augmentation',
    'prepare': 'download and arrange a data set',
    'pack': 'put a data set into few files that decode faster',
    'render': 'render synthetic scenes in the layout of a data set',
    'fill-depth': 'fill the holes of depth maps along their images',
    'convert': 'convert a published checkpoint',
    'convert-checkpoint': 'join a sharded checkpoint into one file, or the other way round',
    'publish': 'write a training checkpoint for deployment',
    'print-config': 'print a config with all inherited values',
    'flops': 'count parameters and multiply-adds of a model',
    'plan': 'compute memory and time of a training on many GPUs',
    'protocols': 'print the evaluation protocols as a table',
    'kitti-submission': 'pack predictions for the KITTI server',
    'replay': 'repeat a training step that was not finite',
    'completion': 'print the completion of this command for a shell',
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


def import_command(name: str) -> ModuleType:
    """Return the module of a subcommand."""
    return importlib.import_module(f'depth.cli.{name.replace("-", "_")}')


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
    words = sys.argv
    sys.argv = [f'depth {name}', *arguments]
    try:
        return import_command(name).main(arguments) or 0
    finally:
        sys.argv = words


def main() -> None:
    """Run the console script ``depth``."""
    run_tool(lambda: dispatch(sys.argv[1:]))


if __name__ == '__main__':
    main()
