"""EPCDepth losses: view synthesis, depth hints, and distillation of the best scale per pixel."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from depth.models.layers import resize_map
from depth.models.losses import ViewSynthesisLoss
from depth.models.losses.view_synthesis_loss import best_candidate, masked_mean
from depth.registry import MODELS
from depth.structures import ViewBatch

# Added to the photometric error of pixels without a hint, so that a hint never wins there.
NO_HINT_PENALTY = 1000.0
DECODER_OUTPUTS = 5  # of the head's ten; the other five are the encoder's


def log_l1(value: Tensor, target: Tensor) -> Tensor:
    """Return ``log(|value - target| + 1)``, element by element."""
    return (value - target).abs().log1p()


def select_best(maps: Sequence[Tensor], errors: Sequence[Tensor]) -> Tensor:
    """Return per pixel the map (N, 1, H, W) of the lowest error, detached; the first wins ties."""
    stacked = torch.cat([values.detach() for values in maps], dim=1)
    return stacked.gather(1, best_candidate([error.detach() for error in errors]))


@MODELS.register_module()
class EPCDepthLoss(ViewSynthesisLoss):
    """View synthesis with depth hints and selective post-processing distillation.

    Where the view warped with the hint has a lower photometric error than both the view warped with
    the prediction and the unwarped view, the prediction is also regressed to the hint. The
    distillation label of a pixel is the output of lowest photometric error, separately among the
    decoder's and the encoder's outputs.

    Args:
        hint_weight: Weight of the hint loss; it needs samples with ``depth_hint`` unless it is 0.
        hint_unit: Metres of 1 in ``log(|hint - depth| + 1)``; 5.4 as published, where the baseline
            of 0.54 m is 0.1.
        distill_weight: Weight of the distillation, 0 for none.
        smoothness_weight: See :class:`ViewSynthesisLoss`; published 0.
        **kwargs: ``ssim_weight``, ``auto_mask`` and ``auto_mask_noise``.

    Raises:
        ValueError: In ``forward``, if hints are weighted but the batch has none.

    Reference: https://arxiv.org/abs/2109.12484; hints: Self-Supervised Monocular Depth Hints,
    https://arxiv.org/abs/1909.09051.
    """

    def __init__(
        self,
        hint_weight: float = 1.0,
        hint_unit: float = 5.4,
        distill_weight: float = 1.0,
        smoothness_weight: float = 0.0,
        **kwargs,
    ) -> None:
        super().__init__(smoothness_weight=smoothness_weight, **kwargs)
        self.hint_weight = hint_weight
        self.hint_unit = hint_unit
        self.distill_weight = distill_weight

    def forward(
        self,
        sigmoids: Sequence[Tensor],
        views: ViewBatch,
        to_depth: Callable[[Tensor], Tensor],
    ) -> dict[str, Tensor]:
        """Return ``loss_photometric`` and, as weighted, ``loss_hint``, ``loss_distill``, ``loss_smooth``.

        All are means over the outputs; see :meth:`ViewSynthesisLoss.forward` for the arguments.
        """
        maps = [resize_map(sigmoid.float(), views.target.shape[-2:]) for sigmoid in sigmoids]
        depths = [to_depth(values) for values in maps]
        errors = [self.reprojection_error(depth, views) for depth in depths]
        identity, hint = self.identity_error(views), self.hint_error(views)
        winners = [self.winner(error, identity, hint) for error in errors]
        # Auto-masking: pixels that the unwarped view explains best are static and left out.
        photometric = [
            masked_mean(error, winner != 1) for error, winner in zip(errors, winners, strict=True)
        ]
        losses = dict(
            loss_photometric=torch.stack(photometric).mean(),
            **self.smoothness(maps, views),
        )
        if hint is not None:
            terms = []
            for depth, winner in zip(depths, winners, strict=True):
                terms.append(self.hint_term(depth, views.depth_hint, winner))
            losses['loss_hint'] = self.hint_weight * torch.stack(terms).mean()
        if self.distill_weight:
            losses['loss_distill'] = self.distill_weight * self.distillation(maps, errors)
        return losses

    @staticmethod
    def winner(error: Tensor, identity: Tensor | None, hint: Tensor | None) -> Tensor:
        """Return the candidate (N, 1, H, W) of least error: 0 prediction, 1 unwarped view, 2 hint."""
        infinite = torch.full_like(error, torch.inf)  # a missing candidate never wins
        identity = infinite if identity is None else identity
        hint = infinite if hint is None else hint
        return best_candidate([error.detach(), identity, hint])

    def hint_error(self, views: ViewBatch) -> Tensor | None:
        """Return the photometric error (N, 1, H, W) of views warped with hints, large without one."""
        if not self.hint_weight:
            return None
        if views.depth_hint is None:
            raise ValueError(
                'view_loss.hint_weight is not 0 but the samples have no depth_hint; add '
                'LoadDepthHint to the train pipeline and hint_root to its data set, or set '
                'hint_weight=0',
            )
        error = self.reprojection_error(views.depth_hint, views)
        return error + NO_HINT_PENALTY * (views.depth_hint <= 0)

    def hint_term(self, depth: Tensor, hint: Tensor, winner: Tensor) -> Tensor:
        """Return the mean log-L1 distance of depth and hint (N, 1, H, W), metres, where the hint wins."""
        return masked_mean(log_l1(depth / self.hint_unit, hint / self.hint_unit), winner == 2)

    @staticmethod
    def distillation(maps: Sequence[Tensor], errors: Sequence[Tensor]) -> Tensor:
        """Return the mean distance of all full-size sigmoids from their group's label."""
        terms = []
        for group in (slice(None, DECODER_OUTPUTS), slice(DECODER_OUTPUTS, None)):
            if maps[group]:
                label = select_best(maps[group], errors[group])
                terms += [log_l1(values, label).mean() for values in maps[group]]
        return torch.stack(terms).mean()
