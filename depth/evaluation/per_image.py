"""Files of per-image metrics: search, reading and pairing of two results."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE_NAME = 'per_image.json'


@dataclass(frozen=True)
class PerImage:
    """Metrics of every image under one protocol.

    Attributes:
        path: The file.
        protocol: The protocol's description.
        images: Names.
        values: (N,) float64 by metric, NaN where an image has none.
    """

    path: Path
    protocol: dict
    images: list[str]
    values: dict[str, np.ndarray]


def find_file(path: str | Path) -> Path:
    """Return the file of per-image values that belongs to a result.

    Args:
        path: That file (a mixed test writes one a data set: ``per_image_nyu.json``); a result JSON
            in the same folder; or a folder: that of one test, one with a single result of
            ``tools/score.py``, or a work dir, of which the newest test counts.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    if path.is_dir():
        candidates = [path / FILE_NAME]
        scores = sorted(path.glob(f'*.{FILE_NAME}'))
        if len(scores) == 1:
            candidates += scores
        # The folders of tests are called by their time stamps: the newest comes first.
        candidates += sorted(path.glob(f'*/{FILE_NAME}'), reverse=True)
    elif 'per_image' in path.name:
        candidates = [path]
    else:
        candidates = [path.with_suffix('.' + FILE_NAME), path.with_name(FILE_NAME)]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    listed = ', '.join(map(str, candidates[:2]))
    raise FileNotFoundError(
        f'{path}: no per-image values found ({listed}); tools/test.py and '
        'tools/score.py --out write them beside the result'
    )


def read_per_image(path: str | Path, protocol: str | None = None) -> PerImage:
    """Read one protocol's values.

    Args:
        path: See :func:`find_file`.
        protocol: Name; by default the test's main protocol.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is damaged or the protocol is not in it.
    """
    path = find_file(path)
    try:
        results = json.loads(path.read_text(encoding='utf-8'))['results']
        names = [result['protocol']['name'] for result in results]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no file of per-image values: {type(error).__name__}: {error}'
        ) from error
    if protocol is not None and protocol not in names:
        raise ValueError(f'{path} has no protocol {protocol!r}, it has {", ".join(names)}')
    index = 0 if protocol is None else names.index(protocol)
    result = results[index]
    # JSON has no NaN: null becomes one in a float64 array.
    values = {name: np.array(column, np.float64) for name, column in result['values'].items()}
    return PerImage(path, result['protocol'], result['images'], values)


def check_comparable(first: PerImage, second: PerImage) -> None:
    """Check that two results were obtained under one protocol on the same images.

    Raises:
        ValueError: If not; the message lists the differences.
    """
    if first.protocol['fingerprint'] != second.protocol['fingerprint']:
        names = []
        for protocol in (first.protocol, second.protocol):
            names.append(f'{protocol["name"]} ({protocol["fingerprint"]})')
        differences = []
        for key, value in first.protocol.items():
            second_value = second.protocol.get(key)
            if key not in ('name', 'description', 'fingerprint') and value != second_value:
                differences.append(f'{key}: {value} / {second_value}')
        raise ValueError(
            f'{first.path} was scored under {names[0]}, {second.path} under {names[1]}; numbers of '
            f'different protocols cannot be compared ({"; ".join(differences)})'
        )
    if sorted(first.images) != sorted(second.images):
        first_only = sorted(set(first.images) - set(second.images))
        second_only = sorted(set(second.images) - set(first.images))
        raise ValueError(
            f'the images differ: {len(first_only)} only in {first.path} {first_only[:1]}, '
            f'{len(second_only)} only in {second.path} {second_only[:1]}; compare results of the '
            'same test set'
        )


def paired_values(first: PerImage, second: PerImage, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a metric's values in two results, of the images that have it in both.

    Raises:
        ValueError: If a file does not have the metric.
    """
    for result in (first, second):
        if metric not in result.values:
            raise ValueError(
                f'{result.path} has no metric {metric!r}, it has {", ".join(result.values)}'
            )
    # The images of the second result in the order of the first.
    positions = {name: index for index, name in enumerate(second.images)}
    order = [positions[name] for name in first.images]
    first_values, second_values = first.values[metric], second.values[metric][order]
    present = ~(np.isnan(first_values) | np.isnan(second_values))
    return first_values[present], second_values[present]
