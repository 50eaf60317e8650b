import pytest
import torch

from depth.models.necks import HAHINeck

CHANNELS = [6, 8, 12, 16]


def make_feats(height=16, width=20, channels=CHANNELS):
    sizes = [(-(-height // 2**level), -(-width // 2**level)) for level in range(len(channels))]
    return [torch.randn(2, width_, *size) for width_, size in zip(channels, sizes, strict=True)]


def make_neck(**kwargs):
    torch.manual_seed(0)
    return HAHINeck(CHANNELS, embedding_dim=16, num_heads=2, num_points=2, **kwargs)


@pytest.mark.parametrize('size', [(16, 20), (13, 9)])
def test_maps_keep_their_shapes(size):
    feats = make_feats(*size)
    assert [out.shape for out in make_neck()(feats)] == [feat.shape for feat in feats]


def test_gradients_reach_every_parameter():
    neck = make_neck()
    torch.nn.init.normal_(neck.multi_att.sampling_offsets.weight, std=0.1)
    torch.nn.init.normal_(neck.self_attn.attention_weights.weight, std=0.1)
    sum(out.square().mean() for out in neck(make_feats())).backward()
    dead = [
        name
        for name, parameter in neck.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert dead == []


def test_the_stem_sees_the_coarsest_level_and_the_levels_see_each_other():
    neck = make_neck().eval()
    feats = make_feats()
    before = neck(feats)
    feats[-1] = feats[-1] + 1
    assert all(
        (after - out).abs().max() > 0 for after, out in zip(neck(feats), before, strict=True)
    )


def test_the_levels_do_not_see_the_stem():
    neck = make_neck().eval()
    feats = make_feats()
    before = neck(feats)
    feats[0] = feats[0] + 1
    after = neck(feats)
    assert not torch.equal(after[0], before[0])
    assert all(torch.equal(one, other) for one, other in zip(after[1:], before[1:], strict=True))


def test_odd_embeddings_are_refused():
    with pytest.raises(ValueError, match='embedding_dim'):
        HAHINeck(CHANNELS, embedding_dim=15)


def test_places_are_exact_in_mixed_precision():
    """A place rounded to bfloat16 would be off by 2.6 of 608 columns, and the output by 4 per cent."""
    neck = make_neck().eval()
    for attention in (neck.self_attn, neck.multi_att):
        torch.nn.init.normal_(attention.sampling_offsets.weight, std=0.02)
    feats = make_feats(176, 608)  # of a KITTI image, 352x1216
    feats = [feat[:1] for feat in feats]
    with torch.inference_mode():
        expected = neck(feats)
        with torch.autocast('cpu', torch.bfloat16):
            outputs = neck(feats)
    for value, reference in zip(outputs, expected, strict=True):
        assert (value - reference).norm() < 0.008 * reference.norm()
