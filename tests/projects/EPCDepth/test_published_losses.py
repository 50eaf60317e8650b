import numpy as np
import pytest
import torch

from depth.models.layers import resize_map, sigmoid_to_inverse_depth, synthesize_view
from depth.models.losses import edge_aware_smoothness, photometric_error, ssim_error
from depth.models.losses.view_synthesis_loss import masked_mean
from projects.EPCDepth.epcdepth_loss import EPCDepthLoss, select_best

from .reference import UNIT, published_synthesis, recorded, scene_sigmoids, scene_views, to_depth

EXACT = dict(rtol=1e-5, atol=1e-6)


@pytest.fixture
def published_rounding(monkeypatch):
    monkeypatch.setattr('depth.models.losses.view_synthesis_loss.synthesize_view', published_synthesis)


exactly = pytest.mark.usefixtures('published_rounding')


def published_loss(hints=True, auto_mask=True, smoothness_weight=0.0, unit=1.0):
    return EPCDepthLoss(
        hint_weight=float(hints),
        hint_unit=unit,
        auto_mask=auto_mask,
        auto_mask_noise=0.0,
        smoothness_weight=smoothness_weight,
    )


def warped(views, depth):
    return synthesize_view(views.sources[0], depth, views.intrinsics, views.transforms[0])


def test_sigmoids_become_depth():
    inverse = sigmoid_to_inverse_depth(recorded('disp/sigmoid'), 0.1 * UNIT, 100 * UNIT)
    torch.testing.assert_close(inverse * UNIT, recorded('disp/scaled'), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(1 / inverse / UNIT, recorded('disp/depth'), rtol=1e-5, atol=1e-6)
    metres = 5.4 / (0.01 + 9.99 * recorded('disp/sigmoid'))
    torch.testing.assert_close(1 / inverse, metres, rtol=1e-5, atol=1e-6)


def test_warps_are_those_of_aligned_corners():
    views = scene_views()
    found = warped(views, to_depth(scene_sigmoids()[0]))
    torch.testing.assert_close(found, recorded('warp/out'), rtol=0, atol=2e-5)
    assert (found - recorded('warp/out_align_corners_false')).abs().max() > 0.01
    torch.testing.assert_close(warped(views, views.depth_hint), recorded('hint/warp'), rtol=0, atol=2e-5)


def test_photometric_error():
    target = recorded('scene/curr')
    torch.testing.assert_close(ssim_error(recorded('warp/out'), target), recorded('photo/ssim'), **EXACT)
    torch.testing.assert_close(photometric_error(recorded('warp/out'), target), recorded('photo/reprojection'), **EXACT)
    other = recorded('scene/other_side')
    torch.testing.assert_close(photometric_error(other, target), recorded('photo/identity'), **EXACT)


def test_smoothness_at_both_sizes():
    sigmoids, image = scene_sigmoids(), recorded('scene/curr')
    torch.testing.assert_close(edge_aware_smoothness(sigmoids[0], image), recorded('smooth/loss_scale0'), **EXACT)
    small = resize_map(image, sigmoids[3].shape[-2:])
    found = edge_aware_smoothness(sigmoids[3], small)
    torch.testing.assert_close(found, recorded('smooth/loss_scale3_own_size'), **EXACT)


@exactly
@pytest.mark.parametrize('hints', [True, False])
@pytest.mark.parametrize('auto_mask', [True, False])
def test_total_loss_and_its_ten_terms(hints, auto_mask):
    name = f'loss/{"" if hints else "no"}hint_{"" if auto_mask else "no"}automask'
    module, views = published_loss(hints, auto_mask), scene_views(hints)
    module.distill_weight = 0.0
    losses = module(scene_sigmoids(), views, to_depth)
    assert set(losses) == {'loss_photometric', *(['loss_hint'] if hints else [])}
    torch.testing.assert_close(sum(losses.values()), recorded(name), **EXACT)
    terms = [sum(module([sigmoid], views, to_depth).values()) for sigmoid in scene_sigmoids()]
    torch.testing.assert_close(torch.stack(terms), recorded(f'{name}/per_scale'), **EXACT)


@exactly
def test_smoothness_adds_to_the_total():
    module = published_loss(smoothness_weight=0.1)
    module.distill_weight = 0.0
    losses = module(scene_sigmoids(), scene_views(), to_depth)
    torch.testing.assert_close(sum(losses.values()), recorded('loss/hint_automask_smooth'), **EXACT)


@exactly
def test_hints_compete_with_prediction_and_identity():
    module, views = published_loss(), scene_views()
    depth = to_depth(scene_sigmoids()[0])
    error, identity, hint = (
        module.reprojection_error(depth, views),
        module.identity_error(views),
        module.hint_error(views),
    )
    torch.testing.assert_close(hint, recorded('hint/reprojection'), rtol=1e-5, atol=2e-5)
    winner = module.winner(error, identity, hint)
    assert torch.equal(winner, recorded('hint/argmin_scale0').long())
    term = module.hint_term(depth, views.depth_hint, winner)
    torch.testing.assert_close(term, recorded('hint/proxy_loss_scale0'), **EXACT)
    torch.testing.assert_close(masked_mean(error, winner != 1), recorded('hint/photometric_scale0'), **EXACT)


@exactly
def test_distillation_labels_and_loss():
    module, views = published_loss(), scene_views()
    maps = [resize_map(sigmoid, (32, 64)) for sigmoid in scene_sigmoids()]
    errors = [module.reprojection_error(to_depth(values), views) for values in maps]
    for group, start in (('decoder', 0), ('encoder', 5)):
        members = slice(start, start + 5)
        label = select_best(maps[members], errors[members])
        torch.testing.assert_close(label, recorded(f'spp/{group}_label'), **EXACT)
        numbers = [torch.full_like(maps[0], number) for number in range(start, start + 5)]
        index = select_best(numbers, errors[members])
        assert torch.equal(index.to(torch.int8), recorded(f'spp/{group}_index'))
    torch.testing.assert_close(module.distillation(maps, errors), recorded('spp/loss'), **EXACT)


@exactly
def test_gradients_of_all_outputs():
    sigmoids = [sigmoid.requires_grad_() for sigmoid in scene_sigmoids()]
    sum(published_loss()(sigmoids, scene_views(), to_depth).values()).backward()
    for index, sigmoid in enumerate(sigmoids):
        expected = recorded(f'grad/disp_{index}').numpy()
        distance = np.linalg.norm(sigmoid.grad.numpy() - expected)
        assert distance < 1e-4 * np.linalg.norm(expected), index


def test_in_metres_only_ties_are_decided_otherwise():
    module, views = published_loss(unit=UNIT), scene_views(unit=UNIT)
    losses = module(scene_sigmoids(), views, lambda sigmoid: to_depth(sigmoid, UNIT))
    total = losses['loss_photometric'] + losses['loss_hint']
    torch.testing.assert_close(total, recorded('loss/hint_automask'), rtol=1e-4, atol=0)
    maps = [resize_map(sigmoid, (32, 64)) for sigmoid in scene_sigmoids()]
    errors = [module.reprojection_error(to_depth(values, UNIT), views) for values in maps]
    differs = ~torch.isclose(select_best(maps[:5], errors[:5]), recorded('spp/decoder_label'), **EXACT)
    lowest = torch.cat(errors[:5], dim=1).sort(dim=1).values
    assert (lowest[:, 1] - lowest[:, 0])[differs[:, 0]].max() < 1e-5
    assert differs.float().mean() < 0.03
