import pytest
import torch
import torch.nn.functional as F
from timm.models.swin_transformer import PatchMerging

from depth.engine.converters import PublishedState, convert_official, convert_swin, write_converted
from depth.engine.converters.convert import published_weights
from depth.registry import CONVERTERS

CONFIG = """
min_depth, max_depth = 1e-3, {far}
model = dict(type='DepthEstimator', backbone=dict(type='TimmBackbone', model_name='resnet18', out_indices=(0, 1)),
             decode_head=dict(type='DenseDepthHead', in_channels=[64, 64], channels=8,
                              min_depth=min_depth, max_depth=max_depth))
default_scope = 'depth'
"""
CONVERTER = """
from depth.registry import CONVERTERS

@CONVERTERS.register_module(name='plain', force=True)
def convert_plain(state):
    state.drop(r'^classifier\\.')
    return state.take_all('net.', lambda name: name.removeprefix('net.'))
"""


@pytest.fixture
def repository(tmp_path):
    """A repository with a project whose converter and configs the tool has to find."""
    project = tmp_path / 'projects' / 'Plain'
    folder = project / 'configs' / 'Plain'
    folder.mkdir(parents=True)
    (project / 'converters.py').write_text(CONVERTER)
    for name, far in (('plain_nyu', 10.0), ('plain_kitti', 80.0)):
        (folder / f'{name}.py').write_text(CONFIG.format(far=far))
    yield tmp_path
    CONVERTERS.module_dict.pop('plain', None)


@pytest.fixture
def published(repository):
    """Write a published checkpoint of that project, and return its path and its weights."""
    from depth.engine.config import load_config
    from tests.parity.cases import model_shapes

    shapes = model_shapes(load_config(repository / 'projects/Plain/configs/Plain/plain_nyu.py'))
    weights = {name: torch.rand(shape) for name, shape in shapes.items()}
    state = {f'module.net.{name}': value for name, value in weights.items()}
    path = repository / 'best.pth'
    torch.save(dict(state_dict=state | {'module.classifier.weight': torch.zeros(2)}, epoch=3), path)
    return path, weights


def test_a_project_converter_fills_its_shipped_configs(repository, published, monkeypatch):
    import sys

    for name in [
        name for name in sys.modules if name == 'projects' or name.startswith('projects.')
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(repository))
    path, weights = published
    fitting = write_converted('plain', path, repository / 'ours.pth', root=repository)
    assert [path.stem for path in fitting] == [
        'plain_kitti',
        'plain_nyu',
    ]  # a range changes no shape
    written = torch.load(repository / 'ours.pth', weights_only=True)
    assert all(torch.equal(written['state_dict'][name], value) for name, value in weights.items())
    assert 'cfg' not in written['meta']
    renamed = path.rename(repository / 'plain_nyu_abs0.1.pth')
    assert [
        path.stem
        for path in write_converted('plain', renamed, repository / 'ours.pth', root=repository)
    ] == ['plain_nyu']
    meta = torch.load(repository / 'ours.pth', weights_only=True)['meta']
    assert meta['depth_range'] == [1e-3, 10.0]
    assert meta['cfg']['model']['backbone']['model_name'] == 'resnet18'
    monkeypatch.delitem(sys.modules, 'projects.Plain.converters')
    monkeypatch.delitem(sys.modules, 'projects.Plain', raising=False)
    monkeypatch.delitem(sys.modules, 'projects', raising=False)


def fake_state(**changes):
    state = {'backbone.bn1.weight': torch.zeros(3), 'neck.level_embed': torch.zeros(4, 2)}
    return state | changes


def test_an_entry_that_nobody_knows_is_an_error_that_names_it():
    with pytest.raises(ValueError, match=r'1 entries .* auxiliary_head\.weight'):
        convert_official('depthformer', fake_state(**{'auxiliary_head.weight': torch.zeros(1)}))


def test_position_indices_may_be_there_or_not():
    name = 'backbone.stages.0.blocks.0.attn.w_msa.relative_position_index'
    with_index = convert_official('depthformer', fake_state(**{name: torch.zeros(49, 49)}))
    assert (
        set(with_index) == set(convert_official('depthformer', fake_state())) == set(fake_state())
    )


def test_an_unknown_method_is_answered_with_a_known_one():
    with pytest.raises(ValueError, match='did you mean depthformer'):
        convert_official('depthfromer', {})


def test_a_missing_entry_is_named():
    with pytest.raises(ValueError, match=r"my.pth has no entry 'a\.b'"):
        PublishedState({}, 'my.pth').take('a.b')


def test_weights_are_found_one_level_down():
    weights = dict(a=torch.zeros(1))
    assert published_weights(dict(model=weights, epoch=1)) == weights
    assert published_weights(weights) == weights


def test_patch_merging_computes_the_published_function():
    torch.manual_seed(0)
    channels, out = 3, 5
    image = torch.randn(2, channels, 6, 8)
    norm_weight, norm_bias, reduction = (
        torch.rand(4 * channels),
        torch.rand(4 * channels),
        torch.rand(out, 4 * channels),
    )
    # Published: unfold puts the channel first, then the row, then the column.
    merged = F.unfold(image, kernel_size=2, stride=2).transpose(1, 2)
    expected = F.linear(F.layer_norm(merged, [4 * channels], norm_weight, norm_bias), reduction)
    prefix = 'backbone.stages.0.downsample.'
    published = {f'{prefix}norm.weight': norm_weight, f'{prefix}norm.bias': norm_bias}
    converted = convert_swin(
        PublishedState(published | {f'{prefix}reduction.weight': reduction}),
        'backbone.',
        'backbone.',
    )
    layer = PatchMerging(channels, out)
    ours = 'backbone.net.layers_1.downsample.'
    layer.load_state_dict({name.removeprefix(ours): value for name, value in converted.items()})
    actual = layer(image.permute(0, 2, 3, 1)).flatten(1, 2)
    torch.testing.assert_close(actual, expected)
