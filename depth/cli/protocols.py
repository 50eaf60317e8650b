"""Print the evaluation protocols as the Markdown table of docs/evaluation.md."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from depth.cli.common import command_parser

if TYPE_CHECKING:
    from depth.evaluation import Protocol

COLUMNS = (
    'protocol',
    'data, images',
    'counts',
    'crop',
    'prediction',
    'aligned',
    'average',
    'TTA',
    'fingerprint',
)
RESIZES = {
    'none': 'same size',
    'bilinear': 'resized',
    'bilinear_corners': 'resized, corners aligned',
}
EXAMPLES = ('depth protocols', 'depth protocols > protocols.md')


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    return command_parser(EXAMPLES, description=__doc__)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table of the protocols that come with the toolbox."""
    build_parser().parse_args(argv)
    from depth.evaluation import PROTOCOLS

    print('| ' + ' | '.join(COLUMNS) + ' |')
    print('| ' + ' | '.join(['---'] * len(COLUMNS)) + ' |')
    for protocol in PROTOCOLS.values():
        print('| ' + ' | '.join(table_row(protocol)) + ' |')
    return 0


def table_row(protocol: Protocol) -> list[str]:
    """Return a protocol's cells, one a column."""
    from depth.evaluation.alignment import ALIGNMENTS

    alignment = '-' if protocol.alignment == 'none' else ALIGNMENTS[protocol.alignment].meaning
    crop = protocol.crop if protocol.view == 'any' else f'{protocol.crop} ({protocol.view} view)'
    if protocol.half_view:
        across, down = protocol.half_view
        crop += f', rays up to {across:g}, {down:g}'
    return [
        f'`{protocol.name}` v{protocol.version}',
        images_cell(protocol),
        range_cell(protocol),
        crop,
        prediction_cell(protocol),
        alignment,
        average_cell(protocol),
        protocol.tta.replace('_', ' '),
        protocol.describe()['fingerprint'],
    ]


def images_cell(protocol: Protocol) -> str:
    """Return data sets, list and number of images: ``nyu: nyu_test.txt (e92c191d), 654``."""
    text = ', '.join(protocol.datasets) or 'any'
    if protocol.data_list:
        text += f': {protocol.data_list}'
    if protocol.num_images is not None:
        text += f', {protocol.num_images}'
    return text


def range_cell(protocol: Protocol) -> str:
    """Return which ground truth counts: ``0.001 < gt < 80``."""
    # Where a bound is strict decides about depth that was clamped to the far end.
    near_sign = '<' if protocol.strict in ('both', 'near') else '<='
    far_sign = '<' if protocol.strict in ('both', 'far') else '<='
    text = f'{protocol.min_depth:g} {near_sign} gt'
    if not math.isinf(protocol.max_depth):
        text += f' {far_sign} {protocol.max_depth:g}'
    if protocol.cap_gt is not None:
        text += f', capped at {protocol.cap_gt:g}'
    return text


def prediction_cell(protocol: Protocol) -> str:
    """Return how predictions are resized and clamped."""
    text = RESIZES[protocol.resize]
    if protocol.resize_inverse:
        text += ' as inverse depth'
    if protocol.clamp:
        near, far = protocol.clamp
        text += f', clamped to {near:g}..{far:g}'
    return text


def average_cell(protocol: Protocol) -> str:
    """Return the kind of average, with definitions of metrics that are not the usual ones."""
    text = protocol.average.replace('_', ' ')
    if protocol.log10 != 'log10':
        text += f', log10 is {protocol.log10}'
    if protocol.eps_ratio or protocol.eps_log:
        text += ', epsilons'
    return text
