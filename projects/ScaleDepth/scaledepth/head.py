"""Bin queries predict relative depth, scale queries the scale of the scene."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.models.heads import QueryDepthHead
from depth.models.layers import (
    DeformablePixelDecoder,
    MaskedQueryDecoder,
    QueryState,
    bin_centers_from_edges,
    bin_edges_from_widths,
    depth_from_bins,
)
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .text import read_class_embeddings

SMALLEST_SCALE = 0.1


@MODELS.register_module()
class ScaleDepthHead(QueryDepthHead):
    """Metric depth is the relative depth of a scene, between about 0 and 1, times its scale in metres.

    The scale queries as they leave a decoder layer are one vector. It gives the scale and, in training, is compared
    with text embeddings of scene categories. Depth is not clamped: no depth range goes into it.

    Args:
        in_channels: Channels of four levels at strides 4 to 32.
        channels: Width E of everything inside; ``num_scale_queries`` times E is the width of the text embeddings.
        num_bins: Bins D, one query each.
        num_scale_queries: Queries that tell the scale.
        num_classes: Scene categories K; 0 leaves the comparison with texts out.
        class_embeddings: File of text embeddings (K, num_scale_queries * E), see ``tools/make_class_embeddings.py``.
            Only training needs it; a checkpoint brings its own.
        normalize_similarity: Scale the query vector to length 1 before the comparison. Published: False, so that the
            class is nearly always certain.
        with_scale: Without it bins share out ``min_depth`` to ``max_depth`` in metres.
        decoder: Further arguments of :class:`~depth.models.layers.MaskedQueryDecoder`.
        pixel_decoder: Further arguments of :class:`~depth.models.layers.DeformablePixelDecoder`.
        min_depth: First bin edge, relative (or in metres ``with_scale=False``).
        max_depth: Metres; needed ``with_scale=False`` only.
        **kwargs: Auxiliary layers and losses, see :class:`~depth.models.heads.QueryDepthHead`.

    Raises:
        ValueError: If ``max_depth`` is missing, or the embeddings have another shape.

    Reference: ScaleDepth, https://arxiv.org/abs/2407.08187
    """

    OPTIONAL_STATE = ('class_embeddings',)
    TEMPERATURE = 100.0

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        num_bins: int = 64,
        num_scale_queries: int = 3,
        num_classes: int = 27,
        class_embeddings: str | None = None,
        normalize_similarity: bool = False,
        with_scale: bool = True,
        decoder: dict | None = None,
        pixel_decoder: dict | None = None,
        min_depth: float = 1e-3,
        max_depth: float | None = None,
        **kwargs,
    ) -> None:
        decoder = dict(num_layers=9) | (decoder or {})
        kwargs = dict(align_corners=False) | kwargs
        if not with_scale and max_depth is None:
            raise ValueError('ScaleDepthHead: without a scale, bins need max_depth in metres')
        super().__init__(
            decoder['num_layers'],
            num_classes=num_classes,
            min_depth=min_depth,
            max_depth=float('inf') if max_depth is None else max_depth,
            **kwargs,
        )
        self.in_channels, self.num_scale_queries = list(in_channels), num_scale_queries
        self.with_scale, self.normalize_similarity = with_scale, normalize_similarity
        self.pixel_decoder = DeformablePixelDecoder(in_channels, channels, **(pixel_decoder or {}))
        self.decoder = MaskedQueryDecoder(channels, num_bins + num_scale_queries, num_scale_queries, **decoder)
        self.bins_embed = nn.Linear(channels, 1)
        width = num_scale_queries * channels
        self.scale_predictor = nn.Linear(width, 1) if with_scale else None
        self.has_embeddings = False
        if num_classes:
            self.register_buffer('class_embeddings', torch.zeros(num_classes, width))
            if class_embeddings is not None and Path(class_embeddings).is_file():
                self.class_embeddings.copy_(read_class_embeddings(class_embeddings, (num_classes, width)))
                self.has_embeddings = True
            self.embeddings_file = class_embeddings

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.has_embeddings |= f'{prefix}class_embeddings' in state_dict

    def forward(
        self, feats: Sequence[Tensor], data_samples: list[DepthDataSample] | None = None, all_layers: bool = False
    ) -> dict[str, Tensor]:
        """Map features, finest (N, C, h, w) first, to depth in metres.

        Args:
            feats: Four levels.
            data_samples: Not used.
            all_layers: Predict after every decoder layer.

        Returns:
            ``depth`` and ``relative_depth`` (N, 1, h, w), ``scale`` (N, 1) in metres. Stacks over M predicting layers:
            ``layer_depths`` (N, M, h, w), relative; ``scales`` (N, M); ``bin_edges`` (N, M, D + 1); ``bin_logits``
            (N, M, D); with classes ``class_logits`` (N, M, K); and ``layers``, their numbers.
        """
        memories, pixel_embeddings = self.pixel_decoder(feats)
        states = self.decoder(memories, pixel_embeddings)[1:]  # nothing is predicted before the first layer
        layers = self.predicting_layers(all_layers)
        predictions = [self._predict(states[layer]) for layer in layers]
        outputs = {name: torch.stack([one[name] for one in predictions], dim=1) for name in predictions[0]}
        relative, scale = outputs['layer_depths'][:, -1:], outputs['scales'][:, -1:]
        return dict(
            outputs, depth=relative * scale[:, :, None, None], relative_depth=relative, scale=scale, layers=layers
        )

    def _predict(self, state: QueryState) -> dict[str, Tensor]:
        bin_logits = self.bins_embed(state.normed).squeeze(-1).float()
        first, length = (self.min_depth, 1.0) if self.with_scale else (self.min_depth, self.max_depth - self.min_depth)
        edges = bin_edges_from_widths(bin_logits.softmax(dim=1), first, first + length)
        probs = state.mask_logits.float().softmax(dim=1)
        depth = depth_from_bins(probs, bin_centers_from_edges(edges))
        scene = state.queries[:, -self.num_scale_queries :].flatten(1)
        outputs = dict(layer_depths=depth[:, 0], bin_edges=edges, bin_logits=bin_logits, scales=self._scale(scene))
        if self.num_classes:
            outputs['class_logits'] = self._similarity(scene)
        return outputs

    def _scale(self, scene: Tensor) -> Tensor:
        """Return the scale (N,) in metres of scene vectors (N, num_scale_queries * E)."""
        if self.scale_predictor is None:
            return scene.new_ones(len(scene), dtype=torch.float32)
        return self.scale_predictor(scene).float().relu()[:, 0] + SMALLEST_SCALE

    def init_depth_bias(self, depth: float) -> None:
        """Start at a typical depth in metres, so that the ReLU before the scale lets gradients through.

        Relative depth starts near 0.5, with equal bins and probabilities. Bins over a fixed range stay as they are.
        """
        if self.scale_predictor is None:
            return
        with torch.no_grad():
            self.scale_predictor.weight.mul_(0.1)
            self.scale_predictor.bias.fill_(2 * depth)

    def _similarity(self, scene: Tensor) -> Tensor:
        scene = F.normalize(scene, dim=1) if self.normalize_similarity else scene
        return self.TEMPERATURE * scene.float() @ self.class_embeddings.float().t()

    def clamp(self, depth: Tensor) -> Tensor:
        """Return depth as it is: the scale is predicted, there is no range to cut it to."""
        return depth if self.with_scale else super().clamp(depth)

    def loss(
        self, outputs: dict[str, Tensor], gt_depth: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the losses of all predicting layers, see :class:`~depth.models.heads.QueryDepthHead`.

        Raises:
            ValueError: If there are classes but no text embeddings.
        """
        if self.num_classes and not self.has_embeddings:
            raise ValueError(
                f'ScaleDepthHead: training compares scenes with {self.num_classes} text embeddings, but '
                f'{self.embeddings_file} does not exist; make it by '
                '"python projects/ScaleDepth/tools/make_class_embeddings.py", name a published file in '
                'model.decode_head.class_embeddings, or set model.decode_head.num_classes=0'
            )
        return super().loss(outputs, gt_depth, data_samples)

    def depth_losses(
        self,
        outputs: dict[str, Tensor],
        place: int,
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
        is_last: bool,
    ) -> dict[str, Tensor]:
        """Return the loss on metric depth."""
        metric = outputs['layer_depths'][:, place] * outputs['scales'][:, place, None, None]
        return self.losses_on_depth(metric, gt_depth)
