import sys

import pytest

from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.errors import ConfigError
from tests.shared import REPO

from .conftest import CONFIG, start

CONFIGS = sorted(path for path in (REPO / 'configs').rglob('*.py') if '_base_' not in path.parts)


def check(options=None, config=REPO / CONFIG):
    check_config(load_config(config, options))


@pytest.mark.parametrize('config', CONFIGS, ids=lambda path: path.stem)
def test_every_shipped_config_passes(config):
    check(config=config)


@pytest.mark.parametrize(
    ('options', 'phrases'),
    [
        (
            {'model.decode_head.type': 'DenseDeptHead'},
            ['model.decode_head', 'DenseDeptHead', 'DenseDepthHead'],
        ),
        ({'model.neck.num_head': 4}, ['model.neck.num_head', 'HAHINeck', 'num_heads']),
        (
            {'model.backbone.backbone.modelname': 'x'},
            ['model.backbone.backbone.modelname', 'model_name'],
        ),
        (
            {'train_dataloader.dataset.num_scene': 4},
            ['train_dataloader.dataset.num_scene', 'num_scenes'],
        ),
        ({'train_dataloader.dataset.type': 'SyntheticDataSet'}, ['SyntheticDataset']),
        ({'param_scheduler.type': 'OneCycleRates'}, ['param_scheduler', 'OneCycleRate']),
        (
            {'default_hooks.checkpoint.max_keep': 3},
            ['default_hooks.checkpoint.max_keep', 'max_keep_ckpts'],
        ),
        ({'optim_wrapper.type': 'AmpOptimWraper'}, ['optim_wrapper', 'AmpOptimWrapper']),
        ({'train_cfg.max_iter': 3}, ['train_cfg.max_iter', 'max_iters']),
        (
            {'model.decode_head.max_depth': 80.0},
            ['model.decode_head.max_depth', 'dataset.max_depth', '80.0', '10.0'],
        ),
        ({'modle.backbone.type': 'x'}, ["no 'modle'", 'model']),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_a_wrong_config_is_answered_with_the_place_and_the_nearest_name(options, phrases):
    with pytest.raises(ConfigError) as caught:
        check(options)
    for phrase in phrases:
        assert phrase in str(caught.value)


def test_a_missing_config_is_answered_with_the_nearest_file():
    with pytest.raises(ConfigError, match=r'did you mean .*depthformer_tiny_rooms\.py'):
        load_config(REPO / 'configs/synthetic/depthformer_tiny_room.py')


def test_a_missing_config_without_a_near_name_says_where_it_was_looked_for(tmp_path):
    with pytest.raises(ConfigError, match=f'the folder {tmp_path} has no config of a similar name'):
        load_config(tmp_path / 'nope.py')


def test_a_missing_base_is_named(tmp_path):
    (tmp_path / 'a.py').write_text("_base_ = ['nowhere/b.py']\n")
    with pytest.raises(ConfigError, match=r'a\.py: .*_base_.*nowhere/b\.py'):
        load_config(tmp_path / 'a.py')


def test_broken_python_is_shown_with_its_line(tmp_path):
    (tmp_path / 'a.py').write_text('model = dict(\n\nx = [1, 2\n')
    with pytest.raises(ConfigError, match=r'a\.py: not valid Python, line \d'):
        load_config(tmp_path / 'a.py')


def test_projects_are_found_from_the_place_of_the_config(tmp_path, monkeypatch):
    (tmp_path / 'projects/Mine/configs').mkdir(parents=True)
    (tmp_path / 'projects/Mine/my_module.py').write_text('VALUE = 1\n')
    config = tmp_path / 'projects/Mine/configs/a.py'
    config.write_text("custom_imports = dict(imports=['projects.Mine.my_module'])\n")
    monkeypatch.chdir(tmp_path.parent)
    assert load_config(config).custom_imports.imports == ['projects.Mine.my_module']
    config.write_text("custom_imports = dict(imports=['projects.Mine.nothing'])\n")
    with pytest.raises(ConfigError, match=r'projects\.Mine\.nothing'):
        load_config(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'message'),
    [
        (
            'configs/synthetic/nothing.py',
            'error: config configs/synthetic/nothing.py does not exist',
        ),
        (
            'configs/densedepth/densedepth_r50_nyu.py',
            'error: train_dataloader.dataset.data_root: data/nyu does not exist',
        ),
    ],
)
def test_a_tool_fails_with_one_message(tmp_path, config, message):
    ended = start(sys.executable, 'tools/train.py', config, '--work-dir', str(tmp_path)).wait()
    output = ended.stdout + ended.stderr
    assert ended.returncode == 1
    assert message in output
    assert 'Traceback' not in output
