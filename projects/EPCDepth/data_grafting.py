"""Data grafting: images whose upper and lower parts come from two scenes.

A network that takes height in the image for depth cannot explain them.
"""

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
        partners: Which sample gives the rows, (N,) integers.
        first_row: 0 leaves the batch as it is.
        swap: Put the partner's rows on top and the own ones below.
    """
    if first_row == 0:
        return batch
    own, foreign = batch[:, :, :first_row], batch[partners, :, first_row:]
    return torch.cat([foreign, own] if swap else [own, foreign], dim=2)


def draw_partners(groups: Tensor) -> Tensor:
    """Return a random permutation (N,) that keeps every sample in its group.

    Args:
        groups: (N,) integers, equal for samples that may exchange rows.
    """
    keys = torch.rand(len(groups)).to(groups.device)  # drawn on the CPU, so that every device grafts alike
    shuffled = keys.argsort()
    shuffled = shuffled[groups[shuffled].argsort(stable=True)]  # members of each group, in random order
    in_order = groups.argsort(stable=True)  # the same places, in the batch's order
    return torch.empty_like(in_order).scatter_(0, in_order, shuffled)


def group_by_rig(views: ViewBatch) -> Tensor:
    """Return a number for each sample, (N,) integers, that samples with the same cameras at the same poses share.

    A sample's number is the index of the first one with its intrinsics and extrinsics, up to rounding.
    """
    matrices = [views.intrinsics, *views.source_intrinsics, *views.transforms]
    rigs = torch.cat([matrix.flatten(1) for matrix in matrices], dim=1)
    equal = torch.isclose(rigs[:, None], rigs[None], rtol=1e-5, atol=1e-5).all(dim=-1)
    return equal.float().argmax(dim=1)


def graft(inputs: Tensor, views: ViewBatch) -> tuple[Tensor, ViewBatch]:
    """Graft a training batch: the network's images, the views and the hints alike.

    Samples exchange rows if their cameras agree: the same intrinsics and the same way to the other view. The published
    code groups by the side of the camera that took the image. It forgets that mirroring exchanges the sides and that
    data sets, crops and recording days differ in focal length or baseline, so pasted rows may be compared with the
    wrong shift.

    Args:
        inputs: Normalised images (N, 3, H, W).
        views: Their views.

    Reference: Excavating the Potential Capacity of Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/2109.12484.
    """
    ratio = RATIOS[int(torch.randint(len(RATIOS), ()))]
    swap = bool(torch.rand(()) < SWAP_PROB)
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
