import itertools

import pytest
import torch

from depth.models.layers import SinePositionEncoding
from depth.models.necks import HAHINeck
from depth.ops import ms_deform_attn

SHAPES = [(3, 4), (2, 2), (0, 5)]


def random_case(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.rand(*shape, generator=generator, dtype=dtype)

    value = draw(2, 16, 2, 3)
    locations = draw(2, 5, 2, 3, 2, 2) * 1.6 - 0.3  # some outside
    return value, locations, draw(2, 5, 2, 3, 2)


def slow(value, shapes, locations, weights):
    """The definition, pixel by pixel."""
    batch, queries, heads, levels, points, _ = locations.shape
    result = torch.zeros(batch, queries, heads, value.shape[-1], dtype=value.dtype)
    starts = [0, *itertools.accumulate(h * w for h, w in shapes)]
    for n, q, m, level, p in itertools.product(*map(range, (batch, queries, heads, levels, points))):
        h, w = shapes[level]
        x, y = locations[n, q, m, level, p, 0] * w - 0.5, locations[n, q, m, level, p, 1] * h - 0.5
        for row, column in itertools.product(range(h), range(w)):
            share = (1 - (x - column).abs()).clamp(min=0) * (1 - (y - row).abs()).clamp(min=0)
            pixel = value[n, starts[level] + row * w + column, m]
            result[n, q, m] += weights[n, q, m, level, p] * share * pixel
    return result.flatten(2)


@pytest.mark.parametrize('backend', ['reference', 'torch', 'auto'])
def test_every_backend_is_the_definition(backend, monkeypatch):
    value, locations, weights = random_case()
    monkeypatch.setattr('depth.ops.ms_deform_attn.CHUNK_VALUES', 150, raising=False)  # several chunks
    found = ms_deform_attn(value, SHAPES, locations, weights, backend=backend)
    assert torch.allclose(found, slow(value, SHAPES, locations, weights))


@pytest.mark.parametrize('backend', ['reference', 'torch'])
def test_gradients(backend, monkeypatch):
    monkeypatch.setattr('depth.ops.ms_deform_attn.CHUNK_VALUES', 150, raising=False)
    tensors = [tensor.requires_grad_() for tensor in random_case()]
    assert torch.autograd.gradcheck(lambda v, p, w: ms_deform_attn(v, SHAPES, p, w, backend=backend), tensors)


@pytest.mark.parametrize('backend', ['reference', 'torch'])
def test_nan_and_far_away_count_as_outside(backend):
    value, locations, weights = random_case(torch.float32)
    locations[:, 0] = float('nan')
    locations[:, 1] = 1e8
    found = ms_deform_attn(value, SHAPES, locations, weights, backend=backend)
    assert (found[:, :2] == 0).all()
    assert torch.isfinite(found).all()


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(shapes=[(3, 4), (2, 3), (0, 5)]), 'spatial_shapes'),
        (dict(weights=torch.zeros(2, 5, 2, 3, 1)), 'attention_weights'),
        (dict(backend='cuda'), 'backend'),
    ],
)
def test_what_does_not_go_together_is_named(change, message):
    value, locations, weights = random_case()
    arguments = dict(shapes=SHAPES, weights=weights, backend='auto') | change
    with pytest.raises(ValueError, match=message):
        ms_deform_attn(value, arguments['shapes'], locations, arguments['weights'], backend=arguments['backend'])


def test_sine_code_counts_rows_and_columns_from_one():
    code = SinePositionEncoding(4)((3, 5), torch.device('cpu'))
    assert code.shape == (1, 8, 3, 5)
    row, column = 2, 4
    assert code[0, 0, row, column].item() == pytest.approx(torch.tensor(row + 1.0).sin().item())
    assert code[0, 1, row, column].item() == pytest.approx(torch.tensor(row + 1.0).cos().item())
    assert code[0, 4, row, column].item() == pytest.approx(torch.tensor(column + 1.0).sin().item())
    assert code[0, 6, row, column].item() == pytest.approx(torch.tensor((column + 1.0) / 100).sin().item(), rel=1e-5)


def test_neck_keeps_sizes_and_trains_all_of_itself():
    channels = [4, 6, 8]
    neck = HAHINeck(channels, embedding_dim=8, num_heads=2, num_points=2)
    feats = [torch.randn(2, c, 16 // 2**i, 24 // 2**i) for i, c in enumerate(channels)]
    outs = neck(feats)
    assert [out.shape for out in outs] == [feat.shape for feat in feats]
    sum(out.square().sum() for out in outs).backward()
    assert [name for name, parameter in neck.named_parameters() if parameter.grad is None] == []
    with pytest.raises(ValueError, match=r'neck\.in_channels'):
        neck(feats[::-1])
