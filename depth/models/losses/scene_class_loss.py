"""Scene classification: cross-entropy, labels of samples, accuracy."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.registry import MODELS
from depth.structures import DepthDataSample


@MODELS.register_module()
class SceneClassLoss(nn.Module):
    """Weighted cross-entropy between class logits and the scene's class.

    Args:
        loss_weight: Factor of the loss.
    """

    def __init__(self, loss_weight: float = 0.01) -> None:
        super().__init__()
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the weighted mean loss of logits (N, K) against class numbers (N,)."""
        return self.loss_weight * F.cross_entropy(logits.float(), labels)


def scene_labels(
    data_samples: Sequence[DepthDataSample], num_classes: int, device: torch.device
) -> Tensor:
    """Return the samples' ``scene_class`` as class numbers (N,).

    Raises:
        ValueError: If a sample has none or it is not below ``num_classes``.
    """
    labels = [sample.get('scene_class') for sample in data_samples or ()]
    for sample, label in zip(data_samples or (), labels, strict=True):
        if label is None or not 0 <= label < num_classes:
            raise ValueError(
                f'{sample.get("img_path", "a sample")}: the head learns {num_classes} scene '
                'classes, but scene_class '
                f'is {label}; use a data set that names scenes, or switch the classification off '
                '(num_classes=0)'
            )
    # Picked on the device: a tensor made of the numbers would be copied there, and waited for.
    classes = torch.arange(num_classes, device=device)
    return torch.stack([classes[label] for label in labels])


@torch.no_grad()
def class_accuracy(logits: Tensor, labels: Tensor, top: int = 1) -> Tensor:
    """Return the top-``top`` accuracy in per cent of logits (N, K) against class numbers (N,)."""
    best = logits.topk(min(top, logits.shape[1]), dim=1).indices
    return 100 * (best == labels.unsqueeze(1)).any(dim=1).float().mean()
