"""Chamfer distance between the centres of bins and measured depths."""

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from ..layers.bins import bin_centers_from_edges

MIN_TARGET = 1e-3  # metres; nearer values are taken for missing ones, as published


def chamfer_loss(centers: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the two-sided squared chamfer distance of points on a line, averaged over images.

    Of each image: mean over centres of the squared distance to the nearest target, plus mean over targets of that to
    the nearest centre. Exact, without a matrix of all pairs: targets find their neighbours among the sorted centres,
    and the extreme targets between two centres are all that a centre can be nearest to.

    Args:
        centers: (N, D) in metres, in any order; the gradient goes here.
        targets: (N, T) in metres; without gradient.
        mask: Boolean (N, T); True where a target counts.

    Returns:
        Scalar float32 in square metres; an image without targets adds 0.
    """
    centers, targets = centers.float().sort(dim=1).values, targets.detach().float()
    with torch.no_grad():
        # Bucket b holds the targets between centres b - 1 and b; those masked out sit in the first one, harmless.
        buckets = torch.searchsorted(centers.detach().contiguous(), torch.where(mask, targets, -torch.inf))
        nearest_targets = _nearest_targets(centers, targets, mask, buckets)
        nearest_centers = _nearest_centers(centers, targets, buckets)
    counts = mask.sum(dim=1)
    to_targets = torch.where(counts[:, None] > 0, centers - nearest_targets, 0).square().mean(dim=1)
    gaps = torch.where(mask, centers.gather(1, nearest_centers) - targets, 0)
    to_centers = gaps.square().sum(dim=1) / counts.clamp(min=1)
    return (to_targets + to_centers).mean()


def _nearest_targets(centers: Tensor, targets: Tensor, mask: Tensor, buckets: Tensor) -> Tensor:
    """Return the target nearest to each of the sorted centres, (N, D); infinite if there is none."""
    images, num_centers = centers.shape
    ends = []
    for reduce, nothing in (('amax', -torch.inf), ('amin', torch.inf)):
        end = centers.new_full((images, num_centers + 1), nothing)
        ends.append(end.scatter_reduce(1, buckets, torch.where(mask, targets, nothing), reduce))
    below = ends[0][:, :-1].cummax(dim=1).values
    above = ends[1][:, 1:].flip(1).cummin(dim=1).values.flip(1)
    return torch.where(centers - below <= above - centers, below, above)


def _nearest_centers(centers: Tensor, targets: Tensor, buckets: Tensor) -> Tensor:
    """Return the number of the sorted centre nearest to each target, (N, T)."""
    right = buckets.clamp(max=centers.shape[1] - 1)
    left = (buckets - 1).clamp(min=0)
    is_left = targets - centers.gather(1, left) <= centers.gather(1, right) - targets
    return torch.where(is_left, left, right)


@MODELS.register_module()
class BinsChamferLoss(nn.Module):
    """Pull the centres of the bins to the depths that an image has, and the other way round.

    Args:
        loss_weight: Factor of the loss.

    Reference: AdaBins, https://arxiv.org/abs/2011.14141
    """

    def __init__(self, loss_weight: float = 0.1) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, bin_edges: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss.

        Args:
            bin_edges: (N, D + 1) in metres.
            target: Measured depth in metres, (N, 1, H, W).
            mask: Boolean, same shape; True where ``target`` counts, if it is 1 mm at least.
        """
        targets = target.flatten(1)
        mask = mask.flatten(1) & (targets >= MIN_TARGET)
        return self.loss_weight * chamfer_loss(bin_centers_from_edges(bin_edges), targets, mask)
