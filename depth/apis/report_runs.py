"""Runs of a report: results, training scalars and configs, read from their files."""

import ast
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from depth.evaluation.per_image import PerImage, read_per_image
from depth.evaluation.report import relative_names

IGNORED_CONFIG_KEYS = ('work_dir',)  # differ in any two runs


@dataclass(frozen=True)
class Run:
    """Result of one test, with what lies in its folders.

    Attributes:
        label: Name in the report.
        result: Metrics of every image under the reported protocol.
        metrics: Metrics of the whole test as its JSON file states them, empty if there is none.
        training: Work dir of the training, None if it is not known.
        config_folder: Folder of the config: that of the training if it was named, else of the test.
    """

    label: str
    result: PerImage
    metrics: dict[str, float]
    training: Path | None
    config_folder: Path

    @property
    def fingerprint(self) -> str:
        """Fingerprint of the protocol."""
        return self.result.protocol['fingerprint']


def read_runs(
    results: Sequence[str | Path],
    names: Sequence[str] = (),
    training: Sequence[str | Path] = (),
    protocol: str | None = None,
) -> list[Run]:
    """Read the results of tests.

    Args:
        results: See :func:`depth.evaluation.per_image.find_file`.
        names: One a result; by default the paths below the folder that all share.
        training: Work dir of each result's training; by default that of the test.
        protocol: Name; by default each test's main protocol.

    Raises:
        FileNotFoundError: If a result or a work dir is not there.
        ValueError: If a file is damaged or the numbers of names or work dirs do not fit.
    """
    for option, values in (('names', names), ('training', training)):
        if values and len(values) != len(results):
            raise ValueError(
                f'{option}: need one a result, got {len(values)} for {len(results)} results'
            )
    labels = list(names) or relative_names([str(Path(path).absolute()) for path in results])
    runs: list[Run] = []
    for index, (path, label) in enumerate(zip(results, labels, strict=True)):
        # One result may be given twice, under two protocols' files for example.
        while any(run.label == label for run in runs):
            label = f'{label} ({index + 1})'
        result = read_per_image(path, protocol)
        folder = result.path.parent
        # A training and its tests have folders beside each other in one work dir.
        work_dir = folder.parent if result.path.name.startswith('per_image') else None
        if training:
            work_dir = folder = Path(training[index])
            if not folder.is_dir():
                raise FileNotFoundError(f'training: {folder} is no folder')
        runs.append(Run(label, result, read_metrics(result.path, protocol), work_dir, folder))
    return runs


def read_metrics(path: Path, protocol: str | None) -> dict[str, float]:
    """Return the metrics of a test by plain name, empty if there are none.

    Args:
        path: File of its per-image values.
        protocol: Name of a further protocol, None for the main one.

    Raises:
        ValueError: If the file of the metrics is damaged.
    """
    metrics_path = path.parent / f'{path.parent.name}.json'
    dataset = ''
    if path.name.endswith('.per_image.json'):
        metrics_path = path.with_name(path.name.replace('.per_image.json', '.json'))
    elif path.stem != 'per_image':  # of one data set of a mixed test
        dataset = path.stem.removeprefix('per_image_') + '/'
    if not metrics_path.is_file():
        return {}
    try:
        content = json.loads(metrics_path.read_text(encoding='utf-8'))
        names = list(content)
    except (ValueError, TypeError) as error:
        raise ValueError(f'{metrics_path} holds no metrics: {error}') from error
    # Metrics of a further protocol have its name in front, those of the main one have none.
    prefix = dataset
    if protocol is not None and any(name.startswith(f'{dataset}{protocol}/') for name in names):
        prefix = f'{dataset}{protocol}/'
    metrics = {}
    for name in names:
        if name.startswith(prefix) and isinstance(content[name], int | float):
            metrics[name.removeprefix(prefix)] = float(content[name])
    return metrics


def read_scalars(folder: Path) -> dict[str, np.ndarray]:
    """Return the logged training values, (N, 2) of step and value by name.

    Values of the validation, whose lines have no ``iter``, are called ``val/<name>``. A resumed
    training has several files; a later one counts from its first step on.

    Args:
        folder: Work dir, or the folder of one run in it.

    Raises:
        ValueError: If a file is damaged.
    """
    paths = sorted(folder.glob('vis_data/scalars.json'))
    paths += sorted(folder.glob('*/vis_data/scalars.json'))
    values: dict[str, dict[int, float]] = {}
    for path in paths:
        lines = path.read_text(encoding='utf-8').splitlines()
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                step = int(record['step'])
            except (ValueError, KeyError, TypeError) as error:
                # A killed run leaves half a line.
                if number == len(lines):
                    continue
                raise ValueError(
                    f'{path}: line {number} is no record of scalars: {error}'
                ) from error
            prefix = '' if 'iter' in record else 'val/'
            for name, value in record.items():
                if name not in ('iter', 'step', 'epoch') and isinstance(value, int | float):
                    values.setdefault(prefix + name, {})[step] = float(value)
    return {name: np.array(sorted(points.items())) for name, points in values.items()}


def read_config(folder: Path) -> dict[str, str] | None:
    """Return the values of a run's config, as text by dotted key; None if its file is not there.

    The file is parsed, never executed.

    Raises:
        ValueError: If it is no config as the toolbox writes it.
    """
    paths = [folder / 'vis_data/config.py']
    paths += sorted(folder.glob('*/vis_data/config.py'), reverse=True)
    for path in paths:
        if not path.is_file():
            continue
        try:
            tree = ast.parse(path.read_text(encoding='utf-8'))
        except (SyntaxError, ValueError) as error:
            raise ValueError(f'{path} is no config: {error}') from error
        values: dict[str, str] = {}
        for statement in tree.body:
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                _flatten(statement.targets[0].id, statement.value, values)
        return values
    return None


def _flatten(key: str, node: ast.expr, values: dict[str, str]) -> None:
    """Add the leaves of an expression to ``values``: ``dict(a=1)`` at ``key`` becomes ``key.a``."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
        for keyword in node.keywords:
            _flatten(f'{key}.{keyword.arg}', keyword.value, values)
    elif isinstance(node, ast.Dict) and node.keys:
        for name, value in zip(node.keys, node.values, strict=True):
            text = name.value if isinstance(name, ast.Constant) else ast.unparse(name or node)
            _flatten(f'{key}.{text}', value, values)
    elif isinstance(node, ast.List | ast.Tuple) and any(
        isinstance(item, ast.Call | ast.Dict) for item in node.elts
    ):
        for index, item in enumerate(node.elts):
            _flatten(f'{key}.{index}', item, values)
    else:
        values[key] = ast.unparse(node)


def config_difference(first: dict[str, str], second: dict[str, str]) -> list[tuple[str, str, str]]:
    """Return key and both values where two configs differ; '' stands for a key that one lacks."""
    rows = []
    for key in sorted(first.keys() | second.keys()):
        values = first.get(key, ''), second.get(key, '')
        if values[0] != values[1] and key not in IGNORED_CONFIG_KEYS:
            rows.append((key, *values))
    return rows


def scene_pattern(protocol: dict) -> str | None:
    """Return the pattern of scenes in image paths of the protocol's data set, None without one."""
    from depth import datasets

    for name in datasets.__all__:
        dataset = getattr(datasets, name)
        pattern = getattr(dataset, 'SCENE_OF', None)
        if pattern and dataset.METAINFO.get('dataset_name') in protocol.get('datasets', ()):
            return pattern
    return None


def scenes_of(images: Sequence[str], pattern: str) -> list[str | None]:
    """Return the scene of each image, None where the path does not tell.

    Raises:
        ValueError: If the pattern is no regular expression.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f'scene pattern {pattern!r} is no regular expression: {error}') from error
    scenes = []
    for image in images:
        # Patterns look for a folder between two separators; the first folder has none before it.
        match = compiled.search('/' + image.replace('\\', '/'))
        scenes.append(match.group() if match else None)
    return scenes
