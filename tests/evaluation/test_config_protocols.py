"""The protocols that the shipped data set configs name."""

import pytest

from depth.engine.config import load_config
from depth.evaluation import get_protocol
from depth.registry import DATASETS
from tests.shared import REPO

CONFIGS = sorted((REPO / 'configs/_base_/datasets').glob('*.py'))


def named_datasets(cfg):
    """Yield each test data set's config with its protocol's name."""
    evaluator, dataset = cfg.test_evaluator, cfg.test_dataloader.dataset
    if evaluator.type == 'DepthMetric':
        yield dataset, evaluator.protocol
    elif evaluator.type == 'MixedDepthMetric':
        yield from zip(dataset.datasets, evaluator.protocols.values(), strict=True)


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_a_config_names_a_protocol_made_for_its_data_set(path):
    cfg = load_config(path)
    if cfg.test_evaluator.type == 'UnscoredPredictions':
        assert 'test' in path.stem  # a list without ground truth
        return
    checked = 0
    for dataset, name in named_datasets(cfg):
        protocol = get_protocol(name)
        DATASETS.import_from_location()
        if dataset.type == 'ShardDataset':  # its shards say which data set they are of
            checked += 1
            continue
        info = getattr(DATASETS.get(dataset.type), 'METAINFO', {})
        dataset_name = info.get('dataset_name') or f'synthetic_{dataset.world}'
        if protocol.datasets:
            assert dataset_name in protocol.datasets
        else:  # made for any data set: for relative predictions, which it aligns first
            assert protocol.alignment != 'none'
        crops = [step.type for step in dataset.pipeline if step.type == 'KBCrop']
        assert bool(crops) == (protocol.view == 'kb_crop')
        checked += 1
    assert checked
