"""Scale-invariant logarithmic loss."""

import torch
from torch import Tensor, nn

from depth.registry import MODELS

from .iteration import FollowsIteration, current_iteration


def silog_loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    variance_focus: float = 0.85,
    eps: float = 1e-3,
    mean_only: bool = False,
    unbiased: bool = True,
    reduction: str = 'batch',
) -> Tensor:
    """Return the scale-invariant log loss sqrt(var(g) + (1 - variance_focus) * mean(g)^2).

    g is the error of log depth; mean and variance are taken over all valid pixels of the batch, or
    of each image.

    Args:
        pred: Predicted depth in metres, (N, 1, H, W), not negative.
        target: Measured depth in metres, same shape; ignored where masked out.
        mask: Boolean, same shape; True where ``target`` counts.
        variance_focus: 1 forgives a global scale error; 0 gives about the RMSE of log depth.
        eps: Added inside the logarithms, in metres. With 0 a prediction below 1e-6 counts as that.
        mean_only: Leave out the variance, as in DepthFormer's warm-up.
        unbiased: Divide the variance by n - 1, as AdaBins does; Depth Anything V2 divides by n.
        reduction: ``'batch'``: one mean and variance over all pixels; ``'image'``: the loss of each
            image, averaged over the images that have ground truth, so that sparse labels (LiDAR)
            count as much as dense ones.

    Returns:
        Scalar float32; without a gradient that matters when fewer than two pixels count.

    Reference: D. Eigen et al. 2014, https://arxiv.org/abs/1406.2283; the weights as in AdaBins,
    https://arxiv.org/abs/2011.14141.
    """
    # Weighted sums, not pred[mask]: boolean indexing and `if mask.any()` would stall the device.
    pred = torch.where(mask, pred.float(), 1)
    if eps == 0:
        pred = pred.clamp(min=1e-6)
    error = torch.log(pred + eps) - torch.log(torch.where(mask, target.float(), 1) + eps)
    pixels = tuple(range(error.ndim)) if reduction == 'batch' else tuple(range(1, error.ndim))
    count = mask.sum(dim=pixels, keepdim=True)
    mean = error.sum(dim=pixels, keepdim=True) / count.clamp(min=1)
    total = (1 - variance_focus) * mean.square()
    if not mean_only:
        # Unbiased (n - 1) like torch.var; of one pixel it is 0 here, where torch.var is NaN.
        degrees = (count - int(unbiased)).clamp(min=1)
        deviation = torch.where(mask, error - mean, 0)
        total = total + deviation.square().sum(dim=pixels, keepdim=True) / degrees
    # The clamp has slope zero below its limit: no infinite gradient of a perfect or empty batch.
    loss = torch.sqrt(total.clamp(min=1e-12))
    if reduction == 'batch':
        return loss.squeeze()
    has_labels = count > 0
    return torch.where(has_labels, loss, 0).sum() / has_labels.sum().clamp(min=1)


@MODELS.register_module()
class SILogLoss(nn.Module, FollowsIteration):
    """Weighted :func:`silog_loss`.

    Args:
        loss_weight: Factor of the loss.
        max_depth: Ground truth beyond it, in metres, does not count; None counts all.
        warm_up: Train on the mean error alone for the first iterations, a remedy of DepthFormer for
            heads whose output becomes constant at the start. It follows the runner's iteration,
            also after a resume.
        warm_iter: Number of warm-up iterations.
        variance_focus: 1 forgives a global scale error, see :func:`silog_loss`. Depth Anything V2
            trains with ``variance_focus=0.5, eps=0.0, unbiased=False``.
        eps: Added to depths before the logarithm.
        unbiased: Divide the variance by one less than the number of pixels.
        reduction: Over all pixels of the batch (``'batch'``), or mean over images (``'image'``).

    Raises:
        ValueError: If the reduction is unknown.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        max_depth: float | None = None,
        warm_up: bool = False,
        warm_iter: int = 100,
        variance_focus: float = 0.85,
        eps: float = 1e-3,
        unbiased: bool = True,
        reduction: str = 'batch',
    ) -> None:
        super().__init__()
        if reduction not in ('batch', 'image'):
            raise ValueError(f"SILogLoss: reduction is 'batch' or 'image', got {reduction!r}")
        self.options = dict(
            variance_focus=variance_focus, eps=eps, unbiased=unbiased, reduction=reduction
        )
        self.loss_weight = loss_weight
        self.max_depth = max_depth
        self.warm_up = warm_up
        self.warm_iter = warm_iter
        self.is_warming_up = warm_up

    def follow_iteration(self) -> None:
        """Begin or end the warm-up."""
        self.is_warming_up = self.warm_up and current_iteration() < self.warm_iter

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        if self.max_depth is not None:
            mask = mask & (target <= self.max_depth)
        if not torch.compiler.is_compiling():
            self.follow_iteration()
        return self.loss_weight * silog_loss(
            pred, target, mask, mean_only=self.is_warming_up, **self.options
        )
