"""Every converter takes its published file however it is wrapped, and refuses other files in words."""

import zlib

import pytest
import torch

from depth.engine.config import load_config
from depth.engine.converters import convert_official
from depth.engine.converters.convert import (
    find_converter,
    find_problems,
    import_project_converters,
    published_weights,
)
from depth.registry import CONVERTERS
from tests.parity.cases import load_case
from tests.shared import REPO

# Method, config below the repository, by recorded case of names and shapes.
CASES = {
    'adabins_efnetb5ap_nyu': ('adabins', 'configs/adabins/adabins_efnetb5ap_nyu_24e.py'),
    'binsformer_swint_w7_nyu': ('binsformer', 'configs/binsformer/binsformer_swint_w7_nyu.py'),
    'bts_r50_nyu': ('bts', 'configs/bts/bts_r50_nyu_24e.py'),
    'da3mono_vits': ('depth_anything_3', 'configs/depth_anything/depth_anything_3_mono_vits.py'),
    'da3mono_vitb': ('depth_anything_3', 'configs/depth_anything/depth_anything_3_mono_vitb.py'),
    'depth_anything_v2_vits': (
        'depth_anything_v2',
        'configs/depth_anything/depth_anything_v2_vits_relative.py',
    ),
    'depth_anything_v2_vitb': (
        'depth_anything_v2',
        'configs/depth_anything/depth_anything_v2_vitb_relative.py',
    ),
    'depth_anything_v2_metric_vits': (
        'depth_anything_v2',
        'configs/depth_anything/depth_anything_v2_vits_hypersim.py',
    ),
    'depth_anything_v2_metric_vitb': (
        'depth_anything_v2',
        'configs/depth_anything/depth_anything_v2_vitb_vkitti2.py',
    ),
    'depthformer_swint_w7_nyu': ('depthformer', 'configs/depthformer/depthformer_swint_w7_nyu.py'),
    'depthpro_vits': ('depth_pro', 'configs/depth_pro/depth_pro_vits.py'),
    'dpt_vit_b16_nyu': ('dpt', 'configs/dpt/dpt_vit-b16_nyu.py'),
    'epcdepth_resnet18': (
        'epcdepth',
        'projects/EPCDepth/configs/EPCDepth/epcdepth_r18_kitti_192x640.py',
    ),
    'metric3dv1_convtiny': ('metric3d', 'configs/metric3d/metric3dv1_convtiny.py'),
    'metric3dv2_vits': ('metric3d', 'configs/metric3d/metric3dv2_vits.py'),
    'mmdepth_binsformer_swin_tiny': (
        'mmdepth_binsformer',
        'configs/binsformer/binsformer_mmdepth_swin_tiny_nyu.py',
    ),
    'moge2_vits': ('moge2', 'configs/moge/moge2_vits.py'),
    'moge2_vitb': ('moge2', 'configs/moge/moge2_vitb.py'),
    'newcrfs_swinl_22k_w7_nyu': ('newcrfs', 'configs/newcrfs/newcrfs_swinl_22k_w7_nyu.py'),
    'plane2depth_swin_large_nyu': (
        'plane2depth',
        'projects/Plane2Depth/configs/Plane2Depth/plane2depth_swin_large_NYU_480x640.py',
    ),
    'scaledepth_swin_tiny_nyu': (
        'scaledepth',
        'projects/ScaleDepth/configs/ScaleDepth/scaledepth_swin_tiny_NYU_480x480.py',
    ),
    'sdconvtrans_mitb0': (
        'sdconvtrans',
        'projects/SDConvTrans/configs/SDConvTrans/sdconvtrans_r101_mitb0_nyu.py',
    ),
    'zoedepth_n_beitb': ('zoedepth', 'configs/zoedepth/zoedepth_n_beitb.py'),
    'zoedepth_nk_beitb': ('zoedepth', 'configs/zoedepth/zoedepth_nk_beitb.py'),
}
IN_CI = (
    'da3mono_vits',
    'depth_anything_v2_metric_vits',
    'depthpro_vits',
    'metric3dv2_vits',
    'moge2_vits',
    'sdconvtrans_mitb0',
    'zoedepth_nk_beitb',
)
PARAMETERS = [pytest.param(case, marks=() if case in IN_CI else pytest.mark.long) for case in CASES]
WITHOUT_CASE = {'simipu'}  # tests/parity/test_simipu.py has its names


@pytest.fixture(scope='module', autouse=True)
def converters():
    import_project_converters(REPO)
    find_converter('dpt')  # fills the registry


def named_weights(case):
    """Return tensors of the published names and shapes: one value for each name, without memory."""
    weights = {}
    for name, shape in load_case(case)['state_dict'].items():
        value = torch.tensor(zlib.crc32(name.encode()) / 2**32 + 0.1)
        if name.endswith('num_batches_tracked'):
            value = torch.tensor(0)
        weights[name] = value.expand(shape)
    return weights


def wrappings(weights):
    """Yield the ways in which checkpoints hold their weights."""
    prefixed = {f'module.{name}': value for name, value in weights.items()}
    for state in (weights, prefixed):
        yield dict(state)
        yield dict(state_dict=dict(state), epoch=3)
        yield dict(model=dict(state), optimizer=None)


def convert(method, checkpoint):
    return convert_official(method, published_weights(checkpoint))


def test_every_method_is_here():
    methods = {method for method, _ in CASES.values()} | WITHOUT_CASE
    assert methods == set(CONVERTERS.module_dict)


@pytest.mark.parametrize('case', PARAMETERS)
def test_bare_nested_and_prefixed_files_fill_the_config(case):
    method, config = CASES[case]
    results = [convert(method, checkpoint) for checkpoint in wrappings(named_weights(case))]
    assert find_problems(results[0], load_config(REPO / config), lenient=True) == ''
    for other in results[1:]:
        assert other.keys() == results[0].keys()
        for name, value in other.items():
            assert value.shape == results[0][name].shape, name
            # Constant tensors: the first and the last value stand for all.
            expected = results[0][name].flatten()[[0, -1]] if value.numel() else value
            assert torch.equal(value.flatten()[[0, -1]] if value.numel() else value, expected), name


@pytest.mark.parametrize('case', PARAMETERS)
def test_other_files_are_refused_in_words(case):
    method, config = CASES[case]
    weights = named_weights(case)
    with pytest.raises(ValueError, match=r'surplus\.weight'):
        convert(method, weights | {'surplus.weight': torch.zeros(2)})
    cfg = load_config(REPO / config)
    # The last weight that a model needs; the file's last one can be one that is never used.
    for name in reversed(list(weights)):
        state = {key: value for key, value in weights.items() if key != name}
        try:
            problems = find_problems(convert(method, state), cfg, lenient=True)
        except ValueError as error:
            problems = str(error)
        if problems:
            break
    assert any(word in problems for word in ('missing', 'unexpected', ' has no ')), problems
    # A file of another method; what a converter lets pass does not fill the model.
    other = 'bts_r50_nyu' if method != 'bts' else 'dpt_vit_b16_nyu'
    try:
        problems = find_problems(convert(method, named_weights(other)), cfg)
    except ValueError as error:
        problems = str(error)
    assert problems
