"""Base class of heads that predict depth after several decoder layers."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from depth.registry import MODELS
from depth.structures import DepthDataSample

from ..losses.scene_class_loss import class_accuracy, scene_labels
from .base_depth_head import BaseDepthHead


class QueryDepthHead(BaseDepthHead):
    """Base class of heads with auxiliary predictions after earlier decoder layers.

    The last prediction is the result. :meth:`forward` returns, besides ``depth``, tensors that
    stack M predictions along dimension 1, and ``layers``, the numbers of these predictions, the
    last one last.

    Args:
        num_predictions: Number of decoder layers that can predict.
        aux_layers: Numbers of the predictions that are trained besides the last one.
        aux_weights: Weight of their losses on depth.
        num_classes: Scene classes K; 0 for none.
        loss_class: Config of the loss on scene classes; with ``loss_weight=0`` they are not
            learned, and samples need none.
        **kwargs: Depth range, ``align_corners`` and ``loss_decode``, see :class:`BaseDepthHead`.

    Raises:
        ValueError: If the auxiliary predictions are not earlier ones with one weight each.
    """

    def __init__(
        self,
        num_predictions: int,
        aux_layers: Sequence[int] = (2, 5),
        aux_weights: Sequence[float] = (0.25, 0.5),
        num_classes: int = 0,
        loss_class: dict | None = None,
        **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.last_layer = num_predictions - 1
        if len(aux_layers) != len(aux_weights) or any(
            not 0 <= layer < self.last_layer for layer in aux_layers
        ):
            raise ValueError(
                f'{type(self).__name__}: aux_layers are below {self.last_layer} and have one '
                f'weight each, got {list(aux_layers)} with {list(aux_weights)}'
            )
        self.aux_weights = dict(zip(aux_layers, aux_weights, strict=True))
        self.num_classes = num_classes
        self.loss_class = (
            MODELS.build(loss_class or dict(type='SceneClassLoss')) if num_classes else None
        )
        self.learns_classes = bool(num_classes) and self.loss_class.loss_weight > 0

    def predicting_layers(self, all_layers: bool) -> list[int]:
        """Return the numbers of the predicting layers: all, trained, or in eval mode the last."""
        if all_layers:
            return list(range(self.last_layer + 1))
        if self.training:
            return [*self.aux_weights, self.last_layer]
        return [self.last_layer]

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of all predictions against ``gt_depth`` (N, 1, H, W), metres, 0 = none.

        The losses of the last prediction are ``loss_depth`` and so on, those of auxiliary
        prediction i are ``aux_loss_depth_i``. With classes, ``top1`` and ``top5`` are the
        accuracies of the last prediction in per cent.
        """
        labels = None
        if self.learns_classes:
            labels = scene_labels(data_samples, self.num_classes, gt_depth.device)
        losses = {}
        for index, layer in enumerate(outputs['layers']):
            values = self.depth_losses(
                outputs, index, gt_depth, data_samples, layer == self.last_layer
            )
            weight = self.aux_weights.get(layer, 1.0)
            values = {name: weight * value for name, value in values.items()}
            if labels is not None:
                # As published, auxiliary losses on classes have the full weight.
                values['class'] = self.loss_class(outputs['class_logits'][:, index], labels)
            for name, value in values.items():
                key = f'loss_{name}' if layer == self.last_layer else f'aux_loss_{name}_{layer}'
                losses[key] = value
        if labels is not None:
            logits = outputs['class_logits'][:, -1]
            losses['top1'] = class_accuracy(logits, labels, 1)
            losses['top5'] = class_accuracy(logits, labels, 5)
        return losses

    @abstractmethod
    def depth_losses(
        self,
        outputs: dict[str, Tensor],
        index: int,
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
        is_last: bool,
    ) -> dict[str, Tensor]:
        """Return the losses by name of one prediction.

        Args:
            outputs: Result of :meth:`forward`.
            index: Position of the prediction in dimension 1 of the stacked outputs.
            gt_depth: (N, 1, H, W) in metres, 0 = no ground truth.
            data_samples: The batch's samples.
            is_last: Whether this is the prediction of the last decoder layer.
        """

    def losses_on_depth(self, depth: Tensor, gt_depth: Tensor) -> dict[str, Tensor]:
        """Return the terms of ``loss_decode`` for depth (N, h, w), resized to ``gt_depth``."""
        return self.decode_losses(
            self.resize(depth.unsqueeze(1), gt_depth.shape[-2:]), gt_depth, gt_depth > 0
        )


def stack_predictions(predictions: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Stack the tensors (N, ...) of M predictions by name to (N, M, ...)."""
    stacked = {}
    for name in predictions[0]:
        stacked[name] = torch.stack([prediction[name] for prediction in predictions], dim=1)
    return stacked
