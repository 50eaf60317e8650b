"""Training of mask networks, and the depth error at a given share of visible pixels."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from depth.models.losses import silog_loss

from .mask_network import MaskNetwork, show_pixels

Report = Callable[[int, float, float], None]


def train_mask_network(
    depth_model: nn.Module,
    batches: Iterator[dict],
    sparsity_weight: float,
    iterations: int,
    lr: float = 2e-3,
    channels: int = 16,
    report: Report | None = None,
) -> MaskNetwork:
    """Train a mask network against a frozen depth model.

    The loss is the scale-invariant error between the model's depth from the visible pixels and from
    all of them, plus ``sparsity_weight`` times the mean of the mask (its L1 norm).

    Args:
        depth_model: From ``init_model``; neither trained nor changed.
        batches: Preprocessed batches with ``inputs`` (N, 3, H, W); must not end.
        sparsity_weight: Factor of the mask's mean; the larger, the fewer pixels stay visible.
        iterations: Optimisation steps.
        lr: Learning rate of Adam.
        channels: Width of the mask network.
        report: Called with the iteration, the loss and the share of visible pixels.
    """
    # Gradients flow through the depth model to the mask, but not into the model's own parameters.
    frozen = [parameter for parameter in depth_model.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    network = MaskNetwork(channels).to(next(depth_model.parameters()).device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    for iteration in range(iterations):
        inputs = next(batches)['inputs']
        with torch.no_grad():
            target = depth_model(inputs)
        mask = network(inputs)
        depth = depth_model(show_pixels(inputs, mask))
        share = mask.mean()
        loss = (
            silog_loss(depth, target, torch.ones_like(target, dtype=torch.bool))
            + sparsity_weight * share
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if report:
            report(iteration, loss.item(), share.item())
    for parameter in frozen:
        parameter.requires_grad_(True)
    return network.eval()


def keep_best_pixels(scores: Tensor, share: float) -> Tensor:
    """Return a hard mask (N, 1, H, W) of the given share of pixels, those of largest score."""
    flat = scores.flatten(1)
    count = max(round(share * flat.shape[1]), 1)
    best = flat.topk(count, dim=1).indices
    return torch.zeros_like(flat).scatter_(1, best, 1.0).view_as(scores)


@torch.no_grad()
def masked_rmse(
    depth_model: nn.Module,
    batches: Iterable[dict],
    score: Callable[[Tensor], Tensor],
    shares: Iterable[float],
) -> dict[float, float]:
    """Return the RMSE in metres at each share of visible pixels, averaged over images.

    Args:
        depth_model: From ``init_model``.
        batches: Preprocessed batches with ``inputs`` and ``data_samples`` that have ``gt_depth``.
        score: Maps images (N, 3, H, W) to scores (N, 1, H, W); the pixels of largest score are
            shown.
        shares: Shares of visible pixels, above 0 and up to 1.
    """
    shares = list(shares)
    errors = {share: [] for share in shares}
    for batch in batches:
        inputs = batch['inputs']
        gt_depth = (
            torch.stack([sample.gt_depth for sample in batch['data_samples']])
            .unsqueeze(1)
            .to(inputs)
        )
        scores = score(inputs)
        for share in shares:
            depth = depth_model(show_pixels(inputs, keep_best_pixels(scores, share)))
            errors[share].append(_rmse(depth, gt_depth))
    return {share: torch.cat(values).mean().item() for share, values in errors.items()}


def _rmse(depth: Tensor, gt_depth: Tensor) -> Tensor:
    valid = gt_depth > 0
    squared = torch.where(valid, depth - gt_depth, 0).square().sum(dim=(1, 2, 3))
    return (squared / valid.sum(dim=(1, 2, 3)).clamp(min=1)).sqrt()
