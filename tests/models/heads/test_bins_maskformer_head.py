"""The mmdepth variant of BinsFormer: what it learns, what its queries see, messages."""

import numpy as np
import torch
import torch.nn.functional as F

from depth.datasets import SampleIndex, SyntheticDataset
from depth.models.heads.bins_maskformer_head import FPNPixelDecoder
from depth.registry import MODELS


def head(**options):
    torch.manual_seed(0)
    defaults = dict(
        in_channels=[8, 16, 32],
        channels=32,
        num_bins=8,
        num_layers=2,
        num_heads=2,
        feedforward_channels=32,
    )
    defaults |= dict(aux_layers=(0,), aux_weights=(0.5,))
    return MODELS.build(dict(type='BinsMaskFormerHead', **defaults | options))


def features(size=(16, 20)):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(2, channels, size[0] >> level, size[1] >> level, generator=generator)
        for level, channels in enumerate((8, 16, 32))
    ]


def test_four_rooms_are_learned_and_gradients_reach_every_parameter():
    torch.manual_seed(0)
    backbone = dict(type='TimmBackbone', model_name='resnet10t', out_indices=(1, 2, 3, 4))
    model = MODELS.build(
        dict(
            type='DepthEstimator',
            backbone=backbone,
            decode_head=dict(
                type='BinsMaskFormerHead',
                in_channels=[64, 128, 256, 512],
                channels=32,
                num_bins=16,
                num_layers=3,
                num_heads=2,
                feedforward_channels=64,
                aux_layers=(0, 1),
                loss_decode=dict(type='SILogLoss', loss_weight=10.0),
            ),
        )
    ).train()
    pipeline = [dict(type='PackDepthInputs')]
    rooms = SyntheticDataset('rooms', num_scenes=4, image_size=(64, 64), pipeline=pipeline)
    samples = [rooms[SampleIndex(index, (0, index))] for index in range(4)]
    batch = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
    batch = model.data_preprocessor(batch, training=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(25):
        values = model(**batch, mode='loss')
        assert set(values) == {'loss_depth', 'aux_loss_depth_0', 'aux_loss_depth_1'}
        optimizer.zero_grad()
        sum(values.values()).backward()
        assert [
            name for name, parameter in model.named_parameters() if parameter.grad is None
        ] == []
        optimizer.step()
        losses.append(values['loss_depth'].item())
    assert np.mean(losses[-3:]) < 0.6 * losses[0]


def test_bins_share_out_the_range_and_depth_lies_in_it():
    outputs = head(min_depth=0.5, max_depth=8.0).eval()(features(), all_layers=True)
    assert outputs['layers'] == [0, 1]
    assert outputs['layer_depths'].shape == (2, 2, 16, 20)
    assert torch.allclose(outputs['bin_edges'][..., [0, -1]], torch.tensor([0.5, 8.0]), rtol=1e-5)
    assert 0.5 < outputs['depth'].min() <= outputs['depth'].max() < 8.0


def test_extra_queries_give_no_bin_but_are_seen_by_the_others():
    model = head(num_extra_queries=2).eval()
    before = model(features())
    with torch.no_grad():
        model.query_embed.weight[-1] += 5
    after = model(features())
    assert before['bin_logits'].shape == (2, 1, 8)
    assert not torch.allclose(before['bin_logits'], after['bin_logits'])


def test_the_pyramid_repeats_coarse_pixels():
    """With an identity pyramid, a coarse value covers its 2x2 block exactly: nearest, not bilinear."""
    torch.manual_seed(0)
    decoder = FPNPixelDecoder([32, 32], 32)
    outputs_of = {}
    decoder.output_convs[0].register_forward_hook(
        lambda module, inputs, output: outputs_of.update(joined=inputs[0])
    )
    decoder.last_feat_conv.register_forward_hook(
        lambda module, inputs, output: outputs_of.update(coarse=output)
    )
    with torch.no_grad():
        decoder.lateral_convs[0].gn.weight.zero_()
        decoder([torch.randn(1, 32, 6, 8), torch.randn(1, 32, 3, 4)])
    assert torch.equal(
        outputs_of['joined'], torch.kron(outputs_of['coarse'], torch.ones(1, 1, 2, 2))
    )
    assert F.relu(outputs_of['coarse']).equal(outputs_of['coarse'])
