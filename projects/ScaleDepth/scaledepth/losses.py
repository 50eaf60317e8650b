"""Scene-class loss of ScaleDepth as published."""

from torch import Tensor

from depth.models.losses import SceneClassLoss
from depth.registry import MODELS


@MODELS.register_module()
class DoubleSoftmaxClassLoss(SceneClassLoss):
    """Cross-entropy that takes probabilities for logits, as published: softmax is applied twice.

    It can never come near zero (0.0336 for a certain class of 28, with weight 0.01), and a certain
    wrong class gets no gradient. :class:`~depth.models.losses.SceneClassLoss` is the corrected
    form.
    """

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted loss of logits (N, K) against class numbers (N,), mean over images."""
        return super().forward(logits.float().softmax(dim=1), labels)
