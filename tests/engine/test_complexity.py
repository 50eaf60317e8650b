import pytest
import torch
from torch import nn

from depth.engine.complexity import deformable_attention_flops, measure_complexity
from depth.models.backbones import TimmBackbone
from depth.models.layers import MultiScaleDeformableAttention


class Network(nn.Module):
    """A strided grouped convolution, then a 1x1 one whose work is counted twice because it runs twice."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Conv2d(3, 12, kernel_size=3, stride=2, padding=1, groups=3)
        self.decode_head = nn.Conv2d(12, 12, kernel_size=1, bias=False)
        self.preprocessor = nn.Identity()

    def forward(self, images, mode):
        assert mode == 'tensor'
        return self.decode_head(torch.relu(self.decode_head(self.backbone(images))))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.neck = MultiScaleDeformableAttention(32, num_heads=4, num_levels=1, num_points=3)

    def forward(self, images, mode):
        tokens = images[:, :1].flatten(2).transpose(1, 2).expand(-1, -1, 32)
        reference = torch.full((1, tokens.shape[1], 1, 2), 0.5)
        return self.neck(tokens, tokens, reference, [tuple(images.shape[-2:])])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = TimmBackbone(
            'vit_base_patch16_224', out_indices=(11,), pos_embed_antialias=False
        )

    def forward(self, images, mode):
        return self.backbone(images)


def on(device, network):
    with torch.device(device):
        return network()


@pytest.mark.parametrize('device', ['meta', 'cpu'])
def test_convolutions_cost_what_their_definition_says(device):
    measured = measure_complexity(on(device, Network), (11, 20), device)
    pixels = 6 * 10
    # Multiply-adds; a group of the first sees one channel.
    first, second = (
        pixels * 12 * 9 * 1,
        2 * pixels * 12 * 12,
    )
    assert measured['parts'] == dict(
        backbone=dict(parameters=12 * 9 + 12, macs=first, flops=2 * first),
        decode_head=dict(parameters=144, macs=second, flops=2 * second),
    )
    assert measured['total'] == dict(
        parameters=264, macs=first + second, flops=2 * (first + second)
    )


@pytest.mark.parametrize('device', ['meta', 'cpu'])
def test_sampling_of_deformable_attention_is_counted(device):
    measured = measure_complexity(on(device, Attention), (5, 7), device)
    queries, heads, size, points = 35, 4, 8, 3
    sampling = 2 * queries * heads * points * 4 * size
    projections = 2 * queries * 32 * (heads * points * 2 + heads * points)
    linear = 2 * queries * 32 * (32 + 32)
    if device == 'cpu':  # one operator with the projections of its queries
        operator, flops = 'depth.projected_attention', sampling + projections
    else:
        operator, flops = 'depth.ms_deform_attn', sampling
    assert measured['operators'][operator] == flops
    assert measured['total']['flops'] == sampling + projections + linear
    assert (
        deformable_attention_flops((2, 9, 4, 8), [3, 3], (2, 6, 4, 1, 3, 2), (2, 6, 4, 1, 3))
        == 2 * 4 * 2 * 6 * 12 * 8
    )


def test_vit_base_has_its_known_cost():
    tokens, dim = 197, 768
    of_block = 12 * tokens * dim**2 + 2 * tokens**2 * dim
    macs = 12 * of_block + 196 * 768 * 768
    assert macs == pytest.approx(17.56e9, rel=1e-3)  # as it is usually quoted
    measured = measure_complexity(on('meta', Transformer), (224, 224))
    assert measured['total']['macs'] == macs


def test_an_impossible_size_is_refused():
    with pytest.raises(ValueError, match=r'\(height, width\) in pixels, got \(0, 5\)'):
        measure_complexity(Network(), (0, 5))
