"""Comparison of the depth ranges of head, losses, data sets and evaluators of a config."""

import math
from collections.abc import Iterator

from mmengine.config import Config

from depth.evaluation.protocols import get_protocol

from .errors import ConfigError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
FIX = (
    'give all of them one key at the top level, such as max_depth = 80.0, and refer to it: '
    "max_depth='${max_depth}'"
)


def check_depth_range(cfg: Config) -> None:
    """Compare the range of the head with those of its losses, the data sets and the evaluators.

    A data set that states no range (None) is not compared, so that a model can be tested on other
    data. Otherwise the widest evaluator must score its whole range; further evaluators and
    ``protocols`` may score less.

    Raises:
        ConfigError: If two ranges differ; the message names both keys.
    """
    head = (cfg.get('model') or {}).get('decode_head')
    head = head if isinstance(head, dict) else {}
    for loader in LOADERS:
        key, dataset = _outer_dataset(cfg, loader)
        for name in ('min_depth', 'max_depth'):
            _compare('model.decode_head', head, key, dataset, name)
        whole_key, whole = key, dataset
        if dataset.get('max_depth') is None:
            whole_key, whole = 'model.decode_head', head
        for member_key, member in parts_of_dataset(key, dataset):
            if member is not dataset:
                _check_within(whole_key, whole, member_key, member)
    key, whole = 'model.decode_head', head
    if head.get('max_depth') is None:
        key, whole = _outer_dataset(cfg, 'train_dataloader')
    for loss_key, loss in _losses('model.decode_head', head):
        _compare(loss_key, loss, key, whole, 'max_depth')
    for split in ('val', 'test'):
        _check_evaluators(cfg, split)


def parts_of_dataset(key: str, dataset: dict) -> Iterator[tuple[str, dict]]:
    """Yield (key, config) of a data set, or of each data set that it wraps or mixes."""
    if isinstance(dataset.get('dataset'), dict):
        yield from parts_of_dataset(f'{key}.dataset', dataset['dataset'])
    elif dataset.get('datasets'):
        for index, member in enumerate(dataset['datasets']):
            yield from parts_of_dataset(f'{key}.datasets.{index}', member)
    else:
        yield key, dataset


def evaluators_of(cfg: Config, key: str) -> list[tuple[str, dict]]:
    """Return (key, config) of every ``DepthMetric`` below an evaluator's key, also in mixtures."""
    nodes = cfg.get(key) or []
    if isinstance(nodes, dict):
        evaluators = [(key, nodes)]
    else:
        evaluators = [(f'{key}.{index}', node) for index, node in enumerate(nodes)]
    metrics = []
    for evaluator_key, evaluator in evaluators:
        if evaluator.get('type') == 'DepthMetric':
            metrics.append((evaluator_key, evaluator))
        elif evaluator.get('type') == 'MixedDepthMetric':
            for name, options in (evaluator.get('protocols') or {}).items():
                if isinstance(options, str):
                    options = dict(protocol=options)
                metrics.append((f'{evaluator_key}.protocols.{name}', options))
    return metrics


def _outer_dataset(cfg: Config, loader: str) -> tuple[str, dict]:
    """Return (key, config) of a loader's data set, without wrappers such as a repetition."""
    key = f'{loader}.dataset'
    dataset = (cfg.get(loader) or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), dict):
        key = f'{key}.dataset'
        dataset = dataset['dataset']
    return key, dataset


def _check_evaluators(cfg: Config, split: str) -> None:
    """Check that the evaluators of a split score the whole range of its data set."""
    dataset_key, dataset = _outer_dataset(cfg, f'{split}_dataloader')
    evaluators = evaluators_of(cfg, f'{split}_evaluator')
    max_depth = dataset.get('max_depth')
    if max_depth is None or not evaluators:
        return
    ranges = []
    for key, node in evaluators:
        try:
            protocol = get_protocol(node.get('protocol'))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{key}.protocol: {error}') from error
        far = node.get('max_depth')
        ranges.append((protocol.max_depth if far is None else far, key, protocol.name))
    far, key, name = max(ranges)
    if far != max_depth and math.isfinite(far):
        raise ConfigError(
            f'{key} (protocol {name}) scores depth up to {far:g} m but {dataset_key}.max_depth is '
            f'{max_depth:g} m; score the whole range with {key}.max_depth={max_depth:g}, choose '
            f'another protocol, or set {dataset_key}.max_depth=None to test under the protocol as '
            'it is'
        )


def _compare(key: str, node: dict, other_key: str, other_node: dict, name: str) -> None:
    """Raise ConfigError if two configs state different values of ``name``."""
    value, other_value = node.get(name), other_node.get(name)
    if value is not None and other_value is not None and value != other_value:
        raise ConfigError(
            f'{key}.{name} is {value} m but {other_key}.{name} is {other_value} m; {FIX}'
        )


def _check_within(whole_key: str, whole: dict, key: str, member: dict) -> None:
    """Raise ConfigError if a member of a mixture has a wider range than the whole."""
    near, far = whole.get('min_depth'), whole.get('max_depth')
    member_near, member_far = member.get('min_depth'), member.get('max_depth')
    if far is not None and (member_far or 0) > far:
        raise ConfigError(
            f'{key}.max_depth is {member_far} m, beyond {whole_key}.max_depth, {far} m; {FIX}'
        )
    if near is not None and member_near is not None and member_near < near:
        raise ConfigError(
            f'{key}.min_depth is {member_near} m, below {whole_key}.min_depth, {near} m; {FIX}'
        )


def _losses(key: str, node: object) -> Iterator[tuple[str, dict]]:
    """Yield (key, config) of a head's losses: dicts under ``loss...``, and their members."""
    if isinstance(node, dict):
        for name, value in node.items():
            inner_key = f'{key}.{name}'
            if isinstance(value, dict) and name.startswith('loss'):
                yield inner_key, value
            yield from _losses(inner_key, value)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            if isinstance(value, dict) and '.loss' in key:
                yield f'{key}.{index}', value
            yield from _losses(f'{key}.{index}', value)
