"""Chamfer loss between bin centres and measured depths.

Reference: AdaBins, https://arxiv.org/abs/2011.14141
"""

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from ..layers.bins import bin_centers_from_edges

MIN_TARGET = 1e-3  # metres; nearer values count as missing, as published


def chamfer_loss(centers: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """Return the two-sided squared chamfer distance of points on a line, averaged over images.

    For each image: the mean over centres of the squared distance to the nearest target, plus the
    mean over targets of the squared distance to the nearest centre. The result is exact, but needs
    no matrix of all pairs: targets are sorted into buckets between neighbouring centres, and only
    the smallest and the largest target of a bucket can be nearest to a centre.

    Args:
        centers: (N, D) in metres, in any order; the gradient goes here.
        targets: (N, T) in metres; without gradient.
        mask: Boolean (N, T); True where a target counts.

    Returns:
        Scalar float32 in square metres; an image without targets adds 0.
    """
    centers = centers.float().sort(dim=1).values
    targets = targets.detach().float()
    with torch.no_grad():
        # Bucket b holds the targets between centres b - 1 and b. Targets that are masked out fall
        # into the first one, where they do no harm.
        buckets = torch.searchsorted(
            centers.detach().contiguous(), torch.where(mask, targets, -torch.inf)
        )
        nearest_targets = _nearest_targets(centers, targets, mask, buckets)
        nearest_centers = _nearest_centers(centers, targets, buckets)
    counts = mask.sum(dim=1)
    to_targets = torch.where(counts[:, None] > 0, centers - nearest_targets, 0).square().mean(dim=1)
    gaps = torch.where(mask, centers.gather(1, nearest_centers) - targets, 0)
    to_centers = gaps.square().sum(dim=1) / counts.clamp(min=1)
    return (to_targets + to_centers).mean()


def _nearest_targets(centers: Tensor, targets: Tensor, mask: Tensor, buckets: Tensor) -> Tensor:
    """Return the target nearest to each of the sorted centres, (N, D).

    The result is infinite if there is none.
    """
    images, num_centers = centers.shape
    extremes = []  # largest and smallest target of every bucket, (N, D + 1)
    for reduction, neutral in (('amax', -torch.inf), ('amin', torch.inf)):
        empty = centers.new_full((images, num_centers + 1), neutral)
        extremes.append(
            empty.scatter_reduce(1, buckets, torch.where(mask, targets, neutral), reduction)
        )
    # Empty buckets pass on the extreme of the next bucket below or above.
    below = extremes[0][:, :-1].cummax(dim=1).values
    above = extremes[1][:, 1:].flip(1).cummin(dim=1).values.flip(1)
    return torch.where(centers - below <= above - centers, below, above)


def _nearest_centers(centers: Tensor, targets: Tensor, buckets: Tensor) -> Tensor:
    """Return the index of the sorted centre nearest to each target, (N, T)."""
    right = buckets.clamp(max=centers.shape[1] - 1)
    left = (buckets - 1).clamp(min=0)
    is_left = targets - centers.gather(1, left) <= centers.gather(1, right) - targets
    return torch.where(is_left, left, right)


@MODELS.register_module()
class BinsChamferLoss(nn.Module):
    """Weighted :func:`chamfer_loss` between bin centres and the measured depths of an image.

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
            mask: Boolean, same shape; True where ``target`` counts. Depths below 1 mm never count.
        """
        targets = target.flatten(1)
        mask = mask.flatten(1) & (targets >= MIN_TARGET)
        return self.loss_weight * chamfer_loss(bin_centers_from_edges(bin_edges), targets, mask)
