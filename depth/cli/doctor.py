"""Check the installation, and with a config also its data and values: ``depth doctor [CONFIG]``."""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from depth.cli.common import add_cfg_options, command_parser, parse_cfg_options

EXAMPLES = ('depth doctor', 'depth doctor depthformer_swint_w7_nyu', 'depth doctor CONFIG.py')
LIBRARIES = ('torch', 'torchvision', 'timm', 'mmengine', 'mmcv-lite', 'numpy', 'opencv-python')


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES,
        description='Check the installation: versions, GPU, Triton, optional extras, shipped '
        'configs, write access. With a config, also run the checks that come before a training, '
        'data included. The exit code is 1 if something is wrong.',
    )
    parser.add_argument(
        'config', nargs='?', help='config to check: a path, or the name of a shipped one'
    )
    add_cfg_options(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print one line a check; return 1 if one failed."""
    args = build_parser().parse_args(argv)
    failures = 0
    for name, state, text in checks(args):
        print(f'{state:5} {name:12} {text}')
        failures += state == 'error'
    print(f'{failures} errors' if failures else 'everything that is needed works')
    return int(failures > 0)


def checks(args: argparse.Namespace) -> Iterator[tuple[str, str, str]]:
    """Yield subject, state (``ok``, ``error``, ``-`` if optional) and text of each check."""
    from depth import __version__
    from depth.shipped_configs import PACKAGE, config_paths, data_paths, shipped_root

    yield 'depth', 'ok', f'{__version__} in {PACKAGE}, Python {sys.version.split()[0]}'
    yield library_check()
    yield from device_checks()
    yield from extra_checks()
    root = shipped_root()
    is_complete = bool(config_paths()) and (root / 'projects').is_dir()
    yield (
        'configs',
        'ok' if is_complete else 'error',
        f'{len(config_paths())} configs and {len(data_paths())} data sets in {root}',
    )
    is_writable = os.access(Path.cwd(), os.W_OK)
    yield 'work dir', 'ok' if is_writable else 'error', f'{Path.cwd() / "work_dirs"} can be written'
    if args.config:
        yield config_check(args)


def library_check() -> tuple[str, str, str]:
    """Return the versions of the libraries that everything needs."""
    versions, missing = [], []
    for name in LIBRARIES:
        try:
            versions.append(f'{name} {metadata.version(name)}')
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return 'libraries', 'error', f'not installed: {", ".join(missing)}'
    return 'libraries', 'ok', ', '.join(versions)


def device_checks() -> Iterator[tuple[str, str, str]]:
    """Yield what computes: the GPU and Triton, or the cores."""
    import torch

    if not torch.cuda.is_available():
        yield 'GPU', '-', f'none that PyTorch sees; {os.cpu_count()} CPU cores'
        return
    for index in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(index)
        yield 'GPU', 'ok', f'{index}: {device.name}, {device.total_memory / 2**30:.0f} GiB'
    # Only asked with a GPU: without one Triton would interpret the kernels, which is for tests.
    try:
        yield 'Triton', 'ok', f'{metadata.version("triton")}: deformable attention by a kernel'
    except metadata.PackageNotFoundError:
        yield 'Triton', '-', 'not installed: deformable attention by grid_sample, which is slower'


def extra_checks() -> Iterator[tuple[str, str, str]]:
    """Yield which optional extras are complete, from the metadata of the installed package."""
    try:
        package = metadata.metadata('depth-toolbox')
    except metadata.PackageNotFoundError:
        yield (
            'extras',
            '-',
            'not known: the package runs from its folder, pip install -e . records it',
        )
        return
    # Which package belongs to which extra stands in the markers of the installed metadata.
    requirements = package.get_all('Requires-Dist') or []
    for extra in package.get_all('Provides-Extra') or []:
        missing = []
        for line in requirements:
            if f"extra == '{extra}'" in line.replace('"', "'"):
                name = re.match(r'[\w.-]+', line)[0]
                if not is_installed(name):
                    missing.append(name)
        text = f'missing {", ".join(missing)}: pip install "depth-toolbox[{extra}]"'
        yield f'[{extra}]', '-' if missing else 'ok', text if missing else 'complete'


def is_installed(name: str) -> bool:
    """Return whether a distribution is installed."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def config_check(args: argparse.Namespace) -> tuple[str, str, str]:
    """Return the result of the checks that come before a training, or before a test without one."""
    from depth.cli.common import describe
    from depth.engine.config import load_config
    from depth.engine.config_check import check_run

    try:
        cfg = load_config(args.config, parse_cfg_options(args.cfg_options))
        check_run(cfg)
    except (ValueError, OSError) as error:
        return 'config', 'error', describe(error)
    return 'config', 'ok', f'{cfg.filename} and its data can be used'
