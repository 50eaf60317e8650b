import pytest
import torch

from depth.models.necks import DepthGradientRefinement
from depth.models.necks.depth_gradient_refinement import SobelDerivatives
from depth.registry import MODELS

CHANNELS = [8, 16, 32]


def make_feats(channels=CHANNELS):
    return [torch.randn(2, width, 12 >> level, 16 >> level) for level, width in enumerate(channels)]


def test_derivatives_of_a_ramp_are_its_slope_and_zero():
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(9.0), indexing='ij')
    by_x, by_y, *second = SobelDerivatives(1)((2 * x - 3 * y)[None, None])[0]
    inner = slice(2, -2), slice(2, -2)
    assert torch.equal(by_x[inner], torch.full((4, 5), 2.0))
    assert torch.equal(by_y[inner], torch.full((4, 5), -3.0))
    assert all(not tensor[inner].any() for tensor in second)


def test_orders_are_those_of_a_cubic():
    y, x = torch.meshgrid(torch.arange(11.0).double(), torch.arange(11.0).double(), indexing='ij')
    maps = SobelDerivatives(1, orders=(1, 2, 3)).double()((x**3 + x * y**2)[None, None])[0]
    assert len(maps) == 2 + 3 + 4
    center = maps[:, 5, 5].tolist()
    # Central differences of cubics are off by a constant in the first order and exact above.
    assert center[2:5] == pytest.approx([6 * 5, 2 * 5, 2 * 5])  # xx, xy, yy
    assert center[5:] == pytest.approx([6, 0, 2, 0])  # xxx, xxy, xyy, yyy


def test_a_constant_has_no_derivatives_up_to_the_border():
    assert not SobelDerivatives(4, orders=(1, 2, 3))(torch.full((1, 4, 5, 6), 7.0)).any()


@pytest.mark.parametrize(
    'options',
    [
        {},
        dict(orders=(1,)),
        dict(orders=(3, 1), learned_filters=True),
        dict(recalibration='cbam', recalibration_ratio=4),
        dict(recalibration=None),
        dict(start_level=1),
    ],
)
def test_it_starts_as_the_identity_and_every_parameter_learns(options):
    torch.manual_seed(0)
    neck, feats = (
        DepthGradientRefinement(CHANNELS, **dict(recalibration_ratio=2) | options),
        make_feats(),
    )
    assert all(torch.equal(out, feat) for out, feat in zip(neck(feats), feats, strict=True))
    optimizer = torch.optim.SGD(neck.parameters(), lr=0.5)
    for _ in range(2):  # behind the zero weights nothing has a gradient in the first step
        optimizer.zero_grad()
        sum(
            (out - feat.roll(1, dims=-1)).square().mean()
            for out, feat in zip(neck(feats), feats, strict=True)
        ).backward()
        optimizer.step()
    dead = [
        name
        for name, parameter in neck.named_parameters()
        if parameter.grad is None or not parameter.grad.any()
    ]
    assert dead == []
    assert torch.equal(neck(feats)[0], feats[0]) == ('start_level' in options)


def test_wrong_options_are_named():
    for options, words in (
        (dict(orders=(1, 4)), 'orders'),
        (dict(recalibration='eca'), 'recalibration'),
        (dict(start_level=3), 'start_level'),
        (dict(reduction=3), 'reduction=3'),
    ):
        with pytest.raises(ValueError, match=words):
            DepthGradientRefinement(CHANNELS, **options)


def test_a_trained_model_is_unchanged_by_inserting_it():
    torch.manual_seed(0)
    config = dict(
        type='DepthEstimator',
        backbone=dict(type='TimmBackbone', model_name='resnet18', out_indices=(1, 2, 3, 4)),
        neck=dict(type='HAHINeck', in_channels=[64, 128, 256, 512], embedding_dim=16, num_heads=2),
        decode_head=dict(type='DenseDepthHead', in_channels=[64, 128, 256, 512], channels=8),
    )
    plain = MODELS.build(config).eval()
    refinement = dict(
        type='DepthGradientRefinement', in_channels=[64, 128, 256, 512], start_level=1
    )
    refined = MODELS.build(config | dict(neck=[refinement, config['neck']])).eval()
    missing, unexpected = refined.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == []
    assert missing
    assert all(name.startswith('pre_necks.0.levels.') for name in missing)
    image = torch.randn(1, 3, 64, 64)
    assert torch.equal(refined(image), plain(image))
