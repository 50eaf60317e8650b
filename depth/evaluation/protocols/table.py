"""The protocols as a Markdown table, for docs/evaluation.md."""

import math

from ..alignment import ALIGNMENTS
from . import PROTOCOLS
from .protocol import Protocol

COLUMNS = ('protocol', 'data, images', 'counts', 'crop', 'prediction', 'aligned', 'average', 'TTA', 'fingerprint')


def protocol_table() -> str:
    """Return the table of all protocols."""
    lines = ['| ' + ' | '.join(COLUMNS) + ' |', '| ' + ' | '.join('---' for _ in COLUMNS) + ' |']
    lines.extend('| ' + ' | '.join(_cells(protocol)) + ' |' for protocol in PROTOCOLS.values())
    return '\n'.join(lines) + '\n'


def _cells(protocol: Protocol) -> list[str]:
    images = f': {protocol.data_list}' if protocol.data_list else ''
    images += '' if protocol.num_images is None else f', {protocol.num_images}'
    crop = protocol.crop if protocol.view == 'any' else f'{protocol.crop} ({protocol.view} view)'
    prediction = {'none': 'same size', 'bilinear': 'resized', 'bilinear_corners': 'resized, corners aligned'}
    parts = [prediction[protocol.resize] + (' as inverse depth' if protocol.resize_inverse else '')]
    if protocol.clamp:
        parts.append(f'clamped to {protocol.clamp[0]:g}..{protocol.clamp[1]:g}')
    special = [protocol.average.replace('_', ' ')]
    if protocol.log10 != 'log10':
        special.append(f'log10 is {protocol.log10}')
    if protocol.eps_ratio or protocol.eps_log:
        special.append('epsilons')
    return [
        f'`{protocol.name}` v{protocol.version}',
        (', '.join(protocol.datasets) or 'any') + images,
        _range(protocol),
        crop,
        ', '.join(parts),
        '-' if protocol.alignment == 'none' else ALIGNMENTS[protocol.alignment].meaning,
        ', '.join(special),
        protocol.tta.replace('_', ' '),
        protocol.describe()['fingerprint'],
    ]


def _range(protocol: Protocol) -> str:
    near_sign = '<' if protocol.strict in ('both', 'near') else '<='
    far_sign = '<' if protocol.strict in ('both', 'far') else '<='
    far = '' if math.isinf(protocol.max_depth) else f' {far_sign} {protocol.max_depth:g}'
    cap = '' if protocol.cap_gt is None else f', capped at {protocol.cap_gt:g}'
    return f'{protocol.min_depth:g} {near_sign} gt{far}{cap}'
