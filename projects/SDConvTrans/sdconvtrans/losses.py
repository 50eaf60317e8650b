"""Losses of SD-ConvTrans on depth, its gradient and its normals."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.device_constants import device_constant
from depth.models.layers import normals_from_depth
from depth.registry import MODELS

SOBEL_Y = ((1.0, 2.0, 1.0), (0.0, 0.0, 0.0), (-1.0, -2.0, -1.0))


@MODELS.register_module()
class RMSELogLoss(nn.Module):
    """Root of the mean squared error of log depth over the batch.

    Args:
        loss_weight: Factor of the loss.
        eps: Added inside the logarithms, in metres.
    """

    def __init__(self, loss_weight: float = 1.0, eps: float = 1e-4) -> None:
        super().__init__()
        self.loss_weight, self.eps = loss_weight, eps

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        # Masked pixels become 1 in both maps, so that their error is 0 and their gradient finite.
        log_target = torch.log(torch.where(mask, target, 1) + self.eps)
        log_pred = torch.log(torch.where(mask, pred, 1) + self.eps)
        mean = (log_target - log_pred).square().sum() / mask.sum().clamp(min=1)
        # The slope of a root is infinite at 0.
        return self.loss_weight * mean.clamp(min=1e-12).sqrt()


def sobel(depth: Tensor, padding: str = 'zeros') -> Tensor:
    """Return the Sobel maps (N, 2, H, W) of depth (N, 1, H, W): by y, then by x.

    The filters are published with reversed signs: depth that grows downwards or to the right is
    negative.

    Args:
        depth: Any unit.
        padding: ``'zeros'`` (published: the border looks like a cliff) or ``'replicate'``.
    """
    by_y = device_constant(SOBEL_Y, depth.device, depth.dtype)
    padded = F.pad(depth, (1, 1, 1, 1), mode='constant' if padding == 'zeros' else padding)
    return F.conv2d(padded, torch.stack([by_y, by_y.t()]).unsqueeze(1))


def all_neighbours_valid(mask: Tensor) -> Tensor:
    """Return the pixels of ``mask`` (N, 1, H, W) whose 3x3 window is True; outside counts as True."""
    return F.max_pool2d((~mask).float(), 3, stride=1, padding=1) == 0


class _SobelLoss(nn.Module):
    """Base of the losses on Sobel maps.

    Args:
        loss_weight: Factor of the loss.
        unit: Depth is measured in units of so many metres; published 10.
        padding: See :func:`sobel`.

    Raises:
        ValueError: If ``padding`` is unknown.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        unit: float = 10.0,
        padding: str = 'zeros',
    ) -> None:
        super().__init__()
        if padding not in ('zeros', 'replicate'):
            raise ValueError(
                f"{type(self).__name__}: padding is 'zeros' or 'replicate', got {padding!r}",
            )
        self.loss_weight, self.unit, self.padding = loss_weight, unit, padding

    def maps(self, pred: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the Sobel maps (N, 2, H, W) of both depths, and their mask (N, 1, H, W).

        They are zero where a neighbour is not valid.
        """
        valid = all_neighbours_valid(mask)
        pred_map = sobel(torch.where(mask, pred, 0) / self.unit, self.padding)
        target_map = sobel(torch.where(mask, target, 0) / self.unit, self.padding)
        return torch.where(valid, pred_map, 0), torch.where(valid, target_map, 0), valid


@MODELS.register_module()
class SobelGradientLoss(_SobelLoss):
    """Mean absolute difference of the Sobel maps, over both directions."""

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        pred_map, target_map, valid = self.maps(pred, target, mask)
        difference = (target_map - pred_map).abs().sum()
        return self.loss_weight * difference / (2 * valid.sum()).clamp(min=1)


@MODELS.register_module()
class SobelNormalLoss(_SobelLoss):
    """One minus the cosine between whole Sobel maps, averaged over images and directions.

    Published as a loss on surface normals, though no normal is formed: a map is one long vector
    here. For normals of pixels see :class:`SurfaceNormalLoss`.
    """

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W)."""
        pred_map, target_map, valid = self.maps(pred, target, mask)
        cosines = F.cosine_similarity(pred_map.flatten(2), target_map.flatten(2), dim=2)  # (N, 2)
        # Images without a single valid pixel are left out of the mean.
        has_pixels = valid.flatten(1).any(dim=1, keepdim=True).expand_as(cosines)
        total = torch.where(has_pixels, 1 - cosines, 0).sum()
        return self.loss_weight * total / has_pixels.sum().clamp(min=1)


@MODELS.register_module()
class SurfaceNormalLoss(_SobelLoss):
    """One minus the cosine between the normals of each pixel, averaged over pixels.

    Args:
        loss_weight: Factor of the loss.
        from_intrinsics: Normals of the surface in space, from the sample's camera; otherwise (-gx,
            -gy, 1) from the gradients, which depends on the unit of depth and on the size of the
            map.
        unit: See :class:`SobelGradientLoss`; without intrinsics only.
        padding: Of the gradients; ``'replicate'`` keeps a plane's border a plane's.
    """

    def __init__(
        self,
        loss_weight: float = 1.0,
        from_intrinsics: bool = False,
        unit: float = 10.0,
        padding: str = 'replicate',
    ) -> None:
        super().__init__(loss_weight, unit, padding)
        self.needs_intrinsics = from_intrinsics

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        mask: Tensor,
        intrinsics: Tensor | None = None,
    ) -> Tensor:
        """Return the weighted loss of depth in metres, all (N, 1, H, W).

        ``intrinsics`` (N, 3, 3) are in pixels of these maps.
        """
        if self.needs_intrinsics:
            pred_normals = normals_from_depth(torch.where(mask, pred, 1), intrinsics)
            target_normals = normals_from_depth(torch.where(mask, target, 1), intrinsics)
            valid = all_neighbours_valid(mask)
        else:
            pred_map, target_map, valid = self.maps(pred, target, mask)
            pred_normals = _gradient_normals(pred_map)
            target_normals = _gradient_normals(target_map)
        cosine = (pred_normals * target_normals).sum(dim=1, keepdim=True)
        return self.loss_weight * torch.where(valid, 1 - cosine, 0).sum() / valid.sum().clamp(min=1)


def _gradient_normals(gradients: Tensor) -> Tensor:
    """Return unit normals (-gx, -gy, 1) of Sobel maps (N, 2, H, W): by y, then by x, in units of eight slopes."""
    by_y, by_x = gradients.unbind(dim=1)
    # This module's filters run against the axes, so a slope is minus a map over eight.
    return F.normalize(torch.stack([by_x / 8, by_y / 8, torch.ones_like(by_x)], dim=1), dim=1)
