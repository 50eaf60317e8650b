"""Mode train: training iterations of the runner, with hooks, clipping and mixed precision."""

import itertools
import multiprocessing
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from typing import Any

import torch
from mmengine.config import Config
from mmengine.runner import Runner

from depth.engine.distributed import unwrap_model
from depth.engine.loops import ResumableIterLoop
from depth.engine.runner import build_runner
from depth.registry import LOOPS

from .scenes import image_size, max_depth
from .settings import Setting, Spec
from .timing import Case
from .work import work_columns

MEMORY_STEPS = 2
PROFILED_STEPS = 3
_numbers = itertools.count()


@LOOPS.register_module()
class SteppedLoop(ResumableIterLoop):
    """Training loop that runs one iteration per call of :meth:`step`."""

    def run(self) -> torch.nn.Module:
        """Prepare the training, without an iteration."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        self._start_data()
        self.data_seconds: list[float] = []
        return self.runner.model

    def step(self) -> None:
        """Fetch a batch and do one iteration."""
        start = time.perf_counter()
        batch = next(self.dataloader_iterator)
        self.data_seconds.append(time.perf_counter() - start)
        self.run_iter(batch)


def build(spec: Spec, setting: Setting) -> Case:
    """Return a case whose step is one iteration of a runner that trains on rendered scenes."""
    return build_with_runner(spec, setting)[0]


def build_with_runner(spec: Spec, setting: Setting) -> tuple[Case, Runner]:
    """Return the case of :func:`build` and its runner."""
    cfg = setting.load(spec)
    batch_size = spec.batch_size or cfg.train_dataloader.get('batch_size', 1)
    prepare(cfg, spec.shape or image_size(cfg, 'train_dataloader'), batch_size)
    cfg.work_dir = tempfile.mkdtemp(prefix='benchmark_')
    # When the process ends, because a runner writes its log until then. Functions registered with
    # atexit are not called in processes of multiprocessing.
    Finalize(None, shutil.rmtree, args=(cfg.work_dir, True), exitpriority=0)
    # Runners of one process with equal names would share their message hub and logger.
    cfg.experiment_name = f'benchmark_{next(_numbers)}'
    runner = build_runner(cfg)
    if (cfg.model.get('decode_head') or {}).get('class_embeddings'):
        # Text embeddings are made by a language model; random ones take as long.
        head = unwrap_model(runner).decode_head
        head.class_embeddings.normal_()
        head.has_embeddings = True
    runner.train()
    loop = runner.train_loop

    def details() -> dict:
        data_ms = statistics.median(loop.data_seconds) * 1e3
        shares = profile(runner, loop.step, spec.device)
        return dict(data_ms=data_ms, **shares, **work_columns(spec, setting, training=True))

    return Case(setting.name, loop.step, batch_size, details=details), runner


def prepare(cfg: Config, shape: tuple[int, int], batch_size: int) -> None:
    """Change a config so that its runner trains on scenes, step by step, without checkpoints."""
    cfg.train_cfg = dict(type='SteppedLoop', max_iters=cfg.train_cfg.get('max_iters', 1 << 20))
    for key in (
        'val_dataloader',
        'val_cfg',
        'val_evaluator',
        'test_dataloader',
        'test_cfg',
        'test_evaluator',
    ):
        cfg[key] = None
    classes = (cfg.model.get('decode_head') or {}).get('num_classes') or 1
    dataset = dict(
        type='BenchmarkScenes',
        image_size=shape,
        max_depth=max_depth(cfg),
        scene_class=min(1, classes - 1),
        num_scenes=2,
    )
    loader = dict(cfg.train_dataloader, batch_size=batch_size, num_workers=0, dataset=dataset)
    loader['sampler'] = dict(type='ResumableInfiniteSampler', shuffle=False)
    loader.pop('persistent_workers', None)
    cfg.train_dataloader = loader
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.pop('visualization', None)
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks', []) if hook['type'] != 'TerminationHook'
    ]
    cfg.env_cfg.mp_cfg = dict(
        mp_start_method=multiprocessing.get_start_method(),
        opencv_num_threads=0,
    )
    cfg.log_level = 'ERROR'
    cfg.load_from, cfg.resume = None, False


def profile(runner: Runner, step: Callable[[], None], device: str) -> dict[str, float]:
    """Return the shares of a step's time by stage.

    The device is synchronised before and after each stage, which costs a little.

    ``preprocess``: copy and normalisation; ``loss``: the head's losses; ``update``: backward pass,
    clipping and optimizer; ``hooks``: everything that is called around the step.
    """
    spent: dict[str, float] = {}
    stages = profiled_stages(runner)
    total = 0.0
    with _clocks(stages, spent, device):
        for _ in range(PROFILED_STEPS):
            start = _now(device)
            step()
            total += _now(device) - start
    return {f'{name}_share': spent.get(name, 0.0) / total for _, _, name in stages}


def profiled_stages(runner: Runner) -> list[tuple[object, str, str]]:
    """Return object, method and name of each stage of a runner's step.

    The head's losses are no stage of a compiled step: a method that is replaced inside of compiled
    code has it compiled again, minutes for a large model.
    """
    model = runner.model
    stages = [
        (model.data_preprocessor, 'forward', 'preprocess'),
        (runner.optim_wrapper, 'update_params', 'update'),
    ]
    if not runner.cfg.get('compile') and hasattr(getattr(model, 'decode_head', None), 'loss'):
        stages.append((model.decode_head, 'loss', 'loss'))
    stages.append((runner, 'call_hook', 'hooks'))
    return stages


@contextmanager
def _clocks(
    stages: list[tuple[object, str, str]],
    spent: dict[str, float],
    device: str,
) -> Iterator[None]:
    """Add up the seconds in methods of objects inside the block."""

    def clocked(call: Callable, name: str) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            start = _now(device)
            try:
                return call(*args, **kwargs)
            finally:
                spent[name] = spent.get(name, 0.0) + _now(device) - start

        return run

    for owner, method, name in stages:
        object.__setattr__(owner, method, clocked(getattr(owner, method), name))
    try:
        yield
    finally:
        for owner, method, _ in stages:
            object.__delattr__(owner, method)


def _now(device: str) -> float:
    if device.startswith('cuda'):
        torch.cuda.synchronize()
    return time.perf_counter()
