"""References ``'${name}'`` in configs: one key for the range, the roots, the crop and the length of training."""

import ast

import pytest
from mmengine.config import Config

from depth.apis import init_model
from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.config_references import resolve_references
from depth.engine.config_values import check_testing_parts, check_training_parts
from depth.engine.errors import ConfigError
from tests.shared import REPO

FOLDER = REPO / 'configs/densedepth/densedepth_r18_folder.py'
ROOMS = REPO / 'configs/densedepth/densedepth_r18_rooms.py'
ALL = sorted([*REPO.glob('configs/**/*.py'), *REPO.glob('projects/*/configs/**/*.py')])
LEAVES = [path for path in ALL if '_base_' not in path.parts]


def heir(folder, text, base=FOLDER):
    path = folder / 'mine.py'
    path.write_text(f'_base_ = {str(base)!r}\n{text}\n')
    return path


def ranges(cfg):
    sets = [cfg[f'{split}_dataloader'].dataset.max_depth for split in ('train', 'val', 'test')]
    return {
        cfg.model.decode_head.max_depth,
        *sets,
        cfg.val_evaluator.max_depth,
        cfg.test_evaluator.max_depth,
    }


def in_a_file(tmp_path, text, options):
    return load_config(heir(tmp_path, text))


def as_options(tmp_path, text, options):
    return load_config(FOLDER, options)


@pytest.mark.parametrize('read', [in_a_file, as_options])
def test_one_key_rules_range_root_crop_and_length(read, tmp_path):
    text = "max_depth = 80.0\ntrain_root = 'elsewhere'\ncrop_size = (320, 320)\nmax_iters = 500"
    options = dict(max_depth=80.0, train_root='elsewhere', crop_size=(320, 320), max_iters=500)
    cfg = read(tmp_path, text, options)
    assert ranges(cfg) == {80.0}
    assert cfg.train_dataloader.dataset.data_root == 'elsewhere'
    crop = next(step for step in cfg.train_dataloader.dataset.pipeline if step.type == 'RandomCrop')
    assert crop.crop_size == (320, 320)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler.total_steps == 500
    check_config(cfg)


def test_the_length_of_the_loop_rules_the_schedule_too():
    assert load_config(FOLDER, {'train_cfg.max_iters': 70}).param_scheduler.total_steps == 70


def test_a_step_of_the_pipeline_variable_rules_the_data_set():
    cfg = load_config(FOLDER, {'train_pipeline.3.crop_size': (64, 96)})
    assert cfg.train_dataloader.dataset.pipeline[3].crop_size == (64, 96)


def test_one_key_rules_the_class_of_the_data_sets(tmp_path):
    indoor = REPO / 'configs/_base_/datasets/diode_indoor.py'
    cfg = load_config(heir(tmp_path, "dataset_type = 'DIODEOutdoorDataset'", base=indoor))
    types = {cfg[f'{split}_dataloader'].dataset.type for split in ('train', 'val', 'test')}
    assert types == {'DIODEOutdoorDataset'}


def test_an_option_below_a_reference_changes_that_place():
    key = 'val_dataloader.dataset.pipeline.0.type'
    cfg = load_config(FOLDER, {key: 'LoadPair', 'max_depth': 20.0})
    assert cfg.val_dataloader.dataset.pipeline[0].type == 'LoadPair'
    assert cfg.test_dataloader.dataset.pipeline[0].type == 'LoadImage'
    assert ranges(cfg) == {20.0}


def test_an_inherited_value_may_still_be_copied(tmp_path):
    text = 'model = dict(decode_head=dict(max_depth={{_base_.max_depth}}))'
    path = heir(tmp_path, text)
    check_config(load_config(path))
    with pytest.raises(
        ConfigError, match=r'decode_head\.max_depth is 10\.0 m but train_dataloader.*80'
    ):
        check_config(load_config(path, dict(max_depth=80.0)))


def test_a_config_straight_from_mmengine_is_resolved_where_it_is_used():
    model = init_model(Config.fromfile(FOLDER), cfg_options={'max_depth': 20.0})
    assert model.decode_head.max_depth == 20.0
    assert ranges(model.cfg) == {20.0}


def test_references_keep_types_are_chained_and_resolved_once():
    cfg = Config(
        dict(a=dict(b=(1, 2)), c='${a.b}', d='${c}', e='${a.b.1}', f='x/${e}/y', g=['${d}'])
    )
    resolve_references(cfg)
    assert (cfg.c, cfg.d, cfg.e, cfg.f, cfg.g) == ((1, 2), (1, 2), 2, 'x/2/y', [(1, 2)])
    before = cfg.to_dict()
    resolve_references(cfg)
    assert cfg.to_dict() == before


@pytest.mark.parametrize(
    ('values', 'phrases'),
    [
        (
            dict(max_depth=1.0, model=dict(far='${max_dept}')),
            ['model.far', '${max_dept}', 'did you mean max_depth'],
        ),
        (dict(a='${b}', b='${c}', c='${a}'), ['a -> b -> c', 'lead back to themselves']),
        (dict(a=dict(b='${a}')), ['a.b -> a']),
        (dict(a=[1], b='x${a}'), ['b has ${a} inside a text', 'list']),
    ],
)
def test_a_reference_without_a_value_names_both_places(values, phrases):
    with pytest.raises(ConfigError) as caught:
        resolve_references(Config(values))
    for phrase in phrases:
        assert phrase in str(caught.value)


PLAIN_BASE = """
max_depth = 10.0
train_pipeline = [dict(type='LoadImage')]
model = dict(decode_head=dict(max_depth=max_depth))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, max_depth=max_depth))
"""


@pytest.mark.parametrize('name', ['max_depth = 80.0', "train_pipeline = [dict(type='LoadDepth')]"])
def test_a_variable_that_nothing_reads_any_more_is_refused(name, tmp_path):
    (tmp_path / 'base.py').write_text(PLAIN_BASE)
    with pytest.raises(
        ConfigError,
        match=r'mine\.py, line 2: \w+ = .*changes nothing; set (model|train_dataloader)',
    ):
        load_config(heir(tmp_path, name, base=tmp_path / 'base.py'))
    key, value = name.split(' = ')
    with pytest.raises(ConfigError, match=f'--cfg-options {key}: .*changes nothing'):
        load_config(
            tmp_path / 'base.py', {key: ast.literal_eval(value) if key == 'max_depth' else []}
        )


@pytest.mark.parametrize(
    'text',
    [
        'channels = [1, 2]\nmodel = dict(decode_head=dict(in_channels=channels))',
        "note = 'for the paper'",
        "_private = 3\nwork_dir = 'here'",
        'max_depth = 80.0\nmodel = dict(decode_head=dict(max_depth=max_depth))\ntrain_dataloader = '
        'dict(batch_size=1)',
    ],
)
def test_variables_that_act_or_are_the_users_own_are_accepted(text, tmp_path):
    (tmp_path / 'base.py').write_text(PLAIN_BASE)
    load_config(heir(tmp_path, text, base=tmp_path / 'base.py'))


def test_a_resolved_config_refuses_a_variable_that_has_done_its_work():
    cfg = load_config(FOLDER)
    with pytest.raises(
        ConfigError, match=r'max_depth.*changes nothing; set model\.decode_head\.max_depth'
    ):
        init_model(cfg, cfg_options={'max_depth': 80.0})


@pytest.mark.parametrize(
    'options',
    [
        {'val_evaluator.max_depth': 10.0},
        {'val_evaluator.max_depth': None},
        {'train_dataloader.dataset.max_depth': 10.0},
        {'test_dataloader.dataset.max_depth': 10.0},
        {'model.decode_head.loss_decode.max_depth': 10.0},
    ],
    ids=lambda options: next(iter(options)),
)
def test_a_part_that_keeps_another_range_is_named(options):
    cfg = load_config(FOLDER, dict(options, max_depth=80.0))
    with pytest.raises(ConfigError) as caught:
        check_config(cfg)
    key = next(iter(options))
    assert key.rpartition('.')[0] in str(caught.value)
    assert '80' in str(caught.value)


def test_a_protocol_of_a_fixed_range_is_compared_with_the_data():
    with pytest.raises(
        ConfigError, match=r'rooms_10\) scores depth up to 10 m but val_dataloader.*is 80 m'
    ):
        check_config(load_config(ROOMS, dict(max_depth=80.0)))
    free = {f'{split}_dataloader.dataset.max_depth': None for split in ('val', 'test')}
    check_config(load_config(ROOMS, dict(free, max_depth=80.0)))


def test_the_range_of_mixed_sets_and_evaluators_is_compared():
    mixed = REPO / 'configs/densedepth/densedepth_r18_synthetic_mixed.py'
    with pytest.raises(
        ConfigError, match=r'train_dataloader\.dataset\.datasets\.1\.max_depth is 90'
    ):
        check_config(load_config(mixed, {'train_dataloader.dataset.datasets.1.max_depth': 90.0}))
    streets = dict(protocol='streets_80', max_depth=50.0)
    protocols = dict(_delete_=True, synthetic_rooms='rooms_10', synthetic_streets=streets)
    with pytest.raises(
        ConfigError, match=r'val_evaluator\.protocols\.synthetic_streets.*up to 50 m'
    ):
        check_config(load_config(mixed, {'val_evaluator.protocols': protocols}))


def test_the_range_of_a_wrapped_data_set_is_compared():
    cfg = load_config(ROOMS)
    check_config(cfg)
    inner = dict(cfg.train_dataloader.dataset, max_depth=7.0)
    cfg.train_dataloader.dataset = dict(type='RepeatDataset', dataset=inner, times=2)
    with pytest.raises(ConfigError, match=r'train_dataloader\.dataset\.dataset\.max_depth is 7\.0'):
        check_config(cfg)


@pytest.mark.parametrize('config', LEAVES, ids=lambda path: path.stem)
def test_a_shipped_config_is_complete_and_states_its_batch(config):
    cfg = load_config(config)
    check_config(cfg)
    if cfg.get('train_cfg'):
        assert cfg.auto_scale_lr.base_batch_size >= 1
        check_training_parts(cfg)
    else:
        check_testing_parts(cfg)


@pytest.mark.parametrize(
    'config', [path for path in LEAVES if 'evaluation' not in path.parts], ids=lambda p: p.stem
)
def test_the_range_of_a_shipped_config_is_one_key(config):
    cfg = load_config(config)
    if 'max_depth' not in cfg or 'train_cfg' not in cfg:
        return
    cfg = load_config(config, dict(max_depth=33.0))
    head = cfg.model.decode_head
    nodes = [head, head.get('loss_decode') or {}]
    if 'benchmark' not in config.stem:  # scored beyond what is predicted, as published
        nodes.append(cfg.val_dataloader.dataset)
    actual = [
        node['max_depth']
        for node in [*nodes, cfg.train_dataloader.dataset]
        if node.get('max_depth')
    ]
    assert set(actual) == {33.0}


def test_one_key_rules_the_size_of_rendered_images():
    cfg = load_config(ROOMS, dict(image_size=(32, 64)))
    assert {
        cfg[f'{split}_dataloader'].dataset.image_size for split in ('train', 'val', 'test')
    } == {(32, 64)}


def test_options_below_one_key_are_merged_together():
    options = {
        'optim_wrapper.clip_grad.type': 'value',
        'optim_wrapper.clip_grad.clip_value': 1,
        'optim_wrapper.clip_grad._delete_': True,
    }
    cfg = load_config(REPO / 'configs/synthetic/depthformer_tiny_rooms.py', options)
    assert dict(cfg.optim_wrapper.clip_grad) == dict(type='value', clip_value=1)
