import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from depth.engine.config import load_config
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_from_data, config_to_data, parse_assignments
from depth.models.losses import SILogLoss
from depth.registry import MODELS, READERS
from tests.shared import REPO


def shipped_configs():
    """Return one config of every folder."""
    folders = sorted(
        {
            path.parent
            for path in [*REPO.glob('configs/*/*.py'), *REPO.glob('projects/*/configs/*/*.py')]
        }
    )
    return [sorted(folder.glob('*.py'))[0] for folder in folders if folder.name != '_base_']


@pytest.mark.parametrize('path', shipped_configs(), ids=lambda path: path.stem)
def test_a_shipped_config_comes_back(path, tmp_path):
    cfg = load_config(path)
    file = tmp_path / 'a.pth'
    torch.save(config_to_data(cfg), file)
    assert config_from_data(torch.load(file, weights_only=True), file).to_dict() == cfg.to_dict()


def test_the_text_of_older_versions_is_parsed():
    cfg = load_config(REPO / 'projects/EPCDepth/configs/EPCDepth/epcdepth_r18_kitti_192x640.py')
    assert config_from_data(cfg.pretty_text, 'old.pth').to_dict() == cfg.to_dict()


def test_literals_are_read():
    text = (
        "a = -1.5\nb = [1, (2, 'x' 'y'), {'k': None}]\nc = dict(d=True, e=dict())\nf = tuple([1])\n"
    )
    assert parse_assignments(text, 'a.pth') == dict(
        a=-1.5, b=[1, (2, 'xy'), {'k': None}], c=dict(d=True, e={}), f=(1,)
    )


@pytest.mark.parametrize(
    'line',
    [
        'import os',
        "__import__('os').system('true')",
        "a = __import__('os')",
        'a = b',
        'a = [x for x in (1, 2)]',
        "a = f'{1}'",
        'a.b = 1',
        'a = c = 1',
        'a, b = 1, 2',
        'a += 1',
        'a: int = 1',
        'a = dict(**{})',
        'a = {**{}}',
        'a = dict([(1, 2)])',
        'a = 9 ** 9 ** 9',
        "a = 'x' * 10",
        'a = -True',
        "a = b'x'",
        'a = ...',
        "a = eval('1')",
        'a = (lambda: 1)()',
        "a = print('x')",
        'if True: a = 1',
        'del a',
    ],
)
def test_what_is_no_literal_is_refused_with_its_line(line):
    with pytest.raises(ConfigError, match=r'a\.pth: line 2 of its config'):
        parse_assignments(f'first = 1\n{line}\n', 'a.pth')


@pytest.mark.parametrize(
    'text', ['a = ' + '[' * 5000, 'a = ' + '-' * 100000 + '1', 'a = "\\ud800' + chr(0), 'a =']
)
def test_a_text_that_cannot_be_parsed_is_an_error_in_words(text):
    with pytest.raises(ConfigError, match=r'a\.pth: '):
        parse_assignments(text, 'a.pth')


def test_classes_and_other_values_are_stored_by_name():
    cfg = Config(
        dict(
            model=dict(
                type=SILogLoss, dtype=torch.float16, path=Path('a/b'), size=np.int64(3), n={1}
            )
        )
    )
    data = config_to_data(cfg)
    assert data['model'] == dict(type='SILogLoss', dtype='torch.float16', path='a/b', size=3, n=[1])


@pytest.mark.parametrize(
    'module',
    [
        'os',
        'evil',
        'depthx',
        'projects.evil',
        'projects',
        '.depth',
        'depth..x',
        'depth.nothing',
        'projects/evil',
    ],
)
def test_only_modules_of_the_toolbox_are_imported(module, tmp_path, monkeypatch):
    (tmp_path / 'projects/evil').mkdir(parents=True)
    for name in ('evil.py', 'depthx.py', 'projects/evil/__init__.py'):
        (tmp_path / name).write_text('raise RuntimeError("was imported")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    data = dict(model=dict(type='SILogLoss'), custom_imports=dict(imports=[module]))
    if module == 'projects':  # nothing runs, the namespace has no file
        config_from_data(data, 'a.pth')
        return
    with pytest.raises(
        ConfigError, match=r'a\.pth: its config imports.*nothing of it was imported'
    ):
        config_from_data(data, 'a.pth')
    assert 'evil' not in sys.modules


def test_a_package_that_shadows_a_project_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / 'projects/EPCDepth').mkdir(parents=True)
    (tmp_path / 'projects/EPCDepth/modules.py').write_text('raise RuntimeError("was imported")\n')
    (tmp_path / 'projects/EPCDepth/__init__.py').write_text('raise RuntimeError("was imported")\n')
    for name in [
        name for name in sys.modules if name == 'projects' or name.startswith('projects.')
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    data = dict(
        model=dict(type='SILogLoss'), custom_imports=dict(imports=['projects.EPCDepth.modules'])
    )
    if str(REPO) in sys.path:  # it was put there by a config that ran before
        with pytest.raises(ConfigError, match='nothing of it was imported'):
            config_from_data(data, 'a.pth')


@pytest.mark.parametrize(
    ('node', 'key'),
    [
        (dict(model=dict(type='os.system')), 'model.type'),
        (dict(model=dict(type='mmengine.fileio.load')), 'model.type'),
        (dict(model=dict(type='mmengine.load')), 'model.type'),
        (dict(model=dict(type='antigravity')), 'model.type'),
        (dict(model=dict(type=3)), 'model.type'),
        (dict(model=dict(type='SILogLoss', init_cfg=dict(type='this'))), 'model.init_cfg.type'),
        (dict(model=dict(type='SILogLoss', _scope_='os')), 'model._scope_'),
        (dict(optim_wrapper=dict(constructor='os.x')), 'optim_wrapper.constructor'),
        (dict(runner_type='os.x'), 'runner_type'),
        (dict(custom_hooks=[dict(type='os.x')]), 'custom_hooks[0].type'),
        (
            dict(visualizer=dict(vis_backends=(dict(type='os.x'),))),
            'visualizer.vis_backends[0].type',
        ),
    ],
)
def test_a_name_that_is_not_registered_is_refused(node, key):
    with pytest.raises(ConfigError) as caught:
        config_from_data(dict(dict(model=dict(type='SILogLoss')), **node), 'a.pth')
    assert f'a.pth: {key} of its config' in str(caught.value)


def test_a_name_of_a_trusted_package_is_accepted():
    data = dict(model=dict(type='collections.OrderedDict'))
    assert config_from_data(data, 'a.pth', ['collections']).model.type == 'collections.OrderedDict'


@pytest.mark.parametrize('registry', [MODELS, READERS], ids=lambda registry: registry.name)
def test_a_registry_imports_no_module(registry, tmp_path, monkeypatch):
    (tmp_path / 'evil_module.py').write_text('raise RuntimeError("was imported")\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    assert registry.get('evil_module') is None
    assert READERS.get('os.getcwd') is None


def test_a_base_in_yaml_builds_no_object(tmp_path):
    (tmp_path / 'base.yaml').write_text(
        f'a: !!python/object/apply:os.mkdir ["{tmp_path}/marker"]\n'
    )
    (tmp_path / 'config.py').write_text("_base_ = ['base.yaml']\n")
    with pytest.raises(ConfigError, match='python/object'):
        load_config(tmp_path / 'config.py')
    assert not (tmp_path / 'marker').exists()


def test_a_config_is_a_python_file(tmp_path):
    (tmp_path / 'config.yaml').write_text('a: 1\n')
    with pytest.raises(ConfigError, match=r'config\.yaml is no config'):
        load_config(tmp_path / 'config.yaml')
