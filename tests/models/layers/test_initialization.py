"""Starts of the query heads against the closed form of what Mask2Former's and MaskFormer's ``init_weights`` draw."""

import math

import pytest
import torch

from depth.models.heads import BinsMaskFormerHead
from depth.models.layers import DeformablePixelDecoder, MaskedQueryDecoder

CHANNELS = [96, 192, 384, 768]
UNIFORM, NORMAL = 1.8, 3.0  # kurtosis


def xavier_std(weight):
    fan_in = weight[0].numel()
    fan_out = weight.shape[0] * weight[0, 0].numel()
    return math.sqrt(2 / (fan_in + fan_out))


def caffe2_std(weight):
    return 1 / math.sqrt(weight[0].numel())


def check(weight, std, shape=UNIFORM):
    values = weight.detach().flatten()
    # Four standard errors of a normal sample's deviation; a uniform one's is smaller.
    assert float(values.std()) == pytest.approx(std, rel=4 / math.sqrt(2 * len(values)))
    assert float(values.mean()) == pytest.approx(0, abs=4 * std / math.sqrt(len(values)))
    kurtosis = float(values.double().pow(4).mean() / values.double().square().mean() ** 2)
    assert kurtosis == pytest.approx(shape, abs=0.2)


def transformer_matrices(layers):
    return [
        parameter
        for name, parameter in layers.named_parameters()
        if parameter.dim() > 1 and 'sampling' not in name
    ]


def test_masked_decoder_starts_as_mask2former():
    torch.manual_seed(0)
    decoder = MaskedQueryDecoder(256, 67, 3)
    matrices = transformer_matrices(decoder.layers)
    # In_proj and out_proj of two attentions, two of the feed-forward layer.
    assert len(matrices) == 9 * 6
    for matrix in matrices:
        check(matrix, xavier_std(matrix), NORMAL)
    for table in (decoder.query_feat, decoder.query_embed):
        check(table.weight, 1.0, NORMAL)
    # Linear layers outside of the transformer keep PyTorch's start.
    for layer in list(decoder.mask_embed)[::2]:
        check(layer.weight, 1 / math.sqrt(3 * 256))


def test_deformable_pixel_decoder_starts_as_mask2former():
    torch.manual_seed(0)
    decoder = DeformablePixelDecoder(CHANNELS)
    for module in decoder.input_convs:
        check(module.conv.weight, xavier_std(module.conv.weight))
        assert not module.conv.bias.any()
    for conv in (decoder.lateral_conv.conv, decoder.output_conv.conv, decoder.mask_feature):
        check(conv.weight, caffe2_std(conv.weight))
    assert not decoder.mask_feature.bias.any()
    assert float(decoder.encoder.level_embed.detach().std()) == pytest.approx(1, rel=0.1)
    for layer in decoder.encoder.layers:
        for linear in (layer.ffn.layers[0], layer.ffn.layers[3]):
            check(linear.weight, xavier_std(linear.weight), NORMAL)
        attention = layer.self_attn
        for linear in (attention.value_proj, attention.output_proj):
            check(linear.weight, xavier_std(linear.weight))
            assert not linear.bias.any()
        assert not attention.sampling_offsets.weight.any()
        assert attention.sampling_offsets.bias.any()
        assert not attention.attention_weights.weight.any()


def test_bins_maskformer_head_starts_as_maskformer():
    torch.manual_seed(0)
    head = BinsMaskFormerHead(CHANNELS)
    for matrix in transformer_matrices(head.layers):
        check(matrix, xavier_std(matrix))
    check(head.input_proj.weight, caffe2_std(head.input_proj.weight))
    assert not head.input_proj.bias.any()
    pixels = head.pixel_decoder
    convs = [*pixels.lateral_convs[:-1], *pixels.output_convs[:-1], pixels.last_feat_conv]
    for conv in [*(module.conv for module in convs), pixels.mask_feature]:
        check(conv.weight, caffe2_std(conv.weight))
    assert not pixels.mask_feature.bias.any()
    # The published loop leaves the last pair to ConvModule: Kaiming normal by the fan of the
    # outputs.
    for module in (pixels.lateral_convs[-1], pixels.output_convs[-1]):
        weight = module.conv.weight
        check(weight, math.sqrt(2 / (weight.shape[0] * weight[0, 0].numel())), NORMAL)
    check(head.query_embed.weight, 1.0, NORMAL)
