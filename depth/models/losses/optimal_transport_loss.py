"""Optimal transport distance loss (OTDL): depth maps as distributions over the image.

Reference: Improving Depth Gradient Continuity in Transformers, https://arxiv.org/abs/2308.08333
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.registry import MODELS

LOG_ZERO = -1e5  # logarithm of no mass; -inf would give NaN in inf - inf


def sinkhorn_divergence(
    first: Tensor,
    second: Tensor,
    rows: Tensor,
    columns: Tensor,
    epsilon: float = 0.01,
    iterations: int = 50,
) -> Tensor:
    """Return the debiased entropic transport cost between distributions on a grid.

    The cost of moving mass is the squared distance of the cells. It is a sum over both axes, so the
    kernel is applied to one axis after the other: O(n^1.5) for n cells. The number of iterations is
    fixed and nothing depends on values, so the host never waits for the device. Gradients are those
    of the converged cost (the potentials are its derivatives), not of the iterations.

    Args:
        first: Mass (N, h, w) of each cell, not negative, sums to 1 in each image or is zero
            everywhere.
        second: Likewise.
        rows: Vertical positions (h,) of the cells, in units of the map's diagonal.
        columns: Horizontal positions (w,), likewise.
        epsilon: Strength of the entropic regularisation, in units of the cost.
        iterations: Number of iterations.

    Returns:
        (N,), not negative up to rounding, zero for equal distributions.

    Reference: Interpolating between Optimal Transport and MMD using Sinkhorn Divergences, J. Feydy
    et al. 2019, https://arxiv.org/abs/1810.08278
    """
    with torch.no_grad():
        # Three problems at once: first to second, first to itself, second to itself.
        sources = torch.cat([first, first, second])
        targets = torch.cat([second, first, second])
        source_duals, target_duals = _potentials(
            sources, targets, rows, columns, epsilon, iterations
        )
        first_to_second, first_to_first, second_to_second = source_duals.chunk(3)
        second_to_first = target_duals.chunk(3)[0]
    # The potentials of a distribution against itself remove the entropic bias.
    cost = first * (first_to_second - first_to_first) + second * (
        second_to_first - second_to_second
    )
    return cost.sum(dim=(1, 2))


def _potentials(
    sources: Tensor, targets: Tensor, rows: Tensor, columns: Tensor, epsilon: float, iterations: int
) -> tuple[Tensor, Tensor]:
    """Return the dual potentials (N, h, w) of the sources and of the targets."""
    log_sources, log_targets = _log(sources), _log(targets)
    vertical = -(rows[:, None] - rows[None]).square()
    horizontal = -(columns[:, None] - columns[None]).square()

    def soft_minimum(log_mass: Tensor, potential: Tensor, eps: float) -> Tensor:
        score = log_mass + potential / eps  # (N, h, w)
        score = torch.logsumexp(score.unsqueeze(-2) + horizontal / eps, dim=-1)  # over the columns
        # Over the rows.
        score = torch.logsumexp(score.unsqueeze(-3) + (vertical / eps).unsqueeze(-1), dim=-2)
        return -eps * score

    start = max(1.0, epsilon)  # no cost is larger than the squared diagonal
    source_duals = torch.zeros_like(sources)
    target_duals = torch.zeros_like(targets)
    for step in range(iterations):
        # Regularisation shrinks from ``start`` to ``epsilon`` in the first half of the iterations.
        eps = epsilon * (start / epsilon) ** max(1 - 2 * step / iterations, 0.0)
        next_source_duals = soft_minimum(log_targets, target_duals, eps)
        next_target_duals = soft_minimum(log_sources, source_duals, eps)
        # Both move half-way, from the same state: equal distributions keep equal potentials and
        # give exactly zero.
        source_duals = (source_duals + next_source_duals) / 2
        target_duals = (target_duals + next_target_duals) / 2
    final_source_duals = soft_minimum(log_targets, target_duals, epsilon)
    final_target_duals = soft_minimum(log_sources, source_duals, epsilon)
    return final_source_duals, final_target_duals


def _log(mass: Tensor) -> Tensor:
    return torch.where(mass > 0, mass, 1).log().masked_fill(mass <= 0, LOG_ZERO)


def pool_to_cells(depth: Tensor, mask: Tensor, grid_size: int) -> tuple[Tensor, Tensor]:
    """Average the valid pixels of each cell of a grid.

    Args:
        depth: (N, 1, H, W) in metres.
        mask: Boolean, same shape; True where a pixel counts.
        grid_size: At most this many cells along each axis.

    Returns:
        Mean depth (N, h, w), 0 in cells without a valid pixel, and the share (N, h, w) of valid
        pixels.
    """
    kernel = [-(-side // grid_size) for side in depth.shape[-2:]]  # rounded up
    share = F.avg_pool2d(mask.to(depth.dtype), kernel, ceil_mode=True)
    total = F.avg_pool2d(torch.where(mask, depth, 0), kernel, ceil_mode=True)
    mean = torch.where(share > 0, total / torch.where(share > 0, share, 1), 0)
    return mean[:, 0], share[:, 0]


def cell_positions(
    side: int, grid_size: int, diagonal: float, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Return the centres of the cells along an axis of ``side`` pixels, divided by ``diagonal``."""
    kernel = -(-side // grid_size)
    starts = torch.arange(0, side, kernel, device=device, dtype=dtype)
    return (starts + (starts + kernel).clamp(max=side)) / (2 * diagonal)


def optimal_transport_loss(
    pred: Tensor,
    target: Tensor,
    mask: Tensor,
    grid_size: int = 32,
    epsilon: float = 0.01,
    iterations: int = 50,
) -> Tensor:
    """Return the transport cost of moving predicted depth across the image to the ground truth.

    Both maps are averaged to at most ``grid_size`` x ``grid_size`` cells and scaled to sum 1, so
    the loss compares the distribution of depth over the image, not its scale. Cells without ground
    truth are dropped from both.

    Args:
        pred: Predicted depth in metres, (N, 1, H, W); negative values count as zero.
        target: Measured depth in metres, same shape.
        mask: Boolean, same shape; True where ``target`` counts.
        grid_size: Cells along each axis, at most.
        epsilon: Entropic regularisation; the cost is in units of the squared diagonal of the map.
        iterations: Iterations of :func:`sinkhorn_divergence`.

    Returns:
        Scalar, the mean over images that have ground truth; zero without gradient where none has.
        At least float32.

    Reference: Improving Depth Gradient Continuity in Transformers,
    https://arxiv.org/abs/2308.08333, states the idea; grid, cost, debiasing and epsilon are
    decisions of this toolbox.
    """
    dtype = torch.promote_types(pred.dtype, torch.float32)
    height, width = pred.shape[-2:]
    diagonal = (height**2 + width**2) ** 0.5
    with torch.autocast(pred.device.type, enabled=False):
        pred_cells, _ = pool_to_cells(pred.to(dtype).clamp(min=0), mask, grid_size)  # (N, h, w)
        target_cells, _ = pool_to_cells(target.to(dtype), mask, grid_size)
        pred_total = pred_cells.sum(dim=(1, 2))
        target_total = target_cells.sum(dim=(1, 2))
        pred_mass = pred_cells / pred_total.clamp(min=1e-6)[:, None, None]
        target_mass = target_cells / target_total.clamp(min=1e-6)[:, None, None]
        rows = cell_positions(height, grid_size, diagonal, pred.device, dtype)
        columns = cell_positions(width, grid_size, diagonal, pred.device, dtype)
        costs = sinkhorn_divergence(pred_mass, target_mass, rows, columns, epsilon, iterations)
        has_mass = (pred_total > 1e-6) & (target_total > 1e-6)
        return torch.where(has_mass, costs, 0).sum() / has_mass.sum().clamp(min=1)


@MODELS.register_module()
class OptimalTransportDepthLoss(nn.Module):
    """Weighted :func:`optimal_transport_loss` (OTDL), in addition to a loss on metric depth.

    Args:
        loss_weight: Factor of the loss, for a SILog of weight 1 beside it. To move a relative error
            e of wavelength l (in diagonals) costs about (e * l / (2 * pi))^2. 40, which is
            (2 * pi)^2, makes an error as wide as the image count by its square, as in the sum below
            SILog's root; the gradient is 0.1 to 0.4 of SILog's.
        grid_size: Cells along each axis, at most.
        epsilon: Entropic regularisation, in units of the squared diagonal.
        iterations: Sinkhorn iterations, a fixed number.

    Raises:
        ValueError: If an argument is not positive.
    """

    def __init__(
        self,
        loss_weight: float = 40.0,
        grid_size: int = 32,
        epsilon: float = 0.01,
        iterations: int = 50,
    ) -> None:
        super().__init__()
        if min(grid_size, epsilon, iterations) <= 0:
            raise ValueError(
                'OptimalTransportDepthLoss: grid_size, epsilon and iterations must be positive, '
                f'got {grid_size}, {epsilon} and {iterations}'
            )
        self.loss_weight = loss_weight
        self.grid_size, self.epsilon, self.iterations = grid_size, epsilon, iterations

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        loss = optimal_transport_loss(
            pred, target, mask, self.grid_size, self.epsilon, self.iterations
        )
        return self.loss_weight * loss
