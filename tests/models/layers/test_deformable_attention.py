import pytest
import torch

from depth.models.layers import MultiScaleDeformableAttention

SHAPES = [(4, 6), (2, 3)]


def make_layer(**kwargs):
    return MultiScaleDeformableAttention(
        16, num_heads=4, num_levels=2, num_points=3, dropout=0.0, **kwargs
    )


def test_offsets_start_in_one_direction_a_head_and_grow_with_the_points():
    offsets = make_layer().sampling_offsets.bias.view(4, 2, 3, 2)
    directions = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
    for level in range(2):
        for point in range(3):
            torch.testing.assert_close(
                offsets[:, level, point], (point + 1) * directions, atol=1e-6, rtol=0
            )


def test_a_layer_that_looks_nowhere_else_averages_the_levels_at_the_reference():
    """With zero offsets and equal weights a query gets the mean over levels of the value at its reference point."""
    torch.manual_seed(0)
    layer = make_layer()
    torch.nn.init.zeros_(layer.sampling_offsets.bias)
    for projection in (layer.value_proj, layer.output_proj):
        torch.nn.init.eye_(projection.weight)
    value, query = torch.randn(2, 30, 16), torch.randn(2, 1, 16)
    reference = torch.tensor([0.5 / 6, 0.5 / 4]).view(1, 1, 1, 2).expand(1, 1, 2, 2).clone()
    # Centres of the first pixel of each level.
    reference[:, :, 1] = torch.tensor([0.5 / 3, 0.5 / 2])
    actual = layer(query, value, reference, SHAPES)
    torch.testing.assert_close(actual[:, 0], query[:, 0] + (value[:, 0] + value[:, 24]) / 2)


def test_the_position_steers_places_and_weights_but_is_not_added():
    torch.manual_seed(0)
    layer = make_layer()
    query, value, reference = torch.randn(1, 5, 16), torch.randn(1, 30, 16), torch.rand(1, 5, 1, 2)
    position = torch.randn(1, 5, 16)
    plain = layer(query, value, reference, SHAPES)
    # Weights start at 0.
    torch.testing.assert_close(layer(query, value, reference, SHAPES, query_pos=position), plain)
    torch.nn.init.normal_(layer.attention_weights.weight)
    assert (layer(query, value, reference, SHAPES, query_pos=position) - plain).abs().max() > 1e-3


def test_heads_have_to_divide_the_channels():
    with pytest.raises(ValueError, match='num_heads=3'):
        MultiScaleDeformableAttention(16, num_heads=3)
