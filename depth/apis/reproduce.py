"""Reproduction of an entry of the model zoo: what it needs, its training or test, and a verdict."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
from huggingface_hub import try_to_load_from_cache
from mmengine.config import Config
from mmengine.dist import get_dist_info

from depth.atomic_write import write_atomically
from depth.engine.config import load_config
from depth.engine.config_check import check_data_paths
from depth.engine.config_ranges import evaluators_of, parts_of_dataset
from depth.engine.errors import ConfigError
from depth.model_zoo import ExpectedResult, ZooRow, expected_result, zoo_rows

from .launch import test, train
from .published_files import list_published, published_path
from .sweep import find_checkpoint
from .sweep_plan import parse_overrides

METRIC = 'abs_rel'
REPORT = 'reproduce.json'
# Of a cell such as "38400 of 16; 0.645 s, 24.4 GB on a V100": seconds of an iteration.
_SECONDS = re.compile(r'; ([\d.]+) s\b')


@dataclass(frozen=True)
class Entry:
    """A config with what is recorded of it.

    Attributes:
        name: Name of the config.
        cfg: The config, with the options of the entry and of the user.
        row: Published facts; None for a config that is not in the table, such as a synthetic one.
        expected: Number and tolerance; None if there is nothing to compare with.
        user_options: Options beyond those of the entry, as ``key=value``.
    """

    name: str
    cfg: Config
    row: ZooRow | None
    expected: ExpectedResult | None
    user_options: tuple[str, ...]

    @property
    def is_trainable(self) -> bool:
        """Whether the config has a recipe."""
        return bool(self.cfg.get('train_cfg')) and bool(self.cfg.get('train_dataloader'))

    @property
    def scales_recipe(self) -> bool:
        """Whether the recipe is fitted to the batch of the launch.

        A published recipe is. Ours were measured with the batch that their options state.
        """
        is_measured = self.expected is not None and self.expected.abs_rel is not None
        return _base_batch_size(self.cfg) is not None and not is_measured

    def expected_numbers(self) -> dict[str, float]:
        """Return the expected abs_rel by remark: empty, or the name of a data set or condition."""
        if self.expected is None:
            return {}
        if self.expected.abs_rel is not None:
            return {'': self.expected.abs_rel}
        return self.row.published_numbers()


@dataclass(frozen=True)
class Judgement:
    """Comparison of a number with the expected one.

    Attributes:
        metric: Name of the metric.
        value: Measured value.
        expected: Expected value.
        tolerance: Largest difference that counts as reproduced.
        verdict: ``'reproduced'``, ``'worse'`` or ``'better'``.
    """

    metric: str
    value: float
    expected: float
    tolerance: float
    verdict: str


def find_entry(name: str, options: Sequence[str] = ()) -> Entry:
    """Return an entry by the name of its config.

    Args:
        name: Name of a shipped config.
        options: Values of the config as ``key=value``, after those of the entry.

    Raises:
        ConfigError: If there is no such config, or an option does not fit it.
    """
    expected = expected_result(name)
    values = parse_overrides(expected.options if expected else ())
    values |= parse_overrides(options)
    return Entry(name, load_config(name, values), zoo_rows().get(name), expected, tuple(options))


def describe(entry: Entry, work_dir: str | Path) -> Iterator[str]:
    """Yield lines with the entry's number, data, weights, recipe, cost and commands."""
    yield f'entry: {entry.name}, {entry.cfg.filename}'
    yield from _describe_number(entry)
    loaders = ['test_dataloader']
    if entry.is_trainable:
        loaders.insert(0, 'train_dataloader')
    for loader in loaders:
        yield f'data, {loader.removesuffix("_dataloader")}: {describe_data(entry.cfg, loader)}'
    yield f'test: {describe_test(entry.cfg)}'
    yield from _describe_weights(entry)
    if entry.is_trainable:
        yield from _describe_recipe(entry)
    options = ''
    overrides = (*(entry.expected.options if entry.expected else ()), *entry.user_options)
    if overrides:
        options = f' --cfg-options {shlex.join(overrides)}'
    if entry.is_trainable:
        scaling = ' --auto-scale-lr' if entry.scales_recipe else ''
        yield (
            f'command: depth train {entry.name} --work-dir {work_dir} --seed 0{scaling}{options}'
        )
    yield f'command: depth test {entry.name} CHECKPOINT --work-dir {work_dir}/test{options}'


def _describe_number(entry: Entry) -> Iterator[str]:
    numbers = entry.expected_numbers()
    if not numbers:
        published = entry.row.abs_rel if entry.row else ''
        yield f'expected: no number is recorded ({published or "not in the table"})'
        return
    for remark, value in numbers.items():
        text = f'{METRIC} {value:g}' + (f' ({remark})' if remark else '')
        tolerance = entry.expected.allowed_difference(value)
        yield f'expected: {text}, tolerance {tolerance:.2g}; {entry.expected.source}'


def describe_data(cfg: Config, loader: str) -> str:
    """Return type and folder of a loader's data sets, and whether they are there."""
    dataset = (cfg.get(loader) or {}).get('dataset') or {}
    names = []
    roots = []
    for _, node in parts_of_dataset(f'{loader}.dataset', dataset):
        names.append(str(node.get('type')))
        root = node.get('pack') or node.get('data_root')
        if root:
            roots.append(str(root))
    label = ', '.join(dict.fromkeys(names)) or 'none'
    if not roots:
        return f'{label}, no files'
    try:
        check_data_paths(cfg, [loader])
    except ConfigError as error:
        return f'{label}, missing: {error}'
    return f'{label} in {", ".join(dict.fromkeys(roots))}, there'


def describe_test(cfg: Config) -> str:
    """Return the protocols of a config's test, and whether it averages with the mirrored image."""
    names = []
    for _, node in evaluators_of(cfg, 'test_evaluator'):
        names.append(str(node.get('protocol')))
    flip = (cfg.model.get('test_cfg') or {}).get('flip')
    return f'{", ".join(names)}, {"with" if flip else "without"} the mirrored image'


def _describe_weights(entry: Entry) -> Iterator[str]:
    """Yield the files that a training starts from, and the published result."""
    for node in _nodes(entry.cfg.model.to_dict()):
        if node.get('pretrained') and isinstance(node.get('model_name'), str):
            name = node['model_name']
            state = 'there' if is_timm_file_cached(name) else 'fetched at the first start'
            yield f'weights to start from: {name} of timm, {state}'
        if isinstance(node.get('checkpoint'), str):
            state = 'there' if Path(node['checkpoint']).is_file() else 'missing'
            yield f'weights to start from: {node["checkpoint"]}, {state}'
    published = list_published()
    if entry.name not in published:
        yield 'published weights: no file is known that could be fetched by name'
        return
    method, file = published[entry.name]
    path = published_path(entry.name)
    state = f'there, {path}' if path.is_file() else f'not fetched, {file.url}'
    yield f'published weights: {state}; licence: {file.licence or "none stated"}'
    yield f'command: depth convert {method} {path} converted.pth --config {entry.name}'


def is_timm_file_cached(model_name: str) -> bool:
    """Return whether the hub's cache has the pretrained weights of a timm model."""
    pretrained = timm.models.get_pretrained_cfg(model_name)
    if pretrained is None or not pretrained.hf_hub_id:
        return False
    for name in ('model.safetensors', 'pytorch_model.bin'):
        if isinstance(try_to_load_from_cache(pretrained.hf_hub_id, name), str):
            return True
    return False


def _nodes(node: Any) -> Iterator[dict]:
    """Yield every dict in a model config."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, list | tuple):
        for item in node:
            yield from _nodes(item)


def _describe_recipe(entry: Entry) -> Iterator[str]:
    per_process = entry.cfg.train_dataloader.batch_size
    base = _base_batch_size(entry.cfg) if entry.scales_recipe else per_process
    text = f'recipe: {entry.cfg.train_cfg.get("max_iters")} iterations'
    if base:
        text += f' of {base} images: {base / per_process:g} processes of {per_process}'
    else:
        text += (
            f' of {per_process} images a process; the published number of processes is not recorded'
        )
    yield text
    cost = entry.row.training if entry.row else ''
    if not cost:
        yield 'published cost: not recorded'
        return
    seconds = _SECONDS.search(cost)
    length = entry.cfg.train_cfg.get('max_iters')
    if seconds and length:
        cost += f'; {float(seconds[1]) * length / 3600:.1f} hours at that rate'
    yield f'published cost: {cost}'


def _base_batch_size(cfg: Config) -> int | None:
    return (cfg.get('auto_scale_lr') or {}).get('base_batch_size')


def reproduce(
    entry: Entry,
    work_dir: str | Path,
    *,
    checkpoint: str | Path | None = None,
    seed: int = 0,
    launcher: str = 'none',
) -> tuple[int, list[Judgement]]:
    """Train and test an entry, or test a checkpoint of it, and judge the result.

    The same call continues an interrupted training. The result is also written to
    ``reproduce.json`` in the work dir.

    Args:
        entry: The entry.
        work_dir: Folder of logs, checkpoints and result.
        checkpoint: Checkpoint that is tested in place of a training.
        seed: Random seed of the training.
        launcher: ``'none'``, ``'pytorch'`` or ``'slurm'``.

    Returns:
        Exit code of the training, and the judgements: none if the training was interrupted or no
        number is recorded.

    Raises:
        ConfigError: If the config has no recipe and there is no checkpoint, or cannot work.
        ValueError: If the test does not measure the expected metric.
    """
    work_dir = Path(work_dir)
    if checkpoint is None:
        if not entry.is_trainable:
            raise ConfigError(
                f'{entry.name} has no training recipe; give --checkpoint with converted weights'
            )
        runner = train(
            entry.cfg,
            work_dir=work_dir,
            resume=True,
            seed=seed,
            auto_scale_lr=entry.scales_recipe,
            launcher=launcher,
        )
        if runner.exit_code:
            return runner.exit_code, []
        # Not the best one: a choice by validation images flatters where they are the test images.
        checkpoint = find_checkpoint(work_dir, 'last')
    metrics = test(entry.cfg, checkpoint, work_dir=work_dir / 'test', launcher=launcher)
    judgements = judge(entry, metrics)
    if get_dist_info()[0] == 0:
        content = dict(
            entry=entry.name,
            checkpoint=str(checkpoint),
            seed=seed,
            entry_options=entry.expected.options if entry.expected else (),
            user_options=entry.user_options,
            judgements=[vars(judgement) for judgement in judgements],
            metrics=metrics,
        )
        write_atomically(work_dir / REPORT, json.dumps(content, indent=2) + '\n')
    return 0, judgements


def judge(entry: Entry, metrics: dict[str, float]) -> list[Judgement]:
    """Compare metrics with the expected numbers of an entry.

    Raises:
        ValueError: If a metric with an expected number was not measured.
    """
    judgements = []
    numbers = entry.expected_numbers()
    for remark, expected in numbers.items():
        metric = _metric_name(remark, metrics, is_only=len(numbers) == 1)
        value = float(metrics[metric])
        tolerance = entry.expected.allowed_difference(expected)
        verdict = 'reproduced'
        # A little wider, so that rounding does not decide; and NaN is no success.
        if not abs(value - expected) <= tolerance * (1 + 1e-9):
            verdict = 'better' if value < expected else 'worse'
        judgements.append(Judgement(metric, value, expected, tolerance, verdict))
    return judgements


def _metric_name(remark: str, metrics: dict[str, float], is_only: bool) -> str:
    """Return the metric that a number belongs to; mixed tests name it after the data set.

    Args:
        remark: Remark of the number.
        metrics: Measured values.
        is_only: Whether the entry has no other number.
    """
    named = f'{remark.lower()}/{METRIC}'
    for name in metrics:
        if name.lower() == named:
            return name
    # Of several numbers each has a data set, and the mean over them belongs to none.
    if is_only and METRIC in metrics:
        return METRIC
    raise ValueError(
        f'the expected {METRIC} ({remark or "no data set named"}) was not measured; the test has '
        f'{", ".join(metrics)}'
    )
