"""Files of per-image values: finding, reading and pairing them."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FILE_NAME = 'per_image.json'


@dataclass(frozen=True)
class PerImage:
    """One protocol's values of every image.

    Attributes:
        path: Where they were read from.
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
        path: That file (a mixed test writes one a data set: ``per_image_nyu.json``); or a result JSON with it beside;
            or a folder: of one test, with one result of ``tools/score.py``, or a work dir (its newest test).

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    if path.is_dir():
        scores = sorted(path.glob(f'*.{FILE_NAME}'))
        places = [path / FILE_NAME, *(scores if len(scores) == 1 else ())]
        places += sorted(path.glob(f'*/{FILE_NAME}'), reverse=True)
    elif 'per_image' in path.name:
        places = [path]
    else:
        places = [path.with_suffix('.' + FILE_NAME), path.with_name(FILE_NAME)]
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f'{path}: no per-image values found ({", ".join(str(place) for place in places[:2])}); tools/test.py and '
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
        raise ValueError(f'{path} is no file of per-image values: {type(error).__name__}: {error}') from error
    if protocol is not None and protocol not in names:
        raise ValueError(f'{path} has no protocol {protocol!r}, it has {", ".join(names)}')
    result = results[0 if protocol is None else names.index(protocol)]
    values = {name: np.array(column, np.float64) for name, column in result['values'].items()}
    return PerImage(path, result['protocol'], result['images'], values)


def check_comparable(first: PerImage, second: PerImage) -> None:
    """Refuse results that were not obtained under one protocol on the same images.

    Raises:
        ValueError: In words.
    """
    if first.protocol['fingerprint'] != second.protocol['fingerprint']:
        names = [f'{result.protocol["name"]} ({result.protocol["fingerprint"]})' for result in (first, second)]
        differing = [
            f'{key}: {value} / {second.protocol.get(key)}'
            for key, value in first.protocol.items()
            if key not in ('name', 'description', 'fingerprint') and value != second.protocol.get(key)
        ]
        raise ValueError(
            f'{first.path} was scored under {names[0]}, {second.path} under {names[1]}; numbers of different protocols '
            f'cannot be compared ({"; ".join(differing)})'
        )
    if sorted(first.images) != sorted(second.images):
        only = [sorted(set(a.images) - set(b.images)) for a, b in ((first, second), (second, first))]
        raise ValueError(
            f'the images differ: {len(only[0])} only in {first.path} {only[0][:1]}, {len(only[1])} only in '
            f'{second.path} {only[1][:1]}; compare results of the same test set'
        )


def paired_values(first: PerImage, second: PerImage, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a metric's values of both, same images in the same order, images that miss it in either left out.

    Raises:
        ValueError: If a file does not have the metric.
    """
    for result in (first, second):
        if metric not in result.values:
            raise ValueError(f'{result.path} has no metric {metric!r}, it has {", ".join(result.values)}')
    order = {name: index for index, name in enumerate(second.images)}
    columns = first.values[metric], second.values[metric][[order[name] for name in first.images]]
    known = ~(np.isnan(columns[0]) | np.isnan(columns[1]))
    return columns[0][known], columns[1][known]
