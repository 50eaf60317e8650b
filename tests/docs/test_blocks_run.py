"""The commands and Python blocks of the documentation run, page by page, on tiny data.

Commands run in this process, in the order of the page. Networks of a method are replaced by its
tiny one, trainings have two iterations, and the files that a page takes for granted are made first.
"""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from depth.apis.video import VideoWriter
from depth.cli.main import dispatch
from depth.datasets.base import BaseDepthDataset
from depth.datasets.scenes import render_scene
from depth.engine.config import load_config
from depth.engine.config_ranges import LOADERS, parts_of_dataset
from depth.shipped_configs import data_paths, find_paths
from depth.visualization.output_files import write_image
from tests.docs.page_blocks import (
    PAGES,
    is_config_name,
    load_script,
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
    'COMMAND': 'train',
    'INPUT': 'photos',
    'IMAGES': 'photos',
    'IMAGE': 'photos/0.jpg',
    'PREDICTIONS': 'predictions',
    'DEPTHS': 'sparse',
    'SCANS': 'sparse',
    'P': 'rooms_10',
}
CHECKPOINT = re.compile(r'(CHECKPOINT|CNN|START|TEACHER|.*\.(pth|pt|safetensors))$')
SINGLE_IMAGES = (
    'image.jpg',
    'photo.jpg',
    'room.jpg',
    'street.png',
    'nyu_00000.jpg',
    'redwood_00000.jpg',
)
SIZE = (96, 128)  # height, width of the images, which is that of the tiny configs
# Commands that get the options of tiny data.
ON_TINY_DATA = ('train', 'test', 'score', 'check', 'report', 'pack')
# Commands that run with the config of the page.
AS_IT_IS = ('reproduce',)
# Values that options get in place of those of the page; depths of the workspace are in millimetres.
REPLACED = {'--num-scenes': '2', '--protocol': 'rooms_10', '--sparse-scale': '1000'}
# Commands whose second word is the file that they write.
CONVERTERS = ('publish', 'convert-checkpoint')
# Config of the words CONFIG and CHECKPOINT, on pages that need another one than their folder's.
CONFIGS = {
    'docs/completion.md': 'dinov3_dpt_tiny_rooms_streets_prompt',
    'configs/completion/README.md': 'dinov3_dpt_tiny_rooms_streets_prompt',
}
# Options that are left out: they need what is not there, or get the values of EXTRA.
DROPPED = ('--device', '--workers', '--type', '--depth-scale', '--size', '--grid', '--seeds')
EXTRA = {
    'export': ['--size', '96', '128'],
    'temporal_stability': ['--paths', '1', '--frames', '3'],
}
# What a page takes for granted, as commands.
PREPARED = {
    'docs/evaluation.md': [
        'depth test CONFIG CHECKPOINT --work-dir A --out predictions',
        'depth test CONFIG CHECKPOINT --work-dir B',
    ],
    'docs/report.md': [
        'depth test CONFIG CHECKPOINT --work-dir work_dirs/rooms',
        'depth test CONFIG CHECKPOINT --work-dir work_dirs/a',
        'depth test CONFIG CHECKPOINT --work-dir work_dirs/b',
        'depth train CONFIG --work-dir work_dirs/a',
        'depth train CONFIG --work-dir work_dirs/b',
        'depth test CONFIG CHECKPOINT --work-dir work_dirs/b/test --out work_dirs/b/predictions --cfg-options '
        'test_evaluator.distance_bins=[0,2,4,8]',
    ],
}
# Folders that each block of a page starts without: its blocks are alternatives.
FRESH = {'docs/finetune.md': ['data/rooms', 'data/rooms_labels']}
# Names that the Python blocks of a page take for granted.
GIVEN = {
    'docs/export.md': dict(image=np.zeros((1, 3, *SIZE), np.float32)),
    'docs/dataset_prepare.md': dict(BaseDepthDataset=BaseDepthDataset),
    'docs/completion.md': dict(
        points=np.where(np.arange(SIZE[1]) % 9, 0, np.full(SIZE, 3.0, np.float32))
    ),
    'docs/shards.md': dict(
        pipeline=[dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='PackDepthInputs')],
        indoor_pipeline=[],
        web_pipeline=[],
    ),
}


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
    folder = find_paths(name)[0].parent.name
    if (
        folder == 'synthetic'
        or '_tiny_' in name
        or name in ('densedepth_r18_rooms', 'densedepth_r18_folder')
    ):
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
    roots = [f'{root}/{split}' for root in ('mydata', 'data/folder') for split in ('train', 'val')]
    frames = []
    for index in range(3):
        scene = render_scene('rooms', 0, index, 'train', SIZE)
        frames.append(scene['img'])
        stored = np.rint(scene['gt_depth'] * 1000).astype(np.uint16)
        for images in ('photos', 'images', 'frames', *(f'{root}/images' for root in roots)):
            write_image(folder / images / f'{index}.jpg', scene['img'])
        for depths in ('sparse', *(f'{root}/depth' for root in roots)):
            write_image(folder / depths / f'{index}.png', stored)
    for name in SINGLE_IMAGES:
        write_image(folder / name, frames[0])
    settings = ' '.join(tiny_options('depthformer_tiny_rooms'))
    (folder / 'settings.txt').write_text(f'{settings}\n', encoding='utf-8')
    with VideoWriter(folder / 'ride.mp4', 10) as video:
        for frame in frames:
            video.add(frame)
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

    def run_script(self, path, arguments, monkeypatch):
        """Run a script that is no subcommand."""
        monkeypatch.setattr(sys, 'argv', [str(path), *arguments])
        assert not load_script(path).main(), f'{path.name} {arguments}'

    def onnx(self, path):
        """Export a checkpoint as ``path``, unless it is there."""
        if not Path(path).is_file():
            checkpoint = self.checkpoint('dpt_tiny_rooms')
            self.run(['export', checkpoint, '--out', path, '--frames', 'photos', *EXTRA['export']])


def command_of(words):
    """Return the subcommand and the arguments of a command line of a page, and the path of a script without one."""
    if words[0] == 'depth':
        return PLACEHOLDERS.get(words[1], words[1]), words[2:], None
    path = REPO / words[1]
    source = path.read_text(encoding='utf-8')
    match = re.search(r'^from depth\.cli\.(\w+) import main$', source, re.MULTILINE)
    if match:
        return match[1].replace('_', '-'), words[2:], None
    return path.stem, words[2:], path


def substituted(name, arguments, default, session):
    """Return the arguments of a command with tiny configs, checkpoints and files that exist.

    Args:
        name: The subcommand, or the stem of a script.
        arguments: Words of the page.
        default: Config of the words CONFIG and CHECKPOINT.
        session: Makes checkpoints and exported files.
    """
    own_options, words, is_option = [], [], False
    for word in arguments:
        is_option = word == '--cfg-options' or (is_option and not word.startswith('--'))
        (own_options if is_option else words).append(word)
    named = [word for word in words if is_config_name(word) and '/_base_/' not in word]
    config = default
    if named:
        config = Path(named[0]).stem if name in AS_IT_IS else tiny_of(named[0])
    argv, dropping = [], False
    for word in words:
        previous = argv[-1] if argv else ''
        if dropping and not word.startswith('--'):
            continue
        dropping = word in DROPPED
        if dropping:
            continue
        if previous in REPLACED:
            word = REPLACED[previous]
        elif word in named or word == 'CONFIG' or (name == 'pack' and word in data_paths()):
            word = config
        elif '/_base_/' in word:
            word = 'synthetic_rooms' if previous == '--data' else config
        elif word.endswith('.onnx') and previous != '--out':
            session.onnx(word)
        elif CHECKPOINT.match(word) and previous != '--out' and not (name in CONVERTERS and argv):
            word = session.checkpoint(config)
        if '--intrinsics' in argv[-4:]:
            word = '60'  # pixels, of a camera that fits the small images
        argv.append(PLACEHOLDERS.get(word, word))
    is_same = bool(named) and Path(named[0]).stem == config
    return config, argv + EXTRA.get(name, []), own_options[1:] if is_same or not named else []


def default_config(page):
    """Return the config of the words CONFIG and CHECKPOINT of a page."""
    name = page.relative_to(REPO).as_posix()
    return CONFIGS.get(name) or TINY.get(page.parent.name.lower(), 'depthformer_tiny_rooms')


def run_command(words, page, session, monkeypatch):
    """Run one command of a page."""
    name, arguments, script = command_of(words)
    config, argv, options = substituted(name, arguments, default_config(page), session)
    if script is not None:
        session.run_script(script, argv, monkeypatch)
        return
    if name in ON_TINY_DATA:
        options = [word for word in options if 'KEY' not in word and 'load_from' not in word]
        options += tiny_options(config)
    elif name in ('infer', 'label'):
        options = []
    elif name == 'sweep' and '--list' not in argv:
        argv += ['--grid', 'max_iters=1,2', *tiny_options(config)[1:]]
    if options:
        argv += ['--cfg-options', *options]
    session.run([name, *argv])


@pytest.fixture(scope='module')
def session():
    return Session()


@pytest.mark.long
@pytest.mark.parametrize(
    'page', [page for page in PAGES if is_run(page)], ids=lambda p: p.relative_to(REPO).as_posix()
)
def test_the_blocks_of_a_page_run(page, workspace, session, monkeypatch):
    monkeypatch.chdir(workspace)
    monkeypatch.setenv('TRACKIO_DIR', str(workspace / 'trackio'))
    for line in PREPARED.get(page.relative_to(REPO).as_posix(), ()):
        run_command(line.split(), page, session, monkeypatch)
    namespace = dict(GIVEN.get(page.relative_to(REPO).as_posix(), {}))
    for block in read_blocks(page):
        if block.is_shell:
            for folder in FRESH.get(block.page, ()):
                shutil.rmtree(folder, ignore_errors=True)
                session.done.clear()  # what ran before has to make them again
            for words in read_commands(block):
                if reason_not_to_run(words) is None:
                    run_command(words, page, session, monkeypatch)
        elif block.language == 'python' and test_of_python_block(block) is None:
            run_python_block(block, namespace, session, default_config(page))


def run_python_block(block, namespace, session, config):
    """Execute a block; checkpoints and exported files that it names are made first."""
    if 'openvino' in block.text:
        pytest.importorskip('openvino', reason='openvino is not installed')
    for name in re.findall(r"'([^'\n]+\.(?:pth|onnx))'", block.text):
        if name.endswith('.onnx'):
            session.onnx(name)
        elif not Path(name).is_file():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(session.checkpoint(config), name)
    text = block.text.replace("device='cuda'", "device='cpu'")
    exec(compile(text, block.place, 'exec'), namespace)
