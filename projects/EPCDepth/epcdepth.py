"""EPCDepth estimator: self-supervised depth from stereo pairs, with data grafting."""

from torch import Tensor

from depth.models.estimators import SelfSupervisedEstimator
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .data_grafting import graft


@MODELS.register_module()
class EPCDepth(SelfSupervisedEstimator):
    """Self-supervised estimator trained on grafted batches.

    Args:
        train_cfg: ``graft``: graft batches, see :mod:`.data_grafting`; on by default.
        **kwargs: See :class:`SelfSupervisedEstimator`.

    Reference: Excavating the Potential Capacity of Self-Supervised Monocular Depth Estimation,
    https://arxiv.org/abs/2109.12484.
    """

    TRAIN_OPTIONS = ('graft',)

    def __init__(self, *args, train_cfg: dict | None = None, **kwargs) -> None:
        super().__init__(*args, train_cfg=dict(graft=True) | dict(train_cfg or {}), **kwargs)

    def loss(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> dict[str, Tensor]:
        """Return the losses of normalised images (N, 3, H, W), grafted if asked to."""
        views = self.collect_views(data_samples)
        if self.train_cfg['graft']:
            inputs, views = graft(inputs, views)
        return self.view_losses(inputs, views)
