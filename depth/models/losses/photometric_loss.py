"""Photometric error between images: structural similarity and absolute difference."""

import torch.nn.functional as F
from torch import Tensor

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def ssim_error(image: Tensor, other: Tensor) -> Tensor:
    """Return ``(1 - SSIM) / 2`` per pixel and channel, (N, C, H, W) in [0, 1]; 0 for equal images.

    Windows are 3x3 means on images (N, C, H, W) in [0, 1] that are reflected at their borders.

    Reference: Image Quality Assessment: From Error Visibility to Structural Similarity, Z. Wang et
    al. 2004.
    """

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, kernel_size=3, stride=1)

    image = F.pad(image, (1, 1, 1, 1), mode='reflect')
    other = F.pad(other, (1, 1, 1, 1), mode='reflect')
    mu_a = mean(image)
    mu_b = mean(other)
    variance_a = mean(image * image) - mu_a * mu_a
    variance_b = mean(other * other) - mu_b * mu_b
    covariance = mean(image * other) - mu_a * mu_b
    numerator = (2 * mu_a * mu_b + SSIM_C1) * (2 * covariance + SSIM_C2)
    denominator = (mu_a * mu_a + mu_b * mu_b + SSIM_C1) * (variance_a + variance_b + SSIM_C2)
    return ((1 - numerator / denominator) / 2).clamp(0, 1)


def photometric_error(image: Tensor, other: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """Return the weighted mean (N, 1, H, W) of :func:`ssim_error` and absolute difference.

    Args:
        image: (N, C, H, W) in [0, 1]; channels are averaged, so their order does not matter.
        other: Image to compare with, same shape.
        ssim_weight: Weight of the structural term; the absolute difference has ``1 - ssim_weight``.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency,
    https://arxiv.org/abs/1609.03677.
    """
    difference = (image - other).abs().mean(dim=1, keepdim=True)
    structure = ssim_error(image, other).mean(dim=1, keepdim=True)
    return ssim_weight * structure + (1 - ssim_weight) * difference
