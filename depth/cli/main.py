"""The console command ``depth COMMAND ...``: a table of subcommands, each a module of this package.

A module of a subcommand offers ``build_parser()`` and ``main(argv)``, which returns the exit code.
The scripts of ``tools/`` call the same ``main``.
"""

import importlib
import sys
from collections.abc import Sequence
from types import ModuleType

from depth.cli.common import run_tool

# Per group: name of the subcommand, which is that of its module (with - for _), and its line in the
# help text.
COMMAND_GROUPS = {
    'training and testing': {
        'train': 'train a model from a config',
        'test': 'test a checkpoint and write its metrics',
        'sweep': 'train and test over settings and seeds, with one table',
        'reproduce': 'say what reproduces a published number, run it, judge the result',
        'plan': 'compute memory and time of a training on many GPUs',
        'replay': 'repeat a training step that was not finite',
    },
    'using a model': {
        'infer': 'predict depth for images',
        'serve': 'serve a model as a page and an HTTP endpoint',
        'label': 'label images with a teacher, for training',
        'calibrate': 'fit the depth scale to a few labelled images',
        'export': 'write a model as ONNX, torch.export or TorchScript, with a parity report',
        'convert': 'convert a published checkpoint',
        'convert-checkpoint': 'join a sharded checkpoint into one file, or the other way round',
        'publish': 'write a training checkpoint for deployment',
    },
    'results': {
        'score': 'score prediction files of any program',
        'compare': 'compare two test results image by image',
        'report': 'write a report of tests as one HTML file',
        'protocols': 'print the evaluation protocols as a table',
        'kitti-submission': 'pack predictions for the KITTI server',
    },
    'data': {
        'prepare': 'download and arrange a data set',
        'check': 'check the data sets of a config: files, scale, pairs, leakage',
        'browse': 'draw samples of a data set before and after augmentation',
        'pack': 'put a data set into few files that decode faster',
        'render': 'render synthetic scenes in the layout of a data set',
        'fill-depth': 'fill the holes of depth maps along their images',
    },
    'configs and installation': {
        'list': 'list the shipped configs and their facts',
        'print-config': 'print a config with all inherited values',
        'flops': 'count parameters and multiply-adds of a model',
        'doctor': 'check the installation, or a config with its data',
        'completion': 'print the completion of this command for a shell',
    },
}
COMMANDS: dict[str, str] = {}
for commands in COMMAND_GROUPS.values():
    COMMANDS.update(commands)


def usage() -> str:
    """Return the help text of ``depth`` itself."""
    width = max(map(len, COMMANDS)) + 2
    lines = ['usage: depth COMMAND [ARGUMENTS]', '']
    for group, commands in COMMAND_GROUPS.items():
        lines.append(f'{group}:')
        for name, text in commands.items():
            lines.append(f'  {name:{width}}{text}')
        lines.append('')
    lines.append('depth COMMAND --help lists the arguments of a command.')
    return '\n'.join(lines)


def import_command(name: str) -> ModuleType:
    """Return the module of a subcommand."""
    return importlib.import_module(f'depth.cli.{name.replace("-", "_")}')


def dispatch(argv: Sequence[str]) -> int:
    """Run the subcommand that ``argv`` names and return its exit code: 2 if there is none."""
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
