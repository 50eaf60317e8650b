import math

import pytest
import torch

from depth.ops import ms_deform_attn, ms_deform_attn_torch

SHAPES = [(5, 7), (3, 4), (0, 3), (1, 2)]
BACKENDS = ['reference', 'torch']


def make_inputs(
    images=2, queries=6, heads=3, size=4, points=5, dtype=torch.float64, shapes=SHAPES, seed=0
):
    generator = torch.Generator().manual_seed(seed)
    rows = sum(height * width for height, width in shapes)
    value = torch.randn(images, rows, heads, size, generator=generator, dtype=torch.float64)
    grid = (images, queries, heads, len(shapes), points)
    # Some lie outside.
    locations = torch.rand(*grid, 2, generator=generator, dtype=torch.float64) * 1.8 - 0.4
    weights = torch.rand(*grid, generator=generator, dtype=torch.float64)
    return tuple(tensor.to(dtype).requires_grad_() for tensor in (value, locations, weights))


def by_loops(value, shapes, locations, weights):
    """The definition, one number at a time."""
    images, queries, heads, levels = weights.shape[:4]
    result = torch.zeros(images, queries, heads, value.shape[-1], dtype=value.dtype)
    starts = [sum(h * w for h, w in shapes[:level]) for level in range(levels)]
    locations = locations.detach()
    for n, q, head, level, p in torch.cartesian_prod(*map(torch.arange, weights.shape)).tolist():
        height, width = shapes[level]
        x, y = (
            float(locations[n, q, head, level, p, axis]) * side - 0.5
            for axis, side in ((0, width), (1, height))
        )
        if not (math.isfinite(x) and math.isfinite(y)):
            continue
        for row in (math.floor(y), math.floor(y) + 1):
            for column in (math.floor(x), math.floor(x) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    pixel = value[n, starts[level] + row * width + column, head]
                    result[n, q, head] += share * weights[n, q, head, level, p] * pixel
    return result.flatten(2)


def gradients(backend, inputs, shapes=SHAPES):
    output = ms_deform_attn(inputs[0], shapes, *inputs[1:], backend=backend)
    generator = torch.Generator().manual_seed(1)
    grad = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output.dtype)
    return output, torch.autograd.grad(output, inputs, grad)


@pytest.mark.parametrize('backend', BACKENDS)
def test_sums_are_the_definition(backend):
    value, locations, weights = make_inputs(queries=3, points=2)
    expected = by_loops(value.detach(), SHAPES, locations, weights.detach())
    actual = ms_deform_attn(value, SHAPES, locations, weights, backend=backend)
    assert actual.shape == (2, 3, 12)
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('backend', BACKENDS)
def test_gradients_are_those_of_finite_differences(backend):
    inputs = make_inputs(images=1, queries=3, heads=2, size=3, points=2)
    assert torch.autograd.gradcheck(
        lambda v, x, w: ms_deform_attn(v, SHAPES, x, w, backend=backend), inputs
    )


@pytest.mark.parametrize('limit', [1, 40, 1000, 10**6])
def test_chunks_of_any_size_give_the_same(limit, monkeypatch):
    monkeypatch.setattr(ms_deform_attn_torch, 'FORWARD_POINTS', limit)
    monkeypatch.setattr(ms_deform_attn_torch, 'BACKWARD_POINTS', limit)
    inputs = make_inputs()
    expected, expected_grads = gradients('reference', inputs)
    actual, grads = gradients('torch', inputs)
    torch.testing.assert_close(actual, expected)
    for ours, theirs in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize('backend', BACKENDS)
@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf, 1e30, -1e30])
def test_places_that_are_nowhere_contribute_zero(backend, bad):
    value, locations, weights = make_inputs()
    locations = locations.detach().clone()
    locations[0, 0, 0, 0, 0, 0] = bad
    locations[1, 2, 1, 1, 3, 1] = bad
    locations.requires_grad_()
    expected = by_loops(value.detach(), SHAPES, locations, weights.detach())
    output, grads = gradients(backend, (value, locations, weights))
    torch.testing.assert_close(output, expected)
    assert all(grad.isfinite().all() for grad in grads)
    assert grads[1][0, 0, 0, 0, 0, 0] == 0
    assert grads[2][1, 2, 1, 1, 3] == 0


@pytest.mark.parametrize('backend', BACKENDS)
def test_empty_inputs_give_zero_or_nothing(backend):
    empty = [(0, 4), (3, 0)]
    inputs = make_inputs(shapes=empty)
    output, grads = gradients(backend, inputs, empty)
    assert not output.any()
    assert not grads[1].any()
    assert grads[0].shape == inputs[0].shape
    nothing = make_inputs(queries=0)
    output, grads = gradients(backend, nothing)
    assert output.shape == (2, 0, 12)
    assert not grads[0].any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('backend', BACKENDS)
def test_half_precision_is_summed_in_float32(backend, dtype):
    exact = make_inputs(size=16, points=16)
    rounded = tuple(tensor.detach().to(dtype).requires_grad_() for tensor in exact)
    same_in_double = tuple(tensor.detach().double().requires_grad_() for tensor in rounded)
    expected, expected_grads = gradients('reference', same_in_double)
    actual, grads = gradients(backend, rounded)
    assert actual.dtype == dtype
    eps = torch.finfo(dtype).eps  # one rounding of the result, not one a sample
    assert (actual.double() - expected).abs().max() <= eps * expected.abs().max()
    for ours, theirs in zip(grads, expected_grads, strict=True):
        assert ours.dtype == dtype
        assert (ours.double() - theirs).abs().max() <= 4 * eps * theirs.abs().max()


def test_gradients_in_float32_are_those_of_grid_sample():
    """More points than one chunk holds, points of odd number, crowded cells, rows beyond int16."""
    shapes = [(180, 200), (9, 11), (1, 2)]
    inputs = make_inputs(1, 700, 4, 8, 9, torch.float32, shapes, seed=3)
    generator = torch.Generator().manual_seed(4)
    grad = torch.randn(1, 700, 32, generator=generator)
    expected, actual = (
        torch.autograd.grad(ms_deform_attn(inputs[0], shapes, *inputs[1:], backend), inputs, grad)
        for backend in BACKENDS
    )
    for first, second in zip(expected, actual, strict=True):
        assert (first - second).norm() < 1e-5 * first.norm()


def test_products_on_the_cpu_are_those_of_the_operator_elsewhere():
    generator = torch.Generator().manual_seed(5)
    rows, table = torch.randn(40, 8, generator=generator), torch.randn(90, 8, generator=generator)
    indices = torch.randint(90, (40, 12), generator=generator, dtype=torch.int32)
    starts, owners = torch.arange(40) * 12, torch.arange(40).repeat_interleave(12)
    expected = torch.ops.aten._embedding_bag_per_sample_weights_backward(
        rows, table, indices.flatten().long(), starts, owners, 0, -1
    )
    products = ms_deform_attn_torch._products(rows, table, indices)
    torch.testing.assert_close(products.flatten(), expected)


def test_two_runs_give_the_same_bits():
    inputs = make_inputs(images=3, queries=200, dtype=torch.float32)
    (first, first_grads), (second, second_grads) = (gradients('torch', inputs) for _ in range(2))
    assert torch.equal(first, second)
    assert all(
        torch.equal(one, other) for one, other in zip(first_grads, second_grads, strict=True)
    )


def test_it_runs_under_autocast_and_in_a_traced_graph():
    value, locations, weights = make_inputs(dtype=torch.float32)
    expected = ms_deform_attn(value, SHAPES, locations, weights)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        mixed = ms_deform_attn(value.to(torch.bfloat16), SHAPES, locations, weights)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), expected, rtol=0.02, atol=0.05)
    traced = torch.compile(ms_deform_attn, backend='aot_eager', fullgraph=True)
    actual = traced(value, SHAPES, locations, weights)
    torch.testing.assert_close(actual, expected)
    (grad,) = torch.autograd.grad(actual.sum(), value)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), value)[0])


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(value=torch.zeros(2, 3, 4)), 'value must be'),
        (dict(shapes=[(5, 7)]), '35 places, but value has 49 rows'),
        (dict(locations=torch.zeros(2, 6, 3, 4, 5)), 'sampling_locations must be'),
        (dict(weights=torch.zeros(2, 6, 3, 4, 4)), 'attention_weights'),
        (dict(backend='cuda'), "backend is one of 'auto'"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    value, locations, weights = make_inputs()
    arguments = (
        dict(value=value, shapes=SHAPES, locations=locations, weights=weights, backend='auto')
        | change
    )
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(*arguments.values())
