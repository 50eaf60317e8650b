"""ScaleDepth head: bin queries predict relative depth, scale queries the scale of the scene."""

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

from .text import CATEGORIES, read_class_embeddings

MIN_SCALE = 0.1  # metres, added after the ReLU as published


@MODELS.register_module()
class ScaleDepthHead(QueryDepthHead):
    """Metric depth as relative depth, between about 0 and 1, times the scene's scale in metres.

    The scale queries after a decoder layer are concatenated to one scene vector. A linear layer
    maps it to the scale; in training it is also compared with text embeddings of scene categories.
    Depth is not clamped: no depth range goes into it.

    Args:
        in_channels: Channels of four levels at strides 4 to 32.
        channels: Width E of everything inside; ``num_scale_queries`` times E is the width of the
            text embeddings.
        num_bins: Bins D, one query each.
        num_scale_queries: Queries whose concatenation predicts the scale.
        num_classes: Scene categories K; 0 disables the comparison with texts.
        class_embeddings: File of text embeddings (K, num_scale_queries * E), see
            ``tools/make_class_embeddings.py``. Only training needs it; a checkpoint brings its own.
        normalize_similarity: Scale the query vector to length 1 before the comparison. Published:
            False, so that the class is nearly always certain.
        with_scale: Predict a scale; False: the bins partition ``min_depth`` to ``max_depth`` in
            metres.
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
    scene_classes = tuple(CATEGORIES)  # in the order of the published text embeddings
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
        self.in_channels = list(in_channels)
        self.num_scale_queries = num_scale_queries
        self.with_scale = with_scale
        self.normalize_similarity = normalize_similarity
        self.pixel_decoder = DeformablePixelDecoder(in_channels, channels, **(pixel_decoder or {}))
        self.decoder = MaskedQueryDecoder(
            channels,
            num_bins + num_scale_queries,
            num_scale_queries,
            **decoder,
        )
        self.bins_embed = nn.Linear(channels, 1)
        width = num_scale_queries * channels
        self.scale_predictor = nn.Linear(width, 1) if with_scale else None
        self.has_embeddings = False
        if num_classes:
            self.register_buffer('class_embeddings', torch.zeros(num_classes, width))
            # The file is optional here because inference takes the embeddings from the checkpoint.
            if class_embeddings is not None and Path(class_embeddings).is_file():
                self.class_embeddings.copy_(
                    read_class_embeddings(class_embeddings, (num_classes, width)),
                )
                self.has_embeddings = True
            self.embeddings_file = class_embeddings

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        super()._load_from_state_dict(state_dict, prefix, *args)
        self.has_embeddings |= f'{prefix}class_embeddings' in state_dict

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        all_layers: bool = False,
    ) -> dict[str, Tensor]:
        """Map features, finest (N, C, h, w) first, to depth in metres.

        Args:
            feats: Four levels.
            data_samples: Not used.
            all_layers: Predict after every decoder layer.

        Returns:
            ``depth`` and ``relative_depth`` (N, 1, h, w), ``scale`` (N, 1) in metres. Stacks over M
            predicting layers: ``layer_depths`` (N, M, h, w), relative; ``scales`` (N, M);
            ``bin_edges`` (N, M, D + 1); ``bin_logits`` (N, M, D); with classes ``class_logits`` (N,
            M, K); and ``layers``, their numbers.
        """
        memories, pixel_embeddings = self.pixel_decoder(feats)
        # The first state is that of the untouched queries; the published head predicts nothing from
        # it.
        states = self.decoder(memories, pixel_embeddings)[1:]
        layers = self.predicting_layers(all_layers)
        predictions = [self._predict(states[layer]) for layer in layers]
        outputs = {}
        for name in predictions[0]:
            outputs[name] = torch.stack([prediction[name] for prediction in predictions], dim=1)
        relative_depth = outputs['layer_depths'][:, -1:]  # (N, 1, h, w)
        scale = outputs['scales'][:, -1:]  # (N, 1)
        return dict(
            outputs,
            depth=relative_depth * scale[:, :, None, None],
            relative_depth=relative_depth,
            scale=scale,
            layers=layers,
        )

    def _predict(self, state: QueryState) -> dict[str, Tensor]:
        """Map the queries of one decoder layer to depth, bins, scale and class logits."""
        bin_logits = self.bins_embed(state.normed).squeeze(-1).float()  # (N, D)
        # Relative depth spans min_depth to 1 + min_depth: the published code adds the first edge
        # to widths that sum to 1.
        far = 1.0 + self.min_depth if self.with_scale else self.max_depth
        edges = bin_edges_from_widths(bin_logits.softmax(dim=1), self.min_depth, far)  # (N, D + 1)
        probs = state.mask_logits.float().softmax(dim=1)  # (N, D, h, w)
        depth = depth_from_bins(probs, bin_centers_from_edges(edges))
        scene = state.queries[:, -self.num_scale_queries :].flatten(1)
        outputs = dict(
            layer_depths=depth[:, 0],
            bin_edges=edges,
            bin_logits=bin_logits,
            scales=self._scale(scene),
        )
        if self.num_classes:
            outputs['class_logits'] = self._similarity(scene)
        return outputs

    def _scale(self, scene: Tensor) -> Tensor:
        """Return the scale (N,) in metres of scene vectors (N, num_scale_queries * E)."""
        if self.scale_predictor is None:
            return scene.new_ones(len(scene), dtype=torch.float32)
        return self.scale_predictor(scene).float().relu()[:, 0] + MIN_SCALE

    def init_depth_bias(self, depth: float) -> None:
        """Initialise the scale so that depth starts at a typical value in metres.

        A scale near 0 would sit behind the ReLU without gradient. Relative depth starts near 0.5,
        with equal bins and probabilities. Bins over a fixed range stay as they are.
        """
        if self.scale_predictor is None:
            return
        with torch.no_grad():
            self.scale_predictor.weight.mul_(0.1)
            self.scale_predictor.bias.fill_(2 * depth)

    def _similarity(self, scene: Tensor) -> Tensor:
        """Return class logits (N, K): similarities of scene vectors and text embeddings."""
        if self.normalize_similarity:
            scene = F.normalize(scene, dim=1)
        return self.TEMPERATURE * scene.float() @ self.class_embeddings.float().t()

    def clamp(self, depth: Tensor) -> Tensor:
        """Return depth unchanged: with a predicted scale there is no range to clamp it to."""
        return depth if self.with_scale else super().clamp(depth)

    def loss(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> dict[str, Tensor]:
        """Return the losses of all predicting layers, see :class:`QueryDepthHead`.

        Raises:
            ValueError: If there are classes but no text embeddings.
        """
        if self.learns_classes and not self.has_embeddings:
            raise ValueError(
                f'ScaleDepthHead: training compares scenes with {self.num_classes} text '
                f'embeddings, but {self.embeddings_file} does not exist; make it by '
                '"python projects/ScaleDepth/tools/make_class_embeddings.py", name a published '
                'file in model.decode_head.class_embeddings, or set '
                'model.decode_head.num_classes=0',
            )
        return super().loss(outputs, gt_depth, data_samples)

    def depth_losses(
        self,
        outputs: dict[str, Tensor],
        index: int,
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
        is_last: bool,
    ) -> dict[str, Tensor]:
        """Return the loss on metric depth."""
        scale = outputs['scales'][:, index, None, None]
        return self.losses_on_depth(outputs['layer_depths'][:, index] * scale, gt_depth)
