"""The commands and Python blocks of the documentation run, page by page, on tiny data.

Commands run in this process, in the order of the page. Networks of a method are replaced by its tiny one,
trainings have two iterations, and the files that a page takes for granted are made first.
"""

import glob
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth.cli.main import dispatch, import_command
from depth.datasets.scenes import render_scene
from depth.engine.config import load_config
from depth.engine.config_ranges import LOADERS, parts_of_dataset
from depth.visualization.output_files import write_image
from tests.docs.page_blocks import (
    PAGES,
    expand_braces,
    is_config_name,
    read_blocks,
    read_commands,
)
from tests.docs.test_every_block import reason_not_to_run, test_of_python_block
from tests.shared import REPO

# Tiny network of the configs whose name begins so; the tiny ones stand for themselves.
TINY = {
    'adabins': 'adabins_tiny_rooms',
    'binsformer': 'binsformer_tiny_rooms',
    'bts': 'bts_tiny_rooms',
    'densedepth': 'densedepth_r18_rooms',
    'depth_anything_3': 'depth_anything_3_tiny_rooms',
    'depth_anything': 'depth_anything_tiny_rooms',
    'depth_pro': 'depth_pro_tiny_rooms',
    'depthformer': 'depthformer_tiny_rooms',
    'dinov3': 'dinov3_dpt_tiny_rooms',
    'dpt': 'dpt_tiny_rooms',
    'epcdepth': 'epcdepth_r18_plain_streets_96x320',
    'metric3d': 'metric3d_tiny_rooms',
    'moge': 'moge_tiny_rooms',
    'newcrfs': 'newcrfs_tiny_rooms',
    'plane2depth': 'plane2depth_tiny_rooms',
    'scaledepth': 'scaledepth_tiny_rooms_streets',
    'sdconvtrans': 'sdconvtrans_tiny_rooms',
    'simipu': 'simipu_tiny_rooms',
    'zoedepth': 'zoedepth_tiny_rooms',
}
PLACEHOLDERS = {
    'CONFIG': 'depthformer_tiny_rooms',
    'NAME': 'depthformer_tiny_rooms',
    'COMMAND': 'train',
    'INPUT': 'photos',
    'IMAGES': 'photos',
    'IMAGE': 'photos/0.png',
    'PREDICTIONS': 'predictions',
    'DEPTHS': 'sparse',
}
CHECKPOINT = re.compile(r'(CHECKPOINT|CNN|START|TEACHER|.*\.(pth|pt|safetensors))$')
# Where the files that a page takes for granted come from: pattern of the word, file made for it.
IMAGE_NAMES = re.compile(r'(photos|images/?|frames/|image\.jpg|photo\.jpg|street\.png)$')
TRAINED_BY_TESTS = ('train', 'test', 'sweep')
# Options of a page that a network of another kind does not have, or that need what is not there.
DROPPED = ('--device', '--workers', '--num-images')
SINGLE_IMAGES = ('image.jpg', 'photo.jpg', 'street.png', 'nyu_00000.jpg', 'redwood_00000.jpg')
SIZE = (64, 96)  # height, width of rendered images


def is_run(page):
    for block in read_blocks(page):
        if block.is_shell and any(reason_not_to_run(w) is None for w in read_commands(block)):
            return True
        if block.language == 'python' and test_of_python_block(block) is None:
            return True
    return False


def tiny_of(config):
    """Return the name of the tiny config that stands for another one."""
    name = Path(config).stem
    if 'tiny' in name or 'micro' in name or '_rooms' in name or name.endswith('_96x320'):
        return name
    return TINY[max((start for start in TINY if name.startswith(start)), key=len)]


def tiny_options(name):
    """Return the options of a training in two iterations on two images."""
    cfg = load_config(name)
    options = ['max_iters=2', 'train_cfg.val_interval=2', 'default_hooks.checkpoint.interval=2']
    options.append('train_dataloader.batch_size=2')
    if cfg.model.backbone.get('pretrained'):
        options.append('model.backbone.pretrained=False')
    for loader in LOADERS:
        options += [f'{loader}.num_workers=0', f'{loader}.persistent_workers=False']
        for key, dataset in parts_of_dataset(f'{loader}.dataset', cfg[loader].dataset):
            if dataset.get('num_scenes'):
                options.append(f'{key}.num_scenes=2')
    return options


@pytest.fixture(scope='module')
def workspace(tmp_path_factory):
    """Return a folder with rendered rooms, in the forms in which the pages name them."""
    folder = tmp_path_factory.mktemp('pages')
    for index in range(3):
        scene = render_scene('rooms', 0, index, 'train', SIZE)
        stored = np.rint(scene['gt_depth'] * 1000).astype(np.uint16)
        for images in ('photos', 'images', 'frames'):
            write_image(folder / images / f'{index}.png', scene['img'])
        for depths in ('sparse', 'mydata/train/depth', 'mydata/val/depth'):
            write_image(folder / depths / f'{index}.png', stored)
        for images in ('mydata/train/images', 'mydata/val/images'):
            write_image(folder / images / f'{index}.png', scene['img'])
        for name in SINGLE_IMAGES:
            write_image(folder / name, scene['img'])
    video = cv2.VideoWriter(
        str(folder / 'ride.mp4'), cv2.VideoWriter_fourcc(*'mp4v'), 10, SIZE[::-1]
    )
    for index in range(3):
        video.write(cv2.imread(str(folder / f'photos/{index}.png')))
    video.release()
    return folder


class Session:
    """Commands of the pages, run in one folder; a command that ran before is not repeated."""

    def __init__(self):
        self.done = set()
        self.checkpoints = {}

    def run(self, argv):
        """Run ``depth`` with these words once."""
        if tuple(argv) not in self.done:
            self.done.add(tuple(argv))
            try:
                code = dispatch(argv)
            except SystemExit as error:
                code = error.code
            assert not code, f'depth {" ".join(argv)} ended with {code}'

    def checkpoint(self, name):
        """Return a checkpoint of a tiny config, trained for two iterations."""
        if name not in self.checkpoints:
            folder = Path('trained', name)
            self.run(
                ['train', name, '--work-dir', str(folder), '--cfg-options', *tiny_options(name)]
            )
            self.checkpoints[name] = str(folder / 'iter_2.pth')
        return self.checkpoints[name]

    def onnx(self, path):
        """Export a checkpoint as ``path``, unless it is there."""
        if not Path(path).is_file():
            checkpoint = self.checkpoint('dpt_tiny_rooms')
            self.run(
                [
                    'export',
                    checkpoint,
                    '--out',
                    path,
                    '--frames',
                    'photos/0.png',
                    '--size',
                    '64',
                    '96',
                ]
            )


def command_of(words):
    """Return the subcommand and the arguments of a command line of a page; None for a script without one."""
    if words[0] == 'depth':
        return words[1], words[2:]
    source = (REPO / words[1]).read_text(encoding='utf-8')
    match = re.search(r'^from depth\.cli\.(\w+) import main$', source, re.MULTILINE)
    return (match[1].replace('_', '-') if match else None), words[2:]


def substituted(name, arguments, session):
    """Return the arguments of a subcommand with tiny configs, checkpoints and files that exist."""
    words = [PLACEHOLDERS.get(word, word) for word in arguments]
    own_options, kept, is_option = [], [], False
    for word in words:
        is_option = word == '--cfg-options' or (is_option and not word.startswith('--'))
        (own_options if is_option else kept).append(word)
    named = [word for word in kept if is_config_name(word) and '/_base_/' not in word]
    config = tiny_of(named[0]) if named else 'depthformer_tiny_rooms'
    argv, dropping = [], False
    for word in kept:
        if dropping and not word.startswith('--'):
            continue
        dropping = word in DROPPED
        if dropping:
            continue
        if word in named:
            word = config
        elif '/_base_/' in word:
            word = 'synthetic_rooms'
        elif word.endswith('.onnx') and argv[-1:] != ['--out']:
            session.onnx(word)
        elif CHECKPOINT.match(word) and argv[-1:] != ['--out'] and name != 'publish':
            word = session.checkpoint(config)
        argv.append(word)
    return config, argv, own_options, bool(named) and Path(named[0]).stem == config


def run_command(words, session):
    """Run one command of a page."""
    name, arguments = command_of(words)
    if '{' in ' '.join(arguments):
        arguments = [item for word in arguments for item in expand_braces(word)]
    config, argv, own_options, is_same = substituted(name, arguments, session)
    accepted = import_command(name).build_parser()._option_string_actions
    options = own_options[1:] if is_same else []
    if name in TRAINED_BY_TESTS:
        options = [
            *(o for o in options if 'KEY' not in o and 'load_from' not in o),
            *tiny_options(config),
        ]
    if options and '--cfg-options' in accepted:
        argv += ['--cfg-options', *options]
    expanded = []
    for word in argv:
        expanded += sorted(glob.glob(word)) if '*' in word else [word]
    session.run([name, *expanded])


@pytest.fixture(scope='module')
def session():
    return Session()


@pytest.mark.long
@pytest.mark.parametrize(
    'page', [page for page in PAGES if is_run(page)], ids=lambda p: p.relative_to(REPO).as_posix()
)
def test_the_blocks_of_a_page_run(page, workspace, session, monkeypatch):
    monkeypatch.chdir(workspace)
    namespace = {}
    for block in read_blocks(page):
        if block.is_shell:
            for words in read_commands(block):
                if reason_not_to_run(words) is None:
                    run_command(words, session)
        elif block.language == 'python' and test_of_python_block(block) is None:
            exec(compile(block.text, block.place, 'exec'), namespace)
