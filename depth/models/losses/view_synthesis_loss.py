"""View synthesis loss of self-supervised training, as in monodepth2.

Reference: Digging Into Self-Supervised Monocular Depth Estimation, https://arxiv.org/abs/1806.01260
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from depth.models.layers import resize_map, synthesize_view
from depth.registry import MODELS
from depth.structures import ViewBatch

from .photometric_loss import photometric_error
from .smoothness_loss import edge_aware_smoothness


def best_candidate(errors: Sequence[Tensor]) -> Tensor:
    """Return the index (N, 1, H, W) of the smallest of several error maps (N, 1, H, W).

    The first of equal maps wins.
    """
    return torch.cat(list(errors), dim=1).argmin(dim=1, keepdim=True)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over the pixels of a boolean mask, 0 if it is empty; both of one shape."""
    return torch.where(mask, values, 0).sum() / (mask.sum() + 1e-7)


@MODELS.register_module()
class ViewSynthesisLoss(nn.Module):
    """Minimum reprojection error over the source views, at full resolution for every output scale.

    Pixels that look alike in the unwarped source view have no parallax (a car ahead at the same
    speed, the sky) and carry no information about depth; ``auto_mask`` leaves them out.

    Args:
        ssim_weight: Weight of the structural term, see :func:`photometric_error`.
        auto_mask: Leave out pixels at which the unwarped source has the smaller error.
        auto_mask_noise: Standard deviation of the noise that breaks ties between the two.
        smoothness_weight: Weight of the edge-aware smoothness of output i, divided by 2**i.

    Reference: Digging Into Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/1806.01260.
    """

    def __init__(
        self,
        ssim_weight: float = 0.85,
        auto_mask: bool = True,
        auto_mask_noise: float = 1e-5,
        smoothness_weight: float = 1e-3,
    ) -> None:
        super().__init__()
        self.ssim_weight = ssim_weight
        self.auto_mask = auto_mask
        self.auto_mask_noise = auto_mask_noise
        self.smoothness_weight = smoothness_weight

    def forward(
        self, sigmoids: Sequence[Tensor], views: ViewBatch, to_depth: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        """Return ``loss_photometric`` and, if weighted, ``loss_smooth``: means over the outputs.

        Args:
            sigmoids: The head's outputs (N, 1, h, w), any sizes.
            views: Target, sources and their geometry.
            to_depth: The head's map from sigmoids to metres.
        """
        # Coarse outputs are compared at full resolution, which reduces texture-copy artefacts.
        maps = [resize_map(sigmoid.float(), views.target.shape[-2:]) for sigmoid in sigmoids]
        errors = [self.reprojection_error(to_depth(values), views) for values in maps]
        identity = self.identity_error(views)
        photometric = [masked_mean(error, self.explained(error, identity)) for error in errors]
        return dict(loss_photometric=_mean(photometric), **self.smoothness(maps, views))

    def reprojection_error(self, depth: Tensor, views: ViewBatch) -> Tensor:
        """Return the smallest error (N, 1, H, W) over the views synthesised with ``depth``."""
        errors = []
        for source, transform, intrinsics in zip(
            views.sources, views.transforms, views.source_intrinsics, strict=True
        ):
            synthesized = synthesize_view(source, depth, views.intrinsics, transform, intrinsics)
            errors.append(photometric_error(synthesized, views.target, self.ssim_weight))
        return torch.cat(errors, dim=1).amin(dim=1, keepdim=True)

    def identity_error(self, views: ViewBatch) -> Tensor | None:
        """Return the smallest error (N, 1, H, W) of unwarped sources, or None if not masking."""
        if not self.auto_mask:
            return None
        errors = [
            photometric_error(source, views.target, self.ssim_weight) for source in views.sources
        ]
        error = torch.cat(errors, dim=1).amin(dim=1, keepdim=True)
        return error + self.auto_mask_noise * torch.randn_like(error)

    @staticmethod
    def explained(error: Tensor, identity: Tensor | None) -> Tensor:
        """Return the mask of pixels at which the synthesised view beats the unwarped source.

        Without ``identity`` all pixels count.
        """
        if identity is None:
            return torch.ones_like(error, dtype=torch.bool)
        return best_candidate([error, identity]) == 0

    def smoothness(self, maps: Sequence[Tensor], views: ViewBatch) -> dict[str, Tensor]:
        """Return ``loss_smooth`` of full-size maps, or an empty dict if its weight is zero."""
        if not self.smoothness_weight:
            return {}
        terms = [
            edge_aware_smoothness(values, views.target) / 2**index
            for index, values in enumerate(maps)
        ]
        return dict(loss_smooth=self.smoothness_weight * _mean(terms))


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()
