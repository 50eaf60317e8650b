"""Plane2Depth head: depth from query planes (normal and distance) and camera rays."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from depth.device_constants import device_constant
from depth.models.heads import QueryDepthHead
from depth.models.layers import (
    MLP,
    DeformablePixelDecoder,
    MaskedQueryDecoder,
    QueryState,
    bin_centers_from_edges,
    bin_edges_from_widths,
    normals_from_planes,
    without_autocast,
)
from depth.registry import MODELS
from depth.structures import DepthDataSample

from .geometry import depth_from_planes, pixel_rays, plane_distance
from .losses import distance_loss, normal_loss

FIRST_EDGE = 1e-3  # near end of the relative distances, which are shares of max_depth
MIN_PLANE_DEPTH = 0.1  # metres; nearer ground truth is left out of the plane losses


@MODELS.register_module()
class Plane2DepthHead(QueryDepthHead):
    """Depth from query planes: a normal and a distance per query, mixed per pixel.

    The mixed plane of a pixel and the ray through it give its depth. There is a prediction before
    the first decoder layer and after each one, so ``aux_layers`` 2 and 5 are the second and the
    fifth layer.

    Args:
        in_channels: Channels of four levels at strides 4 to 32.
        channels: Width E of everything inside.
        num_queries: Planes Q.
        decoder: Further arguments of :class:`~depth.models.layers.MaskedQueryDecoder`.
        pixel_decoder: Further arguments of :class:`~depth.models.layers.DeformablePixelDecoder`.
        default_intrinsics: K (3, 3), in pixels of the network's input, of images that come without
            a camera: a bare tensor, or in eval mode a sample without ``intrinsics``. It is used as
            it is, whatever the image's size.
        normal_weight: Factor of the loss on normals.
        distance_weight: Factor of the loss on distances.
        normal_window: Side of the windows, in pixels, in which planes are fitted to ground truth
            whose data set has no normals.
        **kwargs: Auxiliary predictions, depth range and loss, see
            :class:`~depth.models.heads.QueryDepthHead`.

    Reference: Plane2Depth, https://arxiv.org/abs/2409.02494
    """

    STRIDE = 4
    needs_camera = True

    def __init__(
        self,
        in_channels: Sequence[int],
        channels: int = 256,
        num_queries: int = 64,
        decoder: dict | None = None,
        pixel_decoder: dict | None = None,
        default_intrinsics: Sequence[Sequence[float]] | None = None,
        normal_weight: float = 5.0,
        distance_weight: float = 1.0,
        normal_window: int = 9,
        **kwargs,
    ) -> None:
        decoder = dict(num_layers=9) | (decoder or {})
        super().__init__(decoder['num_layers'] + 1, **dict(align_corners=False) | kwargs)
        self.in_channels = list(in_channels)
        self.default_intrinsics = default_intrinsics
        self.normal_weight = normal_weight
        self.distance_weight = distance_weight
        self.normal_window = normal_window
        self.pixel_decoder = DeformablePixelDecoder(in_channels, channels, **(pixel_decoder or {}))
        self.decoder = MaskedQueryDecoder(channels, num_queries, **decoder)
        self.distance_embed = nn.Linear(channels, 1)
        self.normal_embed = MLP(channels, channels, 3)

    def forward(
        self,
        feats: Sequence[Tensor],
        data_samples: list[DepthDataSample] | None = None,
        all_layers: bool = False,
    ) -> dict[str, Tensor]:
        """Map features, finest (N, C, h, w) first, to depth in metres.

        Args:
            feats: Four levels.
            data_samples: Their ``intrinsics`` are the cameras.
            all_layers: Predict before the first decoder layer and after every one.

        Returns:
            ``depth`` (N, 1, h, w), cut at ``max_depth``; ``normals`` (N, 3, h, w), unit;
            ``distances`` (N, 1, h, w) in metres. Stacks over M predictions: ``layer_depths`` and
            ``layer_distances`` (N, M, h, w), ``layer_normals`` (N, M, 3, h, w), ``plane_normals``
            (N, M, Q, 3), not normalised, ``distance_logits`` (N, M, Q); and ``layers``, their
            numbers.

        Raises:
            ValueError: If a camera is missing.
        """
        intrinsics = self.intrinsics(data_samples, feats[0])
        rays = pixel_rays(intrinsics, tuple(feats[0].shape[-2:]), self.STRIDE)
        states = self.decoder(*self.pixel_decoder(feats))
        layers = self.predicting_layers(all_layers)
        predictions = [self._predict(states[layer], rays) for layer in layers]
        outputs = {}
        for name in predictions[0]:
            outputs[name] = torch.stack([prediction[name] for prediction in predictions], dim=1)
        return dict(
            outputs,
            depth=outputs['layer_depths'][:, -1:],
            normals=outputs['layer_normals'][:, -1],
            distances=outputs['layer_distances'][:, -1:],
            layers=layers,
        )

    def intrinsics(self, data_samples: list[DepthDataSample] | None, like: Tensor) -> Tensor:
        """Return the camera matrices K (N, 3, 3), float32, in pixels of the network's input.

        Args:
            data_samples: Samples with ``intrinsics``; None for a bare tensor.
            like: Tensor (N, ...) on the device on which the matrices are needed.

        Raises:
            ValueError: If an image has none and there is no default, or it is to be trained on.
        """
        cameras = [None] * len(like)
        if data_samples:
            cameras = [sample.get('intrinsics') for sample in data_samples]
        for index, camera in enumerate(cameras):
            if camera is None and (self.training or self.default_intrinsics is None):
                image = 'a bare tensor'
                if data_samples:
                    image = data_samples[index].get('img_path', f'image {index}')
                raise ValueError(
                    f'{image} has no intrinsics, and depth from planes needs the camera; use a '
                    'data set that has them (an intrinsics.json for a folder), or for tests set '
                    'model.decode_head.default_intrinsics',
                )
        matrices = []
        for camera in cameras:
            if camera is None:
                rows = tuple(tuple(row) for row in self.default_intrinsics)
                matrices.append(device_constant(rows, like.device))
            else:
                matrices.append(camera.to(like.device, torch.float32))
        return torch.stack(matrices)

    def _predict(self, state: QueryState, rays: Tensor) -> dict[str, Tensor]:
        """Map the queries of one decoder layer to planes and depth, in float32."""
        plane_normals = self.normal_embed(state.normed).float()
        distance_logits = self.distance_embed(state.normed).squeeze(-1).float()
        edges = bin_edges_from_widths(distance_logits.softmax(dim=1), FIRST_EDGE, 1 + FIRST_EDGE)
        # A pixel's plane is the mean of all planes, weighted by a softmax over the query masks.
        # (N, Q, 4).
        planes = torch.cat([plane_normals, bin_centers_from_edges(edges).unsqueeze(-1)], dim=-1)
        with without_autocast(rays.device):
            probs = state.mask_logits.float().softmax(dim=1)
            mixed = torch.einsum('nqhw,nqc->nchw', probs, planes)
        normals = F.normalize(mixed[:, :3], dim=1)
        distances = mixed[:, 3:] * self.max_depth  # the bins span shares of the depth range
        depth = depth_from_planes(normals, distances, rays).clamp(max=self.max_depth)
        return dict(
            layer_depths=depth[:, 0],
            layer_normals=normals,
            layer_distances=distances[:, 0],
            plane_normals=plane_normals,
            distance_logits=distance_logits,
        )

    def depth_losses(
        self,
        outputs: dict[str, Tensor],
        index: int,
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
        is_last: bool,
    ) -> dict[str, Tensor]:
        """Return the depth loss and, for the last prediction, the normal and distance losses."""
        losses = self.losses_on_depth(outputs['layer_depths'][:, index], gt_depth)
        if is_last:
            losses |= self.plane_losses(outputs, gt_depth, data_samples)
        return losses

    def losses_on_depth(self, depth: Tensor, gt_depth: Tensor) -> dict[str, Tensor]:
        """Return ``loss_decode`` of depth (N, h, w) where ``gt_depth`` exceeds ``min_depth``."""
        depth = self.resize(depth.unsqueeze(1), gt_depth.shape[-2:])
        return self.decode_losses(depth, gt_depth, gt_depth > self.min_depth)

    def plane_losses(
        self,
        outputs: dict[str, Tensor],
        gt_depth: Tensor,
        data_samples: list[DepthDataSample] | None,
    ) -> dict[str, Tensor]:
        """Return the normal and distance losses at the size of ``gt_depth`` (N, 1, H, W)."""
        size = gt_depth.shape[-2:]
        intrinsics = self.intrinsics(data_samples, gt_depth)
        target, has_normal = self.target_normals(gt_depth, intrinsics, data_samples)
        mask = has_normal & (gt_depth > MIN_PLANE_DEPTH)
        distance = plane_distance(target, gt_depth, pixel_rays(intrinsics, tuple(size)))
        normal = normal_loss(self.resize(outputs['normals'], size), target, mask)
        distance = distance_loss(self.resize(outputs['distances'], size), distance, mask)
        return dict(
            normal=self.normal_weight * normal,
            distance=self.distance_weight * distance,
        )

    def target_normals(
        self,
        gt_depth: Tensor,
        intrinsics: Tensor,
        data_samples: list[DepthDataSample],
    ) -> tuple[Tensor, Tensor]:
        """Return target normals (N, 3, H, W) and the mask of pixels that have one (N, 1, H, W).

        They are the samples' ``normals`` where all have some, otherwise those of planes fitted to
        ``gt_depth``.
        """
        if all('normals' in sample for sample in data_samples):
            normals = torch.stack([sample.normals for sample in data_samples]).to(gt_depth)
            return normals, normals.abs().amax(dim=1, keepdim=True) > 0
        return normals_from_planes(gt_depth, intrinsics, self.normal_window)
