import torch

from depth.models.heads import BinsFormerHead


def test_the_head_starts_as_published():
    torch.manual_seed(0)
    head = BinsFormerHead([8, 8, 8, 8], channels=64, num_bins=64, num_classes=0)
    for table in (head.query_feat, head.query_embed):  # 64 x 64: uniform in +-sqrt(6 / 128)
        assert 0.2 < table.weight.abs().max() <= (6 / 128) ** 0.5
    assert head.layers[0].ffn.layers[0].weight.abs().max() <= (6 / (64 + 2048)) ** 0.5
    assert head.output_convs[0].conv.weight.abs().max() <= (6 / (9 * 128)) ** 0.5
    attention = head.encoder.layers[0].self_attn
    assert not attention.sampling_offsets.weight.any()
    assert attention.sampling_offsets.bias.abs().max() == attention.num_points
    assert head.encoder.level_embed.abs().max() > 1  # normal
