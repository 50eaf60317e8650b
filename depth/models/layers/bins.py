"""Depth from adaptive bins: widths to edges, edges to centres, expectation over the centres."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .precision import without_autocast


def bin_edges_from_widths(bin_widths: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Return the edges (N, D + 1) in metres of bins that divide the depth range.

    Args:
        bin_widths: Shares (N, D) of the range, not negative; each row sums to 1.
        min_depth: First edge, in metres.
        max_depth: Last edge, in metres.

    Reference: AdaBins, https://arxiv.org/abs/2011.14141
    """
    # Metres are summed in float32, also under autocast: half precision adds up rounding errors.
    widths = (max_depth - min_depth) * bin_widths.float()
    return F.pad(widths, (1, 0), value=min_depth).cumsum(dim=1)


def bin_centers_from_edges(bin_edges: Tensor) -> Tensor:
    """Return the centres (N, D) of bins with edges (N, D + 1)."""
    return 0.5 * (bin_edges[:, :-1] + bin_edges[:, 1:])


def depth_from_bins(bin_probs: Tensor, bin_centers: Tensor) -> Tensor:
    """Return the expectation (N, 1, h, w) of centres (N, D) under ``bin_probs`` (N, D, h, w)."""
    with without_autocast(bin_probs.device):
        return torch.einsum('ndhw,nd->nhw', bin_probs.float(), bin_centers.float()).unsqueeze(1)
