"""Base configs of data sets: their types exist, their ranges fit, their protocols are made for them."""

import pytest

from depth.engine.config import load_config
from depth.engine.config_check import check_config
from depth.engine.errors import ConfigError
from depth.evaluation import get_protocol
from depth.registry import DATASETS
from tests.shared import REPO


def test_another_config_lends_its_test_set():
    nyu, ibims = (
        REPO / 'configs' / name
        for name in ('densedepth/densedepth_r50_nyu.py', '_base_/datasets/ibims.py')
    )
    options = {'test_dataloader.dataset.data_root': 'elsewhere'}
    cfg = load_config(nyu, options, test_data=REPO / 'configs/_base_/datasets/kitti_eigen.py')
    check_config(cfg)  # a head for 10 m, test images up to 80 m
    assert cfg.test_dataloader.dataset.type == 'KITTIDataset'
    assert cfg.test_dataloader.dataset.data_root == 'elsewhere'
    assert cfg.train_dataloader.dataset.type == 'NYUDataset'
    assert load_config(nyu, test_data=ibims).test_evaluator.protocol == 'zoedepth_ibims'
    with pytest.raises(ConfigError, match='has no test_dataloader'):
        load_config(nyu, test_data=REPO / 'configs/_base_/models/densedepth_r18.py')


CONFIGS = sorted((REPO / 'configs/_base_/datasets').glob('*.py'))


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_data_set_configs_name_what_exists(path):
    cfg = load_config(str(path))
    check_config(cfg)
    for loader in map(cfg.get, ('train_dataloader', 'val_dataloader', 'test_dataloader')):
        assert loader is None or loader.dataset.type
    assert cfg.min_depth == 1e-3 < cfg.max_depth
    if cfg.test_evaluator.type == 'DepthMetric' and path.stem not in ('folder', 'shards'):
        dataset = cfg.test_dataloader.dataset
        meta = getattr(DATASETS.get(dataset.type), 'METAINFO', {})
        made_for = get_protocol(cfg.test_evaluator.protocol).datasets
        assert (
            not made_for
            or meta.get('dataset_name', f'synthetic_{dataset.get("world")}') in made_for
        )
