"""Disparity, inverse depth and depth: conversions of rectified stereo and of sigmoid outputs."""

from torch import Tensor


def disparity_to_depth(disparity: Tensor, focal: Tensor | float, baseline: float, offset: float = 0.0) -> Tensor:
    """Return depth in metres of disparities in pixels; 0 where there is none (``disparity + offset`` not positive).

    Args:
        disparity: Column in the left image minus column in the right image, pixels, any shape.
        focal: Focal length in pixels.
        baseline: Distance of the two cameras in metres.
        offset: Column of the right principal point minus that of the left one, pixels (Middlebury's ``doffs``).
    """
    shifted = disparity + offset
    return (focal * baseline / shifted.clamp(min=1e-12)).where(shifted > 0, 0.0)


def depth_to_disparity(depth: Tensor, focal: Tensor | float, baseline: float, offset: float = 0.0) -> Tensor:
    """Return disparities in pixels of depth in metres; 0 where depth is 0. Inverse of :func:`disparity_to_depth`."""
    return (focal * baseline / depth.clamp(min=1e-12) - offset).where(depth > 0, 0.0)


def sigmoid_to_inverse_depth(sigmoid: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Return inverse depth in 1/m, linear in a network's sigmoid: 0 is the far end, 1 the near end.

    Args:
        sigmoid: Values in [0, 1], any shape.
        min_depth: Depth in metres of 1.
        max_depth: Depth in metres of 0.

    Reference: Unsupervised Monocular Depth Estimation with Left-Right Consistency, https://arxiv.org/abs/1609.03677;
    the affine form is that of https://arxiv.org/abs/1806.01260.
    """
    return 1 / max_depth + (1 / min_depth - 1 / max_depth) * sigmoid


def inverse_depth_to_sigmoid(inverse_depth: Tensor, min_depth: float, max_depth: float) -> Tensor:
    """Return the sigmoid that stands for an inverse depth in 1/m. Inverse of :func:`sigmoid_to_inverse_depth`."""
    return (inverse_depth - 1 / max_depth) / (1 / min_depth - 1 / max_depth)
