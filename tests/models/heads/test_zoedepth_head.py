"""Parts of the ZoeDepth head by closed forms; its options and its gradients."""

import math

import pytest
import torch

from depth.models.heads import ZoeDepthDomainsHead, ZoeDepthHead
from depth.models.heads.zoedepth_head import (
    LogBinomial,
    attract,
    log_binomial_coefficients,
    position_code,
)
from depth.structures import DepthDataSample

SMALL = dict(
    in_channels=[8] * 4,
    pyramid_channels=[4, 4, 8, 8],
    channels=8,
    num_bins=8,
    embed_channels=8,
    hidden_channels=8,
    seed_channels=8,
    min_depth=0.5,
    max_depth=20.0,
)


def tokens(count=2, rows=3, columns=2):
    generator = torch.Generator().manual_seed(0)
    feats = []
    for _ in range(4):
        feat = torch.randn(count, 8, rows, columns, generator=generator)
        feats.append((feat, torch.randn(count, 1, 8, generator=generator)))
    return feats


def test_attractors_pull_near_centres_and_leave_far_ones():
    centers = torch.tensor([1.0, 1.1, 5.0]).view(1, 3, 1, 1)
    moved = attract(centers, torch.tensor([1.0, 1.2]).view(1, 2, 1, 1)).flatten()
    expected = []
    for center in (1.0, 1.1, 5.0):
        shifts = [(a - center) / (1 + 300 * (a - center) ** 2) for a in (1.0, 1.2)]
        expected.append(center + sum(shifts) / 2)
    assert moved.tolist() == pytest.approx(expected)
    assert moved[1].item() == pytest.approx(1.1)  # halfway between two attractors
    assert abs(moved[2].item() - 5.0) < 1e-3


def test_coefficients_are_stirlings_and_symmetric():
    coefficients = log_binomial_coefficients(64).flatten()
    exact = torch.tensor([math.log(math.comb(63, k)) for k in range(64)])
    assert (coefficients - coefficients.flip(0)).abs().max() < 1e-4
    assert 2.2 < (coefficients - exact).abs().max() < 2.4
    # Stirling's formula lacks the factor sqrt(n / (2 pi k (n - k))).
    k = torch.arange(1, 63)
    missing = 0.5 * torch.log(63 / (2 * math.pi * k * (63 - k)))
    assert (coefficients[1:63] + missing - exact[1:63]).abs().max() < 0.09


def test_distribution_is_centred_at_the_share_and_flattens_with_the_temperature():
    layer = LogBinomial(4, 4, 64)
    outputs = {}
    layer.mlp = torch.nn.Identity()
    for name, values in dict(sharp=(3.0, 1.0, -30.0, 30.0), flat=(3.0, 1.0, 30.0, -30.0)).items():
        outputs[name] = layer(torch.tensor(values).view(1, 4, 1, 1)).flatten()
        assert outputs[name].sum().item() == pytest.approx(1)
    softplus = [math.log1p(math.exp(value)) + 1e-4 for value in (3.0, 1.0)]
    share = softplus[0] / sum(softplus)
    assert outputs['sharp'].argmax().item() == pytest.approx(63 * share, abs=1)
    # At the highest temperature, 50, the logits differ by 63 log(p / (1 - p)) / 50 at most.
    spread = outputs['flat'].log().max() - outputs['flat'].log().min()
    assert outputs['flat'].max() < outputs['sharp'].max() / 5
    assert spread < 2


def test_position_code_has_all_sines_first():
    code = position_code(5, 8, torch.device('cpu'))
    for position in range(5):
        for index in range(4):
            angle = position * 10000 ** (-2 * index / 8)
            assert code[position, index].item() == pytest.approx(math.sin(angle), abs=1e-6)
            assert code[position, 4 + index].item() == pytest.approx(math.cos(angle), abs=1e-6)


def test_normed_centres_stay_in_the_depth_range_and_are_sorted():
    head = ZoeDepthHead(**SMALL, bin_centers='normed').eval()
    outputs = head(tokens())
    centers = outputs['bin_centers']
    assert centers.shape == (2, 8, 24, 16)
    assert outputs['depth'].shape == outputs['relative_inverse_depth'].shape == (2, 1, 48, 32)
    assert centers.min() >= 0.5
    assert centers.max() <= 20
    assert (centers.diff(dim=1) >= 0).all()
    # A layer for normed centres has two outputs an attractor, of which the second is not used.
    layer = head.metric_bins.attractors[0][2]
    assert layer.out_channels == 32
    with torch.no_grad():
        layer.bias[1::2] += 10
    assert torch.equal(head(tokens())['depth'], outputs['depth'])


def test_every_domain_learns_only_when_it_is_chosen():
    head = ZoeDepthDomainsHead(
        **SMALL,
        domains=dict(near=5.0, far=20.0),
        with_relative_depth=False,
        loss_domain=dict(type='SceneClassLoss'),
    )
    samples = [
        DepthDataSample(gt_depth=torch.full((48, 32), 3.0), metainfo=dict(dataset=name))
        for name in ('near', 'far')
    ]
    gt_depth = torch.stack([sample.gt_depth for sample in samples]).unsqueeze(1)
    outputs = head(tokens())
    sum(head.loss(outputs, gt_depth, samples).values()).backward()
    chosen = head.domains[outputs['domain'][0]]
    # Distributed training waits for every trained parameter's gradient.
    for name, parameter in head.named_parameters():
        assert (parameter.grad is not None) == parameter.requires_grad, name
    for name, bins in head.metric_bins.items():
        gradients = [parameter.grad for parameter in bins.parameters()]
        assert any(gradient.any() for gradient in gradients) == (name == chosen)
    assert all(parameter.grad.any() for parameter in head.router.classifier.parameters())


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(in_channels=[8, 8, 8, 4]), 'same width four times'),
        (dict(bin_centers='linear'), 'softplus, normed'),
        (dict(num_attractors=(16, 8)), 'four positive numbers'),
        (dict(num_attractors=(16, 8, 4, 0)), 'four positive numbers'),
    ],
)
def test_unknown_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ZoeDepthHead(**(SMALL | options))


def test_domains_have_to_be_two_in_the_depth_range():
    with pytest.raises(ValueError, match='two or more'):
        ZoeDepthDomainsHead(**SMALL, domains=dict(nyu=10.0))
    with pytest.raises(ValueError, match=r'domains\.kitti is 80\.0 m, outside'):
        ZoeDepthDomainsHead(**SMALL, domains=dict(nyu=10.0, kitti=80.0))


def test_maps_without_class_tokens_are_refused():
    with pytest.raises(ValueError, match='prefix_tokens=True'):
        ZoeDepthHead(**SMALL)([feat for feat, _ in tokens()])
