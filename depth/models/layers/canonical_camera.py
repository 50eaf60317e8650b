"""Canonical camera: depth as a camera of one fixed focal length would have seen it.

Reference: Metric3D, https://arxiv.org/abs/2307.10984
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from depth.cameras import CAMERA_SOURCES, check_camera, missing_camera
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
            None: depth in metres is not clamped either.

    Raises:
        ValueError: If the focal length or the default camera is impossible.
    """

    def __init__(
        self,
        focal: float = 1000.0,
        default_intrinsics: Sequence[Sequence[float]] | None = None,
        depth_range: Sequence[float] | None = (1e-3, 300.0),
    ) -> None:
        super().__init__()
        self.depth_range = None if depth_range is None else tuple(depth_range)
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
                raise ValueError(missing_camera(sample.get('img_path', f'image {index}')))
            matrices.append(camera.to(like.device, torch.float32))
        return torch.stack(matrices)

    def focal_factors(
        self,
        data_samples: Sequence[DepthDataSample] | None,
        like: Tensor,
        training: bool,
        input_scale: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor | None:
        """Return f / focal (N, 1, 1, 1), metres to one canonical metre.

        Args:
            data_samples: See :meth:`intrinsics`, also for the errors.
            like: See :meth:`intrinsics`.
            training: See :meth:`intrinsics`.
            input_scale: (vertical, horizontal) factor of a resize inside of the network, behind the
                input to which the cameras belong.

        Returns:
            None for bare tensors without a default camera.
        """
        matrices = self.intrinsics(data_samples, like, training)
        if matrices is None:
            return None
        down, across = input_scale
        focals = (matrices[:, 0, 0] * across + matrices[:, 1, 1] * down) / 2
        for index, sample in enumerate(data_samples or ()):
            # The published resize rounds sizes down but keeps the unrounded factor here.
            if 'input_focal' in sample.metainfo:
                focals[index] = sample.metainfo['input_focal'] * (down + across) / 2
        return (focals / self.focal).view(-1, 1, 1, 1)

    def to_metric(
        self,
        canonical: Tensor,
        data_samples: Sequence[DepthDataSample] | None,
        training: bool,
        input_scale: tuple[float, float] = (1.0, 1.0),
    ) -> Tensor:
        """Return depth in metres, clamped to the depth range, of canonical depth (N, 1, H, W).

        For bare tensors without a default camera, the canonical depth as it is.

        Args:
            canonical: Canonical metres.
            data_samples: See :meth:`intrinsics`, also for the errors.
            training: See :meth:`intrinsics`.
            input_scale: See :meth:`focal_factors`.
        """
        factors = self.focal_factors(data_samples, canonical, training, input_scale)
        if factors is None:
            return canonical
        metric = canonical * factors
        return metric if self.depth_range is None else metric.clamp(*self.depth_range)

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


@dataclass(frozen=True)
class CameraCheck:
    """Check of the cameras of a batch, on the CPU, before it is moved to the device.

    Attributes:
        focal_range: Smallest and largest focal length in pixels of the network's input for which
            the head's depth range is made; None for any.
    """

    focal_range: tuple[float, float] | None = None

    def check(self, data_samples: Sequence[DepthDataSample], training: bool) -> None:
        """Check those samples that have ``intrinsics``.

        Outside of ``focal_range`` a training stops. A prediction warns, because its depth cannot
        span the whole range of the head.

        Raises:
            ValueError: If a number of a camera is not finite, a focal length is not above 0, or one
                to train on lies outside of ``focal_range``; the message names the image.
        """
        for index, sample in enumerate(data_samples):
            if 'intrinsics' not in sample or sample.intrinsics.device.type != 'cpu':
                continue
            name = sample.get('img_path', f'image {index}')
            matrix = sample.intrinsics
            focal_x, focal_y = matrix[0, 0].item(), matrix[1, 1].item()
            if not bool(matrix.isfinite().all()) or focal_x <= 0 or focal_y <= 0:
                raise ValueError(
                    f'{name} has the intrinsics {matrix.tolist()}: all numbers must be finite, and '
                    f'focal lengths above 0; {CAMERA_SOURCES}'
                )
            if self.focal_range is not None:
                self._check_range(name, (focal_x + focal_y) / 2, training)

    def _check_range(self, name: str, focal: float, training: bool) -> None:
        low, high = self.focal_range
        # Focal lengths of resized images differ in the last digits.
        if low * (1 - 1e-3) <= focal <= high * (1 + 1e-3):
            return
        reason = (
            f'a focal length of {focal:.4g} pixels is outside of '
            f'model.canonical_camera.focal_range, {low:g} to {high:g} pixels'
        )
        if training:
            raise ValueError(f'{name}: {reason}; widen the range, or resize with ResizeToFocal')
        side = 'far' if focal < low else 'near'
        warnings.warn(
            f'{reason}: depth at the {side} end of the range of the head cannot be predicted',
            stacklevel=2,
        )
