"""The wheel: what is in it, and that it works without a clone."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth.shipped_configs import config_paths
from tests.shared import REPO

SOURCES = ('depth', 'configs', 'projects', 'requirements')
FILES = (
    'setup.py pyproject.toml MANIFEST.in README.md LICENSE CHANGELOG.md CITATION.cff '
    'docs/model_zoo.md'
).split()
PAGE_FILES = {'depth/apis/serving_page.css', 'depth/apis/serving_viewer.js'}
# A person's session, in a folder that has no clone above it.
SESSION = """
from pathlib import Path
import depth
from depth.cli.main import dispatch

name = 'scaledepth_tiny_rooms_streets'
tiny = ['--cfg-options', 'max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=2']
for loader in ('train', 'val', 'test'):
    tiny.append(f'{loader}_dataloader.num_workers=0')
    for index in (0, 1):
        tiny.append(f'{loader}_dataloader.dataset.datasets.{index}.num_scenes=2')
assert dispatch(['list', 'scaledepth_tiny*']) == 0
print('config', depth.get_config(name).filename)
assert dispatch(['train', name, *tiny]) == 0
checkpoint = str(Path('work_dirs', name, 'iter_2.pth'))
assert dispatch(['test', name, checkpoint, *tiny]) == 0
# The config in the file names modules of projects.
assert dispatch(['infer', 'room.png', '--checkpoint', checkpoint, '--out-dir', 'out', '--outputs', 'npy']) == 0
"""


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    """Build source distribution and wheel from a copy of the files that the build may read."""
    root = tmp_path_factory.mktemp('source')
    ignored = shutil.ignore_patterns('__pycache__', '.mim', '*.egg-info')
    for name in SOURCES:
        shutil.copytree(REPO / name, root / name, ignore=ignored)
    for name in FILES:
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(REPO / name, root / name)
    out = tmp_path_factory.mktemp('dist')
    for kind in ('sdist', 'wheel'):
        code = f'from setuptools import build_meta; build_meta.build_{kind}({str(out)!r})'
        process = subprocess.run(
            [sys.executable, '-c', code], cwd=root, capture_output=True, text=True
        )
        assert process.returncode == 0, process.stderr[-2000:]
    return out


def test_wheel_holds_the_package_and_what_is_shipped(built):
    (wheel,) = built.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        (metadata_file,) = [name for name in names if name.endswith('.dist-info/METADATA')]
        metadata = Parser().parsestr(archive.read(metadata_file).decode())
    # Nothing but the package at the top of site-packages.
    assert {name.split('/')[0] for name in names} == {'depth', metadata_file.split('/')[0]}
    modules = {path.relative_to(REPO).as_posix() for path in (REPO / 'depth').rglob('*.py')}
    assert modules <= names
    for (path,) in config_paths().values():
        assert f'depth/.mim/{path.relative_to(REPO).as_posix()}' in names
    for path in REPO.glob('projects/*/**/*.py'):
        assert f'depth/.mim/{path.relative_to(REPO).as_posix()}' in names
    assert {'depth/py.typed', 'depth/.mim/docs/model_zoo.md'} <= names
    assert names >= PAGE_FILES
    assert any(name.endswith('LICENSE') for name in names)
    # Older versions of setuptools write the older field.
    assert 'Apache-2.0' in (metadata['License-Expression'], metadata['License'])
    assert metadata['Requires-Python'] == '>=3.10'
    assert any(line.startswith('timm') for line in metadata.get_all('Requires-Dist'))
    assert not any(name.startswith(('depth/.mim/tests', 'tests')) for name in names)


def test_source_distribution_has_what_a_build_reads(built):
    (sdist,) = built.glob('*.tar.gz')
    listing = subprocess.run(['tar', 'tzf', str(sdist)], capture_output=True, text=True).stdout
    names = {name.partition('/')[2] for name in listing.split()}
    assert {'setup.py', 'LICENSE', 'CITATION.cff', 'CHANGELOG.md', 'docs/model_zoo.md'} <= names
    assert {'requirements/runtime.txt', 'depth/py.typed'} | PAGE_FILES <= names
    assert 'configs/_base_/default_runtime.py' in names
    assert 'projects/ScaleDepth/scaledepth/head.py' in names


@pytest.mark.long
def test_installed_wheel_trains_tests_and_predicts_without_a_clone(built, tmp_path):
    site = tmp_path / 'site'
    with zipfile.ZipFile(next(built.glob('*.whl'))) as archive:
        archive.extractall(site)
    work = tmp_path / 'work'
    work.mkdir()
    cv2.imwrite(str(work / 'room.png'), np.full((96, 128, 3), 90, np.uint8))
    # Without site, which would put this clone onto the path.
    libraries = Path(torch.__file__).parents[1]
    process = subprocess.run(
        [sys.executable, '-S', '-c', SESSION],
        cwd=work,
        env=dict(os.environ, PYTHONPATH=f'{site}{os.pathsep}{libraries}'),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout[-2000:] + process.stderr[-3000:]
    assert f'config {site}/depth/.mim/projects/' in process.stdout
    assert str(REPO) not in process.stdout + process.stderr
    assert [path.suffix for path in (work / 'out').rglob('room*')] == ['.npy']
