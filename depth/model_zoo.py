"""Recorded facts of the shipped configs: parameters, published numbers, parity.

Their one home is the table of ``docs/model_zoo.md``, which a wheel carries too.
"""

import re
from dataclasses import dataclass
from functools import cache

from depth.shipped_configs import shipped_root

_SECTION = re.compile(r'\*\*\[?([^\]*]+)')


@dataclass(frozen=True)
class ZooRow:
    """Row of the table.

    Attributes:
        method: Title of the section.
        parameters: Millions of parameters, as written.
        abs_rel: Published number, ``none``, or ``ours`` for a recipe that nobody published.
        parity: Relative L2 of the depth after conversion of published weights; ``names`` if only
            their names and shapes are compared, ``builds`` if neither.
    """

    method: str
    parameters: str
    abs_rel: str
    parity: str


@cache
def zoo_rows() -> dict[str, ZooRow]:
    """Return the rows of the table by name of the config.

    Raises:
        OSError: If the page cannot be read.
    """
    lines = (shipped_root() / 'docs' / 'model_zoo.md').read_text(encoding='utf-8').splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith('| config |'))
    names = _cells(lines[header])
    rows: dict[str, ZooRow] = {}
    method, parity = '', ''
    for line in lines[header + 2 :]:
        if not line.startswith('|'):
            break
        cells = dict(zip(names, _cells(line), strict=True))
        section = _SECTION.match(cells['config'])
        if section:
            method = section[1]
            continue
        # "as above" refers to the last row that states its parity.
        if cells['parity'] != 'as above':
            parity = cells['parity']
        rows[cells['config']] = ZooRow(
            method, cells['parameters, M'], cells['published abs_rel'], parity
        )
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip('|').split('|')]
