"""Depth ranges of head, losses, data sets and evaluators, compared before anything is built."""

import math
from collections.abc import Iterator

from mmengine.config import Config

from depth.evaluation.protocols import get_protocol

from .errors import ConfigError

LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')
FIX = "give all of them one key at the top level, such as max_depth = 80.0, and refer to it: max_depth='${max_depth}'"


def check_depth_range(cfg: Config) -> None:
    """Compare the range of the head with that of its losses, of every data set and of what is scored.

    A data set that states no range (None) is not compared, so that a model can be tested on other data. Where it does,
    the widest evaluator must score its whole range; further evaluators and ``protocols`` may score less.

    Raises:
        ConfigError: If they differ; both places are named.
    """
    head = (cfg.get('model') or {}).get('decode_head')
    head = head if isinstance(head, dict) else {}
    for loader in LOADERS:
        place, dataset = _stated_dataset(cfg, loader)
        for name in ('min_depth', 'max_depth'):
            _compare('model.decode_head', head, place, dataset, name)
        whole_place, whole = (place, dataset) if dataset.get('max_depth') is not None else ('model.decode_head', head)
        for part_place, part in parts_of_dataset(place, dataset):
            if part is not dataset:
                _check_within(whole_place, whole, part_place, part)
    place, whole = 'model.decode_head', head
    if head.get('max_depth') is None:
        place, whole = _stated_dataset(cfg, 'train_dataloader')
    for loss_place, loss in _losses('model.decode_head', head):
        _compare(loss_place, loss, place, whole, 'max_depth')
    for split in ('val', 'test'):
        _check_evaluators(cfg, split)


def parts_of_dataset(place: str, dataset: dict) -> Iterator[tuple[str, dict]]:
    """Yield a data set's config and its place, or those of the sets that it mixes or wraps."""
    if isinstance(dataset.get('dataset'), dict):
        yield from parts_of_dataset(f'{place}.dataset', dataset['dataset'])
    elif dataset.get('datasets'):
        for index, part in enumerate(dataset['datasets']):
            yield from parts_of_dataset(f'{place}.datasets.{index}', part)
    else:
        yield place, dataset


def evaluators_of(cfg: Config, key: str) -> list[tuple[str, dict]]:
    """Return (place, config) of every ``DepthMetric`` below an evaluator's key, those of mixed sets included."""
    nodes = cfg.get(key) or []
    places = [(key, nodes)] if isinstance(nodes, dict) else [(f'{key}.{i}', node) for i, node in enumerate(nodes)]
    result = []
    for place, node in places:
        if node.get('type') == 'DepthMetric':
            result.append((place, node))
        elif node.get('type') == 'MixedDepthMetric':
            for name, part in (node.get('protocols') or {}).items():
                part = dict(protocol=part) if isinstance(part, str) else part
                result.append((f'{place}.protocols.{name}', part))
    return result


def _stated_dataset(cfg: Config, loader: str) -> tuple[str, dict]:
    """Return (place, config) of a loader's data set, of the inner one where it is wrapped (repeated, say)."""
    place, dataset = f'{loader}.dataset', (cfg.get(loader) or {}).get('dataset') or {}
    while isinstance(dataset.get('dataset'), dict):
        place, dataset = f'{place}.dataset', dataset['dataset']
    return place, dataset


def _check_evaluators(cfg: Config, split: str) -> None:
    """Check that what a split's evaluators score is what its data set states."""
    dataset_place, dataset = _stated_dataset(cfg, f'{split}_dataloader')
    evaluators = evaluators_of(cfg, f'{split}_evaluator')
    stated = dataset.get('max_depth')
    if stated is None or not evaluators:
        return
    ranges = []
    for place, node in evaluators:
        try:
            protocol = get_protocol(node.get('protocol'))
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f'{place}.protocol: {error}') from error
        far = node.get('max_depth')
        ranges.append((protocol.max_depth if far is None else far, place, protocol.name))
    far, place, name = max(ranges)
    if far != stated and math.isfinite(far):
        raise ConfigError(
            f'{place} (protocol {name}) scores depth up to {far:g} m but {dataset_place}.max_depth is '
            f'{stated:g} m; score the whole range with {place}.max_depth={stated:g}, choose another protocol, or set '
            f'{dataset_place}.max_depth=None to test under the protocol as it is'
        )


def _compare(place: str, ours: dict, other: str, theirs: dict, name: str) -> None:
    mine, their = ours.get(name), theirs.get(name)
    if mine is not None and their is not None and mine != their:
        raise ConfigError(f'{place}.{name} is {mine} m but {other}.{name} is {their} m; {FIX}')


def _check_within(whole_place: str, whole: dict, place: str, part: dict) -> None:
    near, far = whole.get('min_depth'), whole.get('max_depth')
    if far is not None and (part.get('max_depth') or 0) > far:
        raise ConfigError(f'{place}.max_depth is {part["max_depth"]} m, beyond {whole_place}.max_depth, {far} m; {FIX}')
    if near is not None and part.get('min_depth') is not None and part['min_depth'] < near:
        raise ConfigError(f'{place}.min_depth is {part["min_depth"]} m, below {whole_place}.min_depth, {near} m; {FIX}')


def _losses(place: str, node: object) -> Iterator[tuple[str, dict]]:
    """Yield the configs of losses below a head: dicts under keys that begin with ``loss``, and what they combine."""
    if isinstance(node, dict):
        for key, value in node.items():
            below = f'{place}.{key}'
            if isinstance(value, dict) and key.startswith('loss'):
                yield below, value
            yield from _losses(below, value)
    elif isinstance(node, list | tuple):
        for index, value in enumerate(node):
            if isinstance(value, dict) and '.loss' in place:
                yield f'{place}.{index}', value
            yield from _losses(f'{place}.{index}', value)
