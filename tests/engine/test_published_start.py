"""A training, a test and an inference start from the published file itself."""

import pytest
import torch

from depth.apis import init_model, train
from depth.engine.config import load_config
from depth.engine.errors import ConfigError
from depth.engine.published_weights import weights_for_model
from tests.shared import REPO

CONFIG = 'configs/synthetic/depth_anything_tiny_rooms.py'
METHOD = dict(method='depth_anything_v2')
# Published names of our own, in the order in which they are replaced.
NAMES = (
    ('backbone.net.', 'pretrained.'),
    ('decode_head.pyramid.', 'depth_head.'),
    ('decode_head.conv.', 'depth_head.scratch.output_conv1.'),
    ('decode_head.output.', 'depth_head.scratch.output_conv2.'),
    ('.skip_unit.', '.resConfUnit1.'),
    ('.unit.', '.resConfUnit2.'),
    ('.project.', '.out_conv.'),
)


def published_name(name):
    for ours, theirs in NAMES:
        name = name.replace(ours, theirs)
    for index in range(4):
        name = name.replace(
            f'decode_head.fusion.reduce.{index}.', f'depth_head.scratch.layer{index + 1}_rn.'
        )
        name = name.replace(
            f'decode_head.fusion.blocks.{index}.', f'depth_head.scratch.refinenet{4 - index}.'
        )
    return name


@pytest.fixture(scope='module')
def tiny(tmp_path_factory):
    """Return a tiny model and a file of its weights with the published names."""
    torch.manual_seed(1)
    model = init_model(REPO / CONFIG)
    state = {published_name(name): value for name, value in model.state_dict().items()}
    state['pretrained.mask_token'] = torch.zeros(1, 96)
    path = tmp_path_factory.mktemp('published') / 'depth_anything_v2_tiny.pth'
    torch.save(state, path)
    return model, path


def test_inference_takes_the_published_file(tiny):
    model, path = tiny
    loaded = init_model(REPO / CONFIG, path, cfg_options=dict(load_published=METHOD))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, model.state_dict()[name]), name
    with pytest.raises(ValueError, match='does not fit the model'):
        init_model(REPO / CONFIG, path)  # the config names no method


def test_a_training_takes_the_encoder_and_keeps_the_rest(tiny, tmp_path):
    model, path = tiny
    options = {
        'load_from': str(path),
        'load_published': METHOD | dict(parts=['backbone.']),
        'train_cfg.max_iters': 1,
        'optim_wrapper.optimizer.lr': 1e-9,
        'train_dataloader.dataset.num_scenes': 2,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        'val_dataloader.dataset.num_scenes': 1,
        'custom_hooks': [],
    }
    runner = train(load_config(REPO / CONFIG, options), work_dir=tmp_path)
    trained = runner.model.state_dict()
    name = 'backbone.net.blocks.0.attn.qkv.weight'
    torch.testing.assert_close(trained[name], model.state_dict()[name], rtol=1e-4, atol=1e-5)
    name = 'decode_head.conv.weight'
    assert not torch.allclose(trained[name], model.state_dict()[name], atol=1e-3)


def test_other_files_and_options_are_refused_in_words(tiny):
    model, _ = tiny
    initial = model.state_dict()
    with pytest.raises(ValueError, match='entries that nothing here uses: conv1'):
        weights_for_model({'conv1.weight': torch.zeros(1)}, METHOD, initial, 'other.pth')
    with pytest.raises(ConfigError, match='load_published is dict'):
        weights_for_model({}, dict(part=[]), initial, 'x.pth')
    state = {published_name(name): value for name, value in initial.items()}
    with pytest.raises(ConfigError, match='no weight of the model begins with'):
        weights_for_model(state, METHOD | dict(parts=['neck.']), initial, 'x.pth')
    # A checkpoint of a training of this toolbox is never taken for a published file.
    options = METHOD | dict(parts=['backbone.'])
    own = dict(meta=dict(run_id='x'), state_dict=initial)
    assert weights_for_model(own, options, initial, 'iter_1.pth') is initial
    assert weights_for_model(initial, options, initial, 'plain.pth') is initial
    # One of a conversion is.
    converted = dict(meta=METHOD, state_dict={name: 2 * v for name, v in initial.items()})
    start = weights_for_model(converted, options, initial, 'ours.pth')
    name = 'decode_head.conv.bias'
    assert start[name] is initial[name] and start['backbone.net.norm.bias'] is not initial[name]


def test_shipped_trainings_name_the_method_and_the_encoder():
    for path in sorted((REPO / 'configs/depth_anything').glob('*.py')):
        cfg = load_config(path)
        trains = 'train_dataloader' in cfg
        assert path.stem.startswith(cfg.load_published.method)
        # A fine-tuning of Depth Anything 3 goes on with the whole model.
        takes_encoder = trains and path.stem.startswith('depth_anything_v2')
        expected = ['backbone.'] if takes_encoder else []
        assert list(cfg.load_published.get('parts') or []) == expected
