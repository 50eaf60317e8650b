"""Data grafting: training images whose upper and lower parts come from two scenes.

It keeps the network from inferring depth from the height in the image alone.
"""

import random
from dataclasses import replace

import torch
from torch import Tensor

from depth.structures import ViewBatch

RATIOS = (0.0, 0.2, 0.4, 0.6, 0.8)
SWAP_PROB = 0.5


def graft_rows(batch: Tensor, partners: Tensor, first_row: int, swap: bool) -> Tensor:
    """Replace the rows from ``first_row`` on by those of each sample's partner.

    Args:
        batch: (N, C, H, W).
        partners: Index of the sample that each sample takes its rows from, (N,) integers.
        first_row: 0 leaves the batch as it is.
        swap: Put the partner's rows above the sample's own.
    """
    if first_row == 0:
        return batch
    own = batch[:, :, :first_row]
    foreign = batch[partners, :, first_row:]
    if swap:
        return torch.cat([foreign, own], dim=2)
    return torch.cat([own, foreign], dim=2)


def draw_partners(groups: Tensor) -> Tensor:
    """Return a random permutation (N,) that keeps every sample in its group.

    Args:
        groups: (N,) integers, equal for samples that may exchange rows.
    """
    shuffled = torch.rand(len(groups), device=groups.device).argsort()
    # Both list the samples group by group: the first in random order within a group, the second in
    # the batch's order. Pairing them maps each sample to a random member of its own group.
    shuffled = shuffled[groups[shuffled].argsort(stable=True)]
    in_order = groups.argsort(stable=True)
    return torch.empty_like(in_order).scatter_(0, in_order, shuffled)


def group_by_rig(views: ViewBatch) -> Tensor:
    """Return the number of each sample's camera rig, (N,) integers.

    Samples of equal intrinsics and extrinsics, up to rounding, share a number: the index of the
    first of them.
    """
    matrices = [views.intrinsics, *views.source_intrinsics, *views.transforms]
    rigs = torch.cat([matrix.flatten(1) for matrix in matrices], dim=1)
    equal = torch.isclose(rigs[:, None], rigs[None], rtol=1e-5, atol=1e-5).all(dim=-1)
    return equal.float().argmax(dim=1)


def graft(inputs: Tensor, views: ViewBatch) -> tuple[Tensor, ViewBatch]:
    """Graft a training batch: the network's images, the views and the depth hints.

    Samples exchange rows if their cameras agree: the same intrinsics and the same way to the other
    view. The published code groups by the side of the camera that took the image. It forgets that
    mirroring exchanges the sides and that data sets, crops and recording days differ in focal
    length or baseline, so pasted rows may be compared with the wrong shift.

    Args:
        inputs: Normalised images (N, 3, H, W).
        views: Their views.

    Reference: Excavating the Potential Capacity of Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/2109.12484.
    """
    # The host draws where to cut, because shapes depend on it; the device draws the partners.
    ratio = random.choice(RATIOS)
    swap = random.random() < SWAP_PROB
    partners = draw_partners(group_by_rig(views))
    first_row = int(ratio * inputs.shape[-2])

    def grafted(batch: Tensor | None) -> Tensor | None:
        return None if batch is None else graft_rows(batch, partners, first_row, swap)

    changed = replace(
        views,
        target=grafted(views.target),
        sources=[grafted(source) for source in views.sources],
        depth_hint=grafted(views.depth_hint),
    )
    return grafted(inputs), changed
