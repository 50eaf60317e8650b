"""Published training recipes, transcribed from their sources, and a plain training loop.

Nothing of this toolbox's runner, schedulers, optimizer constructors, losses, preprocessor or
augmentation is used here: what comes out is the independent side of a comparison. The models are
the toolbox's, whose layers are compared with recorded outputs elsewhere. Sources of the recipes:
https://github.com/zhyever/Monocular-Depth-Estimation-Toolbox, its configs as they act (its one-cycle
hook gives every parameter group the same rate, for example), and
https://github.com/RuijieZhu94/mmdepth for ScaleDepth.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from depth.ops import use_backend
from depth.structures import DepthDataSample

from .published_pipeline import published_pipeline

NO_DECAY = ('absolute_pos_embed', 'relative_position_bias_table', 'norm')


@dataclass(frozen=True)
class Recipe:
    """How a method was trained.

    Attributes:
        tiny: Config of the tiny variant on synthetic rooms.
        shipped: Config whose optimizer and schedule this recipe is.
        lr: Largest learning rate.
        schedule: ``one_cycle``, ``cosine`` (with a linear warm-up over the first third) or
            ``polynomial`` (power 0.9, to 0).
        betas: Of AdamW.
        weight_decay: Of AdamW.
        max_norm: Gradients are clipped to this norm.
        momentum_cycle: The first beta goes from 0.95 to 0.85 and back.
        no_decay: Parameters whose names contain one of these have no weight decay.
        backbone_rate: Learning rate of the backbone as a share of the others'.
        augmentation: Whose transforms, ``zhyever`` or ``mmdepth``.
        mean, std: Of the normalisation, RGB.
    """

    tiny: str
    shipped: str
    lr: float
    schedule: str
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    max_norm: float = 35.0
    momentum_cycle: bool = False
    no_decay: tuple[str, ...] = ()
    backbone_rate: float = 1.0
    augmentation: str = 'zhyever'
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


RECIPES = dict(
    depthformer=Recipe(
        'configs/synthetic/depthformer_tiny_rooms.py',
        'configs/depthformer/depthformer_swint_w7_nyu.py',
        lr=6e-5,
        schedule='cosine',
        no_decay=NO_DECAY,
    ),
    binsformer=Recipe(
        'configs/synthetic/binsformer_tiny_rooms.py',
        'configs/binsformer/binsformer_swint_w7_nyu.py',
        lr=1e-4,
        schedule='one_cycle',
        no_decay=NO_DECAY,
    ),
    bts=Recipe(
        'configs/synthetic/bts_tiny_rooms.py',
        'configs/bts/bts_r50_nyu_24e.py',
        lr=1e-4,
        schedule='one_cycle',
        betas=(0.95, 0.99),
    ),
    adabins=Recipe(
        'configs/synthetic/adabins_tiny_rooms.py',
        'configs/adabins/adabins_efnetb5ap_nyu_24e.py',
        lr=3.57e-4,
        schedule='one_cycle',
        betas=(0.95, 0.99),
        weight_decay=0.1,
        max_norm=0.1,
        momentum_cycle=True,
    ),
    dpt=Recipe(
        'configs/synthetic/dpt_tiny_rooms.py',
        'configs/dpt/dpt_vit-b16_nyu.py',
        lr=1e-4,
        schedule='one_cycle',
        momentum_cycle=True,
        no_decay=('pos_embed', 'cls_token'),
        mean=(127.5, 127.5, 127.5),
        std=(127.5, 127.5, 127.5),
    ),
    newcrfs=Recipe(
        'configs/synthetic/newcrfs_tiny_rooms.py',
        'configs/newcrfs/newcrfs_swinl_22k_w7_nyu.py',
        lr=1e-4,
        schedule='cosine',
        no_decay=NO_DECAY,
    ),
    simipu=Recipe(
        'configs/synthetic/simipu_tiny_rooms.py',
        'configs/simipu/simipu_r50_scratch_nyu_24e.py',
        lr=1e-4,
        schedule='one_cycle',
        betas=(0.95, 0.99),
    ),
    scaledepth=Recipe(
        'projects/ScaleDepth/configs/ScaleDepth/scaledepth_tiny_rooms.py',
        'projects/ScaleDepth/configs/ScaleDepth/scaledepth_swin_tiny_NYU_480x480.py',
        lr=1e-4,
        schedule='polynomial',
        weight_decay=0.05,
        max_norm=0.01,
        # Norms of the head; the published rules name those of a Swin, so a ResNet's do decay.
        no_decay=('norm', '.gn.', 'query_embed', 'query_feat', 'decode_head.decoder.level_embed'),
        backbone_rate=0.1,
        augmentation='mmdepth',
    ),
)


class PublishedSILog(nn.Module):
    """Loss of the published code: boolean indexing, ``torch.var``, a warm-up that counts calls.

    Args:
        weight: Factor of the loss.
        warm_up: Leave out the variance in the first 100 calls.
    """

    def __init__(self, weight: float = 1.0, warm_up: bool = False) -> None:
        super().__init__()
        self.weight, self.warm_up, self.calls = weight, warm_up, 0

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        error = torch.log(pred[mask] + 1e-3) - torch.log(target[mask] + 1e-3)
        total = 0.15 * torch.mean(error) ** 2
        self.calls += 1
        if not self.warm_up or self.calls > 100:
            total = total + torch.var(error)
        return self.weight * torch.sqrt(total)


def learning_rate(recipe: Recipe, iteration: int, iterations: int) -> float:
    """Return the published learning rate at an iteration, counted from 0.

    The cosine falls from iteration 0 on, also under the warm-up, which multiplies it by a factor
    that grows linearly from 1/1000. The peak of one cycle is at 30 % of the iterations.
    """
    if recipe.schedule == 'polynomial':
        return recipe.lr * (1 - iteration / iterations) ** 0.9
    if recipe.schedule == 'cosine':
        low = 1e-8 * recipe.lr
        rate = low + (recipe.lr - low) * (1 + math.cos(math.pi * iteration / iterations)) / 2
        warm_up = iterations // 3
        if iteration < warm_up:
            rate *= 1 - (1 - iteration / warm_up) * (1 - 1e-3)
        return rate
    return _cycle(iteration, iterations, recipe.lr / 25, recipe.lr, recipe.lr / 25 / 100)


def first_beta(recipe: Recipe, iteration: int, iterations: int) -> float:
    """Return AdamW's published first beta at an iteration."""
    if not recipe.momentum_cycle:
        return recipe.betas[0]
    return _cycle(iteration, iterations, 0.95, 0.85, 0.95)


def _cycle(iteration: int, iterations: int, start: float, peak: float, end: float) -> float:
    """Return a value that goes by half cosines from ``start`` to ``peak`` and on to ``end``."""
    turn = 0.3 * iterations - 1
    if iteration <= turn:
        low, high, share = start, peak, iteration / turn
    else:
        low, high, share = peak, end, (iteration - turn) / (iterations - 1 - turn)
    return high + (low - high) * (1 + math.cos(math.pi * share)) / 2


def train_published(
    model: nn.Module,
    recipe: Recipe,
    batches: Iterator[Sequence[dict]],
    pipeline: Sequence[dict],
    iterations: int,
) -> list[float]:
    """Train a model as published and return the loss of every iteration.

    Args:
        model: Depth estimator, trained in place.
        recipe: Optimizer, schedule and normalisation.
        batches: Raw samples (``img`` uint8 BGR, ``gt_depth`` metres, ``cam_intrinsic``) of each
            iteration.
        pipeline: Transforms in the published order, see :func:`published_pipeline`.
        iterations: How long.
    """
    steps = published_pipeline(pipeline)
    replace_silog(model)
    groups = parameter_groups(model, recipe)
    optimizer = torch.optim.AdamW(groups, lr=recipe.lr, betas=recipe.betas, foreach=False)
    model.train()
    losses = []
    for iteration in range(iterations):
        inputs, samples = collate(next(batches), steps, recipe)
        rate = learning_rate(recipe, iteration, iterations)
        betas = first_beta(recipe, iteration, iterations), recipe.betas[1]
        for group in optimizer.param_groups:
            group.update(lr=group['share_of_rate'] * rate, betas=betas)
        with use_backend('reference'):
            values = model(inputs, samples, mode='loss')
            loss = sum(value for name, value in values.items() if 'loss' in name)
            optimizer.zero_grad()
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), recipe.max_norm)
        optimizer.step()
        losses.append(loss.item())
    return losses


def parameter_groups(model: nn.Module, recipe: Recipe) -> list[dict]:
    """Return a group for every parameter: ``params``, ``weight_decay`` and ``share_of_rate``."""
    groups = []
    for name, parameter in model.named_parameters():
        is_free = any(key in name for key in recipe.no_decay)
        groups.append(
            dict(
                params=[parameter],
                weight_decay=0.0 if is_free else recipe.weight_decay,
                share_of_rate=recipe.backbone_rate if name.startswith('backbone.') else 1.0,
            )
        )
    return groups


def replace_silog(model: nn.Module) -> None:
    """Replace the head's scale-invariant loss by :class:`PublishedSILog`.

    Raises:
        ValueError: If the head has another loss.
    """
    loss = model.decode_head.loss_decode
    if type(loss).__name__ != 'SILogLoss':
        raise ValueError(f'the published loss is SILogLoss, the head has {type(loss).__name__}')
    model.decode_head.loss_decode = PublishedSILog(loss.loss_weight, loss.warm_up)


def collate(
    raw_samples: Sequence[dict], steps: Sequence[tuple[str, Callable]], recipe: Recipe
) -> tuple[Tensor, list[DepthDataSample]]:
    """Augment and normalise raw samples on the CPU in floating point, as published.

    Returns:
        Images (N, 3, H, W) float32, RGB, and the samples with ``gt_depth``.
    """
    images, samples = [], []
    for raw in raw_samples:
        results = raw
        for _, step in steps:
            results = step(results)
        image = np.ascontiguousarray(results['img'][..., ::-1]).astype(np.float32)
        image = ((image - np.array(recipe.mean)) / np.array(recipe.std)).astype(np.float32)
        images.append(torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))))
        sample = DepthDataSample(metainfo=dict(scene_class=-1))
        sample.gt_depth = torch.from_numpy(np.ascontiguousarray(results['gt_depth']))
        samples.append(sample)
    return torch.stack(images), samples
