"""Configs by name: every path has one name, from any directory, with close names for a misspelt one."""

import subprocess
import sys
from pathlib import Path

import pytest

import depth
from depth import shipped_configs
from depth.engine.config import find_config, load_config
from depth.engine.errors import ConfigError
from tests.shared import REPO

NAME = 'depthformer_tiny_rooms'


def test_names_are_those_of_the_leaf_configs():
    files = [*REPO.glob('configs/*/**/*.py'), *REPO.glob('projects/*/configs/**/*.py')]
    stems = [path.stem for path in files if '_base_' not in path.parts]
    assert depth.list_models() == sorted(stems)  # no name twice, none left out
    assert not set(shipped_configs.data_paths()) & set(stems)


def test_a_pattern_selects_names():
    names = depth.list_models('Scale*NYU_4*')
    assert 'scaledepth_clip_NYU_480x480' in names
    assert all(name.startswith('scaledepth_') and 'NYU_4' in name for name in names)


def test_a_name_is_the_path_from_any_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = REPO / f'configs/synthetic/{NAME}.py'
    assert find_config(NAME) == path
    assert find_config(f'configs/synthetic/{NAME}.py') == path
    assert load_config(NAME).pretty_text == load_config(path).pretty_text
    assert depth.get_config(NAME).filename == str(path)
    assert find_config('kitti_eigen').parent.name == 'datasets'


def test_a_file_in_the_working_directory_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path('configs/synthetic', f'{NAME}.py')
    own.parent.mkdir(parents=True)
    own.write_text('max_iters = 1')
    assert find_config(own) == own


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('depthformer_swint_w7_nuy', 'did you mean .*depthformer_swint_w7_nyu'),
        ('kitti_eigne', 'did you mean .*kitti_eigen'),
        ('qqqqqqqq', 'depth list prints the names'),
        (f'{NAME}.py', f'give {NAME} alone'),
        ('missing/folder/a.py', 'does not exist either'),
    ],
)
def test_an_unknown_name_gives_similar_ones(name, message):
    with pytest.raises(ConfigError, match=message):
        find_config(name)


def test_an_ambiguous_name_gives_the_paths(monkeypatch):
    paths = (Path('configs/a/x.py'), Path('projects/P/configs/b/x.py'))
    monkeypatch.setattr('depth.engine.config.find_paths', lambda name: paths)
    with pytest.raises(ConfigError, match=r'several.*configs/a/x.py.*configs/b/x.py'):
        find_config('x')


def test_create_model_takes_a_name():
    model = depth.create_model(
        'densedepth_r18_rooms', cfg_options={'model.backbone.pretrained': False}
    )
    assert not model.training
    assert model.cfg.filename.endswith('configs/densedepth/densedepth_r18_rooms.py')


def test_importing_the_package_stays_light():
    code = 'import sys, depth; depth.list_models(); print(sorted({"torch", "numpy", "mmengine"} & set(sys.modules)))'
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert output.stdout.strip() == '[]', output.stderr
