"""Mode curves: trainings of this toolbox beside the published recipe in a plain loop.

Both start from the same weights and see the same images in the same order. The toolbox trains with
its runner, schedulers, losses, augmentation and kernels as a shipped config has them; the published
side is :mod:`benchmarks.published_recipes`.
"""

import dataclasses
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from depth.datasets.samplers import ResumableInfiniteSampler
from depth.engine.checkpoint import save_atomically
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.runner import build_runner
from depth.evaluation.statistics import student_interval
from depth.registry import DATASETS

from .preset_runs import forget, shorten
from .published_recipes import RECIPES, Recipe, train_published
from .settings import Spec

RENDERED = (80, 112)  # height and width of the scenes
CROP = (64, 96)
NUM_SCENES = 400
# A tiny network from scratch in few iterations; the published rates are for pretrained weights.
RATE_FACTOR = 10.0
FIRST_ITERATIONS = 20  # before rounding has grown to what another seed would make
FINAL_ITERATIONS = 50
# Transforms in the published order, by the code that they were published with.
PIPELINES = dict(
    zhyever=[
        dict(type='RandomRotate', prob=0.5, degree=2.5),
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomCrop', crop_size=CROP),
        dict(
            type='ColorAug',
            prob=0.5,
            gamma_range=(0.9, 1.1),
            brightness_range=(0.75, 1.25),
            color_range=(0.9, 1.1),
        ),
    ],
    mmdepth=[
        dict(type='DepthStripMix', prob=0.25),
        dict(type='RandomFlip', prob=0.5),
        dict(type='RandomCrop', crop_size=CROP),
        dict(type='RandomBrightnessContrast', prob=0.5),
        dict(type='RandomGamma', prob=0.5),
        dict(type='RandomHueSaturationValue', prob=0.5),
    ],
)


@dataclass
class Curve:
    """Result of one training.

    Attributes:
        losses: Total loss of every iteration.
        abs_rel: On unseen scenes, after the last one.
    """

    losses: list[float]
    abs_rel: float


def run(
    methods: Sequence[str],
    seeds: Sequence[int],
    iterations: int,
    scenes: int,
    batch_size: int = 4,
    keep: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Train methods both ways from every seed.

    Args:
        methods: Keys of :data:`RECIPES`.
        seeds: One pair of trainings each.
        iterations: Of each training.
        scenes: How many unseen scenes are scored.
        batch_size: Images of a batch.
        keep: Folder of finished trainings, which are not repeated.
        progress: Called with a line of text before each training.

    Returns:
        ``rows``, one a method, and ``curves``: losses by ``METHOD published`` and ``METHOD ours``,
        one list a seed.
    """
    rows, curves = [], {}
    for method in methods:
        pairs: dict[str, list[Curve]] = dict(published=[], ours=[])
        for seed in seeds:
            for side, train in (('published', train_plainly), ('ours', train_with_runner)):
                progress(f'{method}, {side}, seed {seed}')
                path = keep / f'{method}_{side}_{seed}_{iterations}.pth' if keep else None
                if path and path.is_file():
                    curve = Curve(**torch.load(path, weights_only=True))
                else:
                    curve = train(RECIPES[method], seed, iterations, scenes, batch_size)
                    forget()
                if path:
                    save_atomically(vars(curve), path)
                pairs[side].append(curve)
        rows.append(compare(method, pairs['published'], pairs['ours']))
        for side, trainings in pairs.items():
            curves[f'{method} {side}'] = [curve.losses for curve in trainings]
    return dict(
        iterations=iterations, seeds=list(seeds), scenes=scenes, rows=rows, curves=curves, ratios=[]
    )


def compare(method: str, published: Sequence[Curve], ours: Sequence[Curve]) -> dict:
    """Return a row: both means, their paired difference, and how far apart the curves begin."""
    first, final = [], []
    for base, other in zip(published, ours, strict=True):
        pairs = list(zip(base.losses, other.losses, strict=True))[:FIRST_ITERATIONS]
        first.append(max(abs(value - reference) / reference for reference, value in pairs))
        final.append(final_loss(other) / final_loss(base) - 1)
    differences = [
        other.abs_rel - base.abs_rel for base, other in zip(published, ours, strict=True)
    ]
    row = dict(
        setting=method,
        published_abs_rel=statistics.fmean(curve.abs_rel for curve in published),
        our_abs_rel=statistics.fmean(curve.abs_rel for curve in ours),
        change_of_abs_rel=statistics.fmean(differences),
        largest_difference_at_start=max(first),
        change_of_final_loss=statistics.fmean(final),
    )
    if len(differences) > 1:
        interval = student_interval(np.array(differences))
        row['half_width_95'] = half_width = (interval.high - interval.low) / 2
        row['differs'] = 'yes' if abs(row['change_of_abs_rel']) > half_width else 'no'
    return row


def final_loss(curve: Curve) -> float:
    """Return the mean loss of the last iterations."""
    return statistics.fmean(curve.losses[-FINAL_ITERATIONS:])


def train_plainly(
    recipe: Recipe, seed: int, iterations: int, scenes: int, batch_size: int
) -> Curve:
    """Train as published, in the plain loop."""
    cfg = training_config(recipe, seed, iterations, scenes, batch_size)
    init_default_scope('depth')
    model = initial_model(cfg, seed)
    pipeline = PIPELINES[recipe.augmentation]
    faster = dataclasses.replace(recipe, lr=RATE_FACTOR * recipe.lr)
    torch.manual_seed(seed)
    losses = train_published(model, faster, raw_batches(cfg, seed), pipeline, iterations)
    return Curve(losses, abs_rel_of(model, cfg))


def train_with_runner(
    recipe: Recipe, seed: int, iterations: int, scenes: int, batch_size: int
) -> Curve:
    """Train with the toolbox's runner under the shipped optimizer and schedule."""
    cfg = training_config(recipe, seed, iterations, scenes, batch_size)
    init_default_scope('depth')
    model = initial_model(cfg, seed)
    with tempfile.TemporaryDirectory(prefix='curves_') as folder:
        cfg.work_dir = folder
        cfg.load_from = str(Path(folder) / 'initial.pth')
        save_atomically(dict(state_dict=model.state_dict()), Path(cfg.load_from))
        runner = build_runner(cfg)
        torch.manual_seed(seed)
        trained = runner.train()
        losses = [float(loss) for loss in runner.message_hub.get_scalar('train/loss').data[0]]
    return Curve(losses, abs_rel_of(trained, cfg))


def training_config(
    recipe: Recipe, seed: int, iterations: int, scenes: int, batch_size: int
) -> Config:
    """Return the tiny config under the shipped optimizer, schedule and augmentation."""
    cfg = load_config(recipe.tiny)
    shipped = load_config(recipe.shipped)
    shorten(cfg, Spec(recipe.tiny, shape=CROP, batch_size=batch_size), iterations, scenes)
    cfg.optim_wrapper = shipped.optim_wrapper
    cfg.optim_wrapper.optimizer.lr *= RATE_FACTOR
    cfg.param_scheduler = rescaled(shipped.param_scheduler, iterations)
    cfg.train_dataloader.dataset.update(
        image_size=RENDERED,
        num_scenes=NUM_SCENES,
        cache=True,
        pipeline=[*PIPELINES[recipe.augmentation], dict(type='PackDepthInputs')],
    )
    cfg.custom_hooks = []
    cfg.randomness = dict(seed=seed)
    # Runners of one process with equal names would share their message hub and logger.
    cfg.experiment_name = f'{Path(recipe.tiny).stem}_{seed}_{id(cfg)}'
    return cfg


def rescaled(schedulers: list | dict, iterations: int) -> list[dict]:
    """Return a shipped schedule for another number of iterations, warm-up in proportion."""
    schedulers = schedulers if isinstance(schedulers, list) else [schedulers]
    result = []
    for scheduler in schedulers:
        scheduler = dict(scheduler)
        if 'warmup_iters' in scheduler:
            share = scheduler['warmup_iters'] / scheduler['max_iters']
            scheduler.update(max_iters=iterations, warmup_iters=round(share * iterations))
        elif 'total_steps' in scheduler:
            scheduler['total_steps'] = iterations
        else:
            scheduler['end'] = iterations
        result.append(scheduler)
    return result


def initial_model(cfg: Config, seed: int) -> nn.Module:
    """Return the model with the weights that both sides start from."""
    torch.manual_seed(seed)
    return build_without_weights(cfg)


def raw_batches(cfg: Config, seed: int) -> Iterator[list[dict]]:
    """Yield the scenes of each iteration before any transform, in the order of the runner."""
    dataset = DATASETS.build(dict(cfg.train_dataloader.dataset, pipeline=[]))
    batch_size = cfg.train_dataloader.batch_size
    sampler = ResumableInfiniteSampler(dataset, batch_size, shuffle=True, seed=seed)
    iteration = 0
    while True:
        yield [dataset[index] for index in sampler.batch_of_iteration(iteration)]
        iteration += 1


def abs_rel_of(model: nn.Module, cfg: Config) -> float:
    """Return the mean abs_rel of unseen scenes, computed plainly."""
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    model.eval()
    errors = []
    for index in range(len(dataset)):
        item = dataset[index]
        data = model.data_preprocessor(
            dict(inputs=[item['inputs']], data_samples=[item['data_samples']])
        )
        with torch.inference_mode():
            depth = model.predict_depth(data['inputs'], data['data_samples'])[0, 0]
        errors.append(_abs_rel(depth, item['data_samples'].gt_depth))
    return statistics.fmean(errors)


def _abs_rel(depth: Tensor, gt_depth: Tensor) -> float:
    is_valid = gt_depth > 0
    return float(((depth - gt_depth).abs() / gt_depth)[is_valid].mean())
