"""Bench on which the fault tests break things: a tiny trained run, its data, and a way to call every tool on it."""

import contextlib
import hashlib
import io
import os
import runpy
import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from tests.shared import REPO

CONFIG = """
_base_ = [
    '{repo}/configs/_base_/models/densedepth_r18.py',
    '{repo}/configs/_base_/datasets/folder.py',
    '{repo}/configs/_base_/schedules/synthetic.py',
    '{repo}/configs/_base_/default_runtime.py',
]
model = dict(
    backbone=dict(model_name='test_resnet', pretrained=False),
    decode_head=dict(
        in_channels=[32, 32, 48, 192, 96],
        up_sample_channels=[8, 8, 8, 8, 8],
        channels=8,
        min_depth=1e-3,
        max_depth=10.0,
    ),
)
train_pipeline = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=(32, 64)),
    dict(type='PackDepthInputs'),
]
train_dataloader = dict(
    batch_size=2, num_workers=0, dataset=dict(data_root='{root}/data/train', pipeline=train_pipeline)
)
val_dataloader = dict(num_workers=0, dataset=dict(data_root='{root}/data/val'))
test_dataloader = dict(num_workers=0, dataset=dict(data_root='{root}/data/val'))
train_cfg = dict(max_iters=4, val_interval=2)
param_scheduler = dict(total_steps=4)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2), visualization=dict(num_images=0))
visualizer = dict(vis_backends=[dict(type='LocalVisBackend')])
"""


def write_scene(folder: Path, name: str, seed: int, size: tuple[int, int] = (48, 64)) -> None:
    """Write an image of smooth random shapes and its 16-bit depth map (millimetres) in the folder layout."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((6, 8)).astype(np.float32)
    depth = 1 + 6 * cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_LINEAR)
    shade = np.clip(255 - 30 * depth, 0, 255)[..., None] * [1.0, 0.9, 0.8]
    image = (shade + rng.integers(0, 8, (*size, 3))).clip(0, 255).astype(np.uint8)
    for kind, array in dict(images=image, depth=(depth * 1000).astype(np.uint16)).items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / kind / f'{name}.png'), array)


@dataclass
class Outcome:
    """What a tool printed, and the code with which it ended."""

    code: int
    text: str


class Bench:
    """Folder with ``config.py``, ``data/{train,val}``, ``images/`` and ``run/`` (trained: ``iter_2``, ``iter_4``)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config = root / 'config.py'
        self.train, self.val = root / 'data' / 'train', root / 'data' / 'val'
        self.images, self.out, self.run = root / 'images', root / 'out', root / 'run'
        self.checkpoint = self.run / 'iter_4.pth'

    @classmethod
    def make(cls, root: Path) -> 'Bench':
        """Write data and config below ``root`` and train four iterations."""
        bench = cls(root)
        for index in range(6):
            write_scene(bench.train, f'{index:03d}', seed=index)
        for index in range(2):
            write_scene(bench.val, f'{index:03d}', seed=100 + index)
            write_scene(root / 'unlabelled', f'{index:03d}', seed=200 + index)
        (root / 'unlabelled' / 'images').rename(bench.images)
        shutil.rmtree(root / 'unlabelled')
        bench.write_config()
        outcome = bench.call('train {config} --work-dir {run}')
        assert outcome.code == 0, outcome.text
        return bench

    def write_config(self) -> None:
        """Write the config for this place."""
        self.config.write_text(CONFIG.format(repo=REPO, root=self.root))

    def copy(self, root: Path) -> 'Bench':
        """Return a copy that may be broken."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        copied = Bench(root)
        copied.write_config()
        return copied

    def call(self, command: str) -> Outcome:
        """Run a tool in this process: ``infer {images} --checkpoint {checkpoint} --out-dir {out}``.

        The first word names a script below ``tools/`` (``analysis_tools/check_dataset``); fields in
        braces are the attributes of this bench.
        """
        tool, *arguments = shlex.split(command.format(**vars(self)))
        script = REPO / 'tools' / f'{tool}.py'
        argv, text, code = sys.argv, io.StringIO(), 0
        sys.argv = [str(script), *arguments]
        folder, path = os.getcwd(), list(sys.path)
        os.chdir(self.root)
        try:
            with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
                runpy.run_path(str(script), run_name='__main__')
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        finally:
            sys.argv, sys.path[:] = argv, path
            os.chdir(folder)
            self._forget_modules()
        return Outcome(code, text.getvalue())

    def _forget_modules(self) -> None:
        """Drop the modules that were imported from below the root; the next test has others of the same names."""
        for name, module in list(sys.modules.items()):
            origin = getattr(module, '__file__', None)
            if origin and Path(origin).is_relative_to(self.root):
                del sys.modules[name]

    def files(self) -> dict[str, str]:
        """Return the digest of every file by its path below the root."""
        paths = sorted(path for path in self.root.rglob('*') if path.is_file())
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths
        }


@dataclass(frozen=True)
class Fault:
    """One line of a table of faults.

    Args:
        name: What is wrong, as the test's id.
        break_it: Damages the bench; may do nothing.
        command: Tool and arguments for :meth:`Bench.call`, or a function of the bench that calls
            the Python API and raises.
        says: Texts that the output or the exception must contain: file or key, value, fix. Fields
            in braces are attributes of the bench.
        code: Exit code of the tool; not used for a function.
        writes: Globs, below the bench, of files that the command may write or change. Everything
            else stays as it was.
        lacks: Texts that must not appear.
        removes: Files, below the bench, that the command may remove.
    """

    name: str
    break_it: Callable[[Bench], object]
    command: str | Callable[[Bench], object]
    says: tuple[str, ...]
    code: int = 1
    writes: tuple[str, ...] = ()
    lacks: tuple[str, ...] = field(default=())
    removes: tuple[str, ...] = ()


def check_fault(bench: Bench, fault: Fault) -> None:
    """Break the bench, run the command, and assert message, exit code, and that nothing was lost or half-written."""
    fault.break_it(bench)
    before = bench.files()
    if isinstance(fault.command, str):
        outcome = bench.call(fault.command)
        assert outcome.code == fault.code, outcome.text
    else:
        outcome = _call_function(bench, fault.command)
    assert 'Traceback (most recent call last)' not in outcome.text, outcome.text
    for text in fault.says:
        assert text.format(**vars(bench)) in outcome.text, outcome.text
    for text in fault.lacks:
        assert text not in outcome.text, outcome.text
    after = bench.files()
    may_change = [path for glob in fault.writes for path in bench.root.glob(glob)]
    allowed = {path.relative_to(bench.root).as_posix() for path in may_change}
    lost = [path for path in before if path not in after and path not in fault.removes]
    changed = [path for path in after if path not in allowed and before.get(path) != after[path]]
    assert not lost, f'lost: {lost}'
    assert not changed, f'written or changed: {changed}'
    half_written = [path for path in after if path not in before and path.endswith('.tmp')]
    assert not half_written, f'half-written: {half_written}'


def _call_function(bench: Bench, function: Callable[[Bench], object]) -> Outcome:
    """Call a function that must refuse; an exception of any library's own is not an answer in words."""
    try:
        result = function(bench)
    except (ValueError, OSError, RuntimeError) as error:
        return Outcome(1, str(error))
    raise AssertionError(f'nothing was refused, the result is {result!r}')
