"""How different two views look: structural similarity and absolute difference."""

import torch.nn.functional as F
from torch import Tensor

SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2


def ssim_error(image: Tensor, other: Tensor) -> Tensor:
    """Return ``(1 - SSIM) / 2`` per pixel and channel, (N, C, H, W) in [0, 1]; 0 where the images agree.

    Windows are 3x3 means on images (N, C, H, W) in [0, 1] that are reflected at their borders.

    Reference: Image Quality Assessment: From Error Visibility to Structural Similarity, Z. Wang et al. 2004.
    """

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, kernel_size=3, stride=1)

    image, other = (F.pad(values, (1, 1, 1, 1), mode='reflect') for values in (image, other))
    mu_a, mu_b = mean(image), mean(other)
    variance_a, variance_b = mean(image * image) - mu_a * mu_a, mean(other * other) - mu_b * mu_b
    covariance = mean(image * other) - mu_a * mu_b
    numerator = (2 * mu_a * mu_b + SSIM_C1) * (2 * covariance + SSIM_C2)
    denominator = (mu_a * mu_a + mu_b * mu_b + SSIM_C1) * (variance_a + variance_b + SSIM_C2)
    return ((1 - numerator / denominator) / 2).clamp(0, 1)


def photometric_error(image: Tensor, other: Tensor, ssim_weight: float = 0.85) -> Tensor:
    """Return the error per pixel (N, 1, H, W): ``ssim_weight`` parts :func:`ssim_error`, the rest absolute difference.

    Args:
        image: (N, C, H, W) in [0, 1]; channels are averaged, so their order does not matter.
        other: Likewise.
        ssim_weight: Share of the structural term.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency, https://arxiv.org/abs/1609.03677.
    """
    difference = (image - other).abs().mean(dim=1, keepdim=True)
    structure = ssim_error(image, other).mean(dim=1, keepdim=True)
    return ssim_weight * structure + (1 - ssim_weight) * difference
