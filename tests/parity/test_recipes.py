"""Rates and momenta of the shipped DepthFormer and BinsFormer configs against the recorded ones."""

import pytest

from depth.engine.config_check import check_config
from depth.registry import DATASETS
from tests.shared import REPO

from .cases import load_case, rates_of_the_recipe, shipped_config

CONFIGS = {
    'depthformer_swint_w7_nyu': 'depthformer/depthformer_swint_w7_nyu.py',
    'binsformer_swint_w7_nyu': 'binsformer/binsformer_swint_w7_nyu.py',
}


@pytest.mark.parametrize('case', CONFIGS)
def test_the_shipped_config_has_the_published_rates(case):
    recorded = load_case('schedules')['cases'][case]
    compared = list(rates_of_the_recipe(shipped_config(CONFIGS[case]), recorded))
    assert {iteration for iteration, _, _ in compared} == {int(iteration) for iteration in recorded}
    for iteration, actual, expected in compared:
        assert actual == pytest.approx(expected, rel=1e-6), iteration


@pytest.mark.parametrize(
    'path',
    [
        'bts/bts_r50_kitti_benchmark_24e.py',
        'depthformer/depthformer_swinl_22k_w7_kitti_benchmark.py',
    ],
)
def test_benchmark_configs_predict_to_80_m_as_published(path):
    cfg = shipped_config(path)
    assert cfg.model.decode_head.max_depth == 80.0
    check_config(cfg)  # head and data sets agree


def test_24_epochs_are_24_passes_over_the_training_list():
    images = dict(nyu=24231, kitti=23158, kitti_benchmark=85898)
    checked = 0
    for path in sorted((REPO / 'configs').glob('*/*_24e.py')):
        cfg = shipped_config(path)
        name = DATASETS.get(cfg.train_dataloader.dataset.type).METAINFO['dataset_name']
        steps = (
            cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
        )
        assert {cfg.train_cfg.max_iters, *(step.total_steps for step in steps)} == {
            24 * (images[name] // 16)
        }, path
        assert cfg.train_cfg.val_interval in (images[name] // 16, 6 * (images[name] // 16)), path
        checked += 1
    assert checked == 14
