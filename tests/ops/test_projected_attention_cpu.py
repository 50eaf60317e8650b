"""Deformable attention with the projections of its queries in one operator, on the CPU."""

import pytest
import torch
from torch import nn

from depth.ops import projected_attention, projected_attention_cpu, use_backend

SHAPES = [(5, 7), (0, 3), (3, 4)]
HEADS, POINTS, CHANNELS = 2, 3, 8


def make_inputs(images=2, queries=6, dtype=torch.float64, one_reference=False, with_position=True):
    """Return value, references, query, position, and the two projections."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    levels = 1 if one_reference else len(SHAPES)
    references = draw(1 if one_reference else images, queries, levels, 2).sigmoid()
    samples = HEADS * len(SHAPES) * POINTS
    projections = nn.Linear(CHANNELS, 2 * samples), nn.Linear(CHANNELS, samples)
    for layer in projections:
        layer.weight.data, layer.bias.data = draw(*layer.weight.shape), draw(*layer.bias.shape)
    position = draw(1, queries, CHANNELS).requires_grad_() if with_position else None
    value = draw(images, 47, HEADS, 4).requires_grad_()
    query = draw(images, queries, CHANNELS).requires_grad_()
    return value, references.requires_grad_(), query, position, *projections


def attend(value, references, query, position, *projections):
    return projected_attention(value, SHAPES, references, query, position, *projections, POINTS)


def output_and_gradients(inputs):
    output = attend(*inputs)
    leaves = [value for value in inputs[:4] if value is not None]
    for layer in inputs[4:]:
        leaves += [layer.weight, layer.bias]
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.dtype)
    return output, torch.autograd.grad(output, leaves, grad)


@pytest.mark.parametrize('limit', [1, 20, 10**6])
@pytest.mark.parametrize(
    'options', [dict(), dict(images=1, one_reference=True), dict(with_position=False)]
)
def test_chunks_of_any_size_give_the_reference_and_its_gradients(options, limit, monkeypatch):
    monkeypatch.setattr(projected_attention_cpu, 'FORWARD_POINTS', limit)
    monkeypatch.setattr(projected_attention_cpu, 'BACKWARD_POINTS', limit)
    inputs = make_inputs(**options)
    output, grads = output_and_gradients(inputs)
    with use_backend('reference'):
        expected, expected_grads = output_and_gradients(inputs)
    torch.testing.assert_close(output, expected)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_neither_places_nor_weights_are_stored():
    sizes = []

    def note_size(tensor):
        sizes.append(tensor.numel())
        return tensor

    inputs = make_inputs(queries=500, dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(note_size, lambda tensor: tensor):
        attend(*inputs)
    weights = 2 * 500 * HEADS * len(SHAPES) * POINTS
    assert 2 * 500 * CHANNELS == max(sizes) < weights


def test_layers_of_other_classes_are_called():
    class Doubled(nn.Linear):
        def forward(self, inputs):
            return 2 * super().forward(inputs)

    value, references, query, position, offsets, logits = make_inputs()
    doubled = Doubled(*reversed(offsets.weight.shape)).double()
    doubled.load_state_dict(offsets.state_dict())
    actual = attend(value, references, query, position, doubled, logits)
    with torch.no_grad():
        for parameter in offsets.parameters():
            parameter.mul_(2)
    torch.testing.assert_close(actual, attend(value, references, query, position, offsets, logits))


def test_autocast_rounds_the_products_and_not_the_places():
    inputs = make_inputs(dtype=torch.float32)
    expected, _ = output_and_gradients(inputs)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        actual, grads = output_and_gradients(inputs)
    assert actual.dtype == torch.float32  # as the value
    assert 1e-4 < (actual - expected).norm() / expected.norm() < 0.05
    assert all(grad.isfinite().all() for grad in grads)


def test_it_is_one_graph_with_its_gradients():
    inputs = make_inputs(dtype=torch.float32)
    traced = torch.compile(attend, backend='aot_eager', fullgraph=True)
    actual, expected = traced(*inputs), attend(*inputs)
    torch.testing.assert_close(actual, expected)
    query = inputs[2]
    (grad,) = torch.autograd.grad(actual.sum(), query)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), query)[0])


def test_arguments_that_do_not_fit_are_named():
    value, references, query, position, *projections = make_inputs()
    with pytest.raises(ValueError, match='hold 47 places, but value has 46 rows'):
        attend(value[:, :-1], references, query, position, *projections)
    with pytest.raises(ValueError, match=r'reference_points must be \(2 or 1, 6, 3 or 1, 2\)'):
        attend(value, references[:, :, 0], query, position, *projections)
