"""Edge-aware smoothness of predicted maps."""

from torch import Tensor


def edge_aware_smoothness(values: Tensor, image: Tensor) -> Tensor:
    """Return the mean gradient of a normalised map, weighted by ``exp(-|image gradient|)``.

    Args:
        values: Positive map (N, 1, H, W), for example inverse depth; it is divided by its mean over
            each image.
        image: (N, C, H, W) in [0, 1].

    Returns:
        Scalar: the mean over columns plus the mean over rows.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency,
    https://arxiv.org/abs/1609.03677.
    """
    values = values / (values.mean(dim=(2, 3), keepdim=True) + 1e-7)
    total = values.new_zeros(())
    for axis in (-1, -2):
        weight = (-image.diff(dim=axis).abs().mean(dim=1, keepdim=True)).exp()
        total = total + (values.diff(dim=axis).abs() * weight).mean()
    return total
