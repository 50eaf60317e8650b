"""Canonical camera: depth as a camera of one fixed focal length would have seen it.

Reference: Metric3D, https://arxiv.org/abs/2307.10984
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from depth.cameras import check_camera
from depth.structures import DepthDataSample


class CanonicalCamera(nn.Module):
    """Conversion between metres and the canonical camera: metres = canonical * f / focal.

    f is the focal length of the network's input in pixels: ``input_focal`` of a sample's meta
    information if a transform states it, otherwise the mean of fx and fy of its ``intrinsics``.

    Args:
        focal: Focal length of the canonical camera, in pixels.
        default_intrinsics: K (3, 3) of the network's input, in pixels, for images without a camera
            in eval mode. Without it, a sample without a camera is an error, and the depth of a bare
            tensor stays canonical.
        depth_range: Nearest and farthest depth in metres; canonical depth is not clamped to it.

    Raises:
        ValueError: If the focal length or the default camera is impossible.
    """

    def __init__(
        self,
        focal: float = 1000.0,
        default_intrinsics: Sequence[Sequence[float]] | None = None,
        depth_range: Sequence[float] = (1e-3, 300.0),
    ) -> None:
        super().__init__()
        self.depth_range = tuple(depth_range)
        if focal <= 0:
            raise ValueError(f'canonical_focal is a positive number of pixels, got {focal}')
        self.focal = float(focal)
        default = None
        if default_intrinsics is not None:
            matrix = check_camera(default_intrinsics, 'default_intrinsics')
            default = torch.tensor(matrix, dtype=torch.float32)
        self.register_buffer('default_intrinsics', default, persistent=False)

    def intrinsics(
        self, data_samples: Sequence[DepthDataSample] | None, like: Tensor, training: bool
    ) -> Tensor | None:
        """Return K (N, 3, 3) in pixels of the network's input; None for bare tensors without one.

        Args:
            data_samples: One per image, or None for a bare tensor.
            like: Tensor (N, ...) whose device and number of images count.
            training: Whether the default is refused.

        Raises:
            ValueError: If an image has no camera and there is no default, or it is trained on.
        """
        default = None if training else self.default_intrinsics
        if data_samples is None:
            if training:
                raise ValueError('training in a canonical camera needs samples with intrinsics')
            return None if default is None else default.expand(len(like), 3, 3)
        matrices = []
        for index, sample in enumerate(data_samples):
            camera = sample.get('intrinsics', default)
            if camera is None:
                name = sample.get('img_path', f'image {index}')
                raise ValueError(
                    f'{name} has no intrinsics, and depth in metres needs the focal length: give '
                    'the camera of the image (--intrinsics or --fov, an intrinsics.json in a '
                    'folder, default_intrinsics in the config), or use a data set that has them'
                )
            matrices.append(camera.to(like.device, torch.float32))
        return torch.stack(matrices)

    def to_metric(
        self, canonical: Tensor, data_samples: Sequence[DepthDataSample] | None, training: bool
    ) -> Tensor:
        """Return depth in metres, clamped to the depth range, of canonical depth (N, 1, H, W).

        For bare tensors without a default camera, the canonical depth as it is.

        Args:
            canonical: Canonical metres.
            data_samples: See :meth:`intrinsics`, also for the errors.
            training: See :meth:`intrinsics`.
        """
        matrices = self.intrinsics(data_samples, canonical, training)
        if matrices is None:
            return canonical
        focals = mean_focals(matrices)
        for index, sample in enumerate(data_samples or ()):
            # The published resize rounds sizes down but keeps the unrounded factor here.
            if 'input_focal' in sample.metainfo:
                focals[index] = sample.metainfo['input_focal']
        metric = canonical * (focals / self.focal).view(-1, 1, 1, 1)
        return metric.clamp(*self.depth_range)

    def to_canonical(self, depth: Tensor, intrinsics: Tensor) -> Tensor:
        """Return ``depth`` (N, 1, H, W) in metres as the canonical camera sees it.

        Args:
            depth: Metres; 0 stays 0.
            intrinsics: K (N, 3, 3) in pixels of the network's input.
        """
        return depth * (self.focal / mean_focals(intrinsics)).view(-1, 1, 1, 1)


def mean_focals(intrinsics: Tensor) -> Tensor:
    """Return the means (N,) of fx and fy of K (N, 3, 3), in pixels."""
    return (intrinsics[:, 0, 0] + intrinsics[:, 1, 1]) / 2
