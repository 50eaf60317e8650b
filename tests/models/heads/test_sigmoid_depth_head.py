"""Sigmoid outputs in 1/m."""

import pytest
import torch

from depth.models.heads.sigmoid_depth_head import sigmoid_to_inverse_depth


def test_a_sigmoid_is_linear_in_inverse_depth_between_the_ends_of_the_range():
    inverse = sigmoid_to_inverse_depth(torch.tensor([0.0, 0.3, 1.0]), 0.1, 100.0)
    assert inverse.tolist() == pytest.approx([0.01, 0.01 + 9.99 * 0.3, 10.0])
