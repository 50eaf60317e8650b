"""Recorded facts of the shipped configs: parameters, published numbers, parity, expected results.

Their one home are the tables of ``docs/model_zoo.md``, which a wheel carries too.
"""

import re
import shlex
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

from depth.shipped_configs import shipped_root

PUBLISHED = 'published'
_NUMBER = re.compile(r'([\d.]+)(?: \(([^)]*)\))?')
_HEADING = 'heading'  # key of its text in a row


@dataclass(frozen=True)
class ZooRow:
    """Row of the table.

    Attributes:
        method: Heading of the table.
        parameters: Millions of parameters, as written.
        abs_rel: Published number, ``none``, or ``ours`` for a recipe that nobody published.
        parity: Relative L2 of the depth after conversion of published weights; ``names`` if only
            their names and shapes are compared, ``builds`` if neither.
        rmse: Published number, in metres.
        d1: Published number.
        training: Published length and cost, in words.
    """

    method: str
    parameters: str
    abs_rel: str
    parity: str
    rmse: str = ''
    d1: str = ''
    training: str = ''

    def published_numbers(self) -> dict[str, float]:
        """Return the published abs_rel by remark: a data set, a condition, or an empty text."""
        if not self.abs_rel[:1].isdigit():
            return {}
        numbers = {}
        for number, remark in _NUMBER.findall(self.abs_rel.partition(';')[0]):
            numbers[remark] = float(number)
        return numbers


@dataclass(frozen=True)
class ExpectedResult:
    """What ``depth reproduce`` compares the result of an entry with.

    Attributes:
        abs_rel: Expected value; None for the published one.
        tolerance: Largest difference that counts as reproduced; a share of the value if
            ``is_relative``.
        is_relative: Whether the tolerance is a share.
        options: Values of the config for training and test, as ``key=value``.
        source: Where the number comes from, in words.
    """

    abs_rel: float | None
    tolerance: float
    is_relative: bool
    options: tuple[str, ...]
    source: str

    def allowed_difference(self, value: float) -> float:
        """Return the tolerance in the unit of a value."""
        return self.tolerance * value if self.is_relative else self.tolerance


@cache
def zoo_rows() -> dict[str, ZooRow]:
    """Return the rows of the table by name of the config.

    Raises:
        OSError: If the page cannot be read.
    """
    rows: dict[str, ZooRow] = {}
    parity = ''
    for cells in zoo_table('config'):
        # "as above" refers to the last row that states its parity.
        if cells['parity'] != 'as above':
            parity = cells['parity']
        rows[cells['config']] = ZooRow(
            cells[_HEADING],
            cells['parameters, M'],
            cells['published abs_rel'],
            parity,
            cells['rmse'],
            cells['d1'],
            cells['published training'],
        )
    return rows


def expected_result(name: str) -> ExpectedResult | None:
    """Return what an entry should reach; None if nothing is known.

    The first row of the table whose pattern matches the name counts.

    Raises:
        OSError: If the page cannot be read.
    """
    for cells in zoo_table('entry'):
        if not fnmatchcase(name, cells['entry']):
            continue
        row = zoo_rows().get(name)
        if cells['abs_rel'] == PUBLISHED and not (row and row.published_numbers()):
            return None
        value = None if cells['abs_rel'] == PUBLISHED else float(cells['abs_rel'])
        number, _, percent = cells['tolerance'].partition(' ')
        is_relative = percent == '%'
        tolerance = float(number) / 100 if is_relative else float(number)
        options = tuple(shlex.split(cells['options'].strip('`')))
        return ExpectedResult(value, tolerance, is_relative, options, cells['source'])
    return None


@cache
def zoo_table(first_column: str) -> list[dict[str, str]]:
    """Return the rows of the page's tables whose first column has a name, as cells by column.

    The heading above the table is one more cell.
    """
    lines = (shipped_root() / 'docs' / 'model_zoo.md').read_text(encoding='utf-8').splitlines()
    rows, names, heading = [], [], ''
    for line in lines:
        if line.startswith('#'):
            heading = line.lstrip('# ')
        elif line.startswith(f'| {first_column} |'):
            names = _cells(line)
        elif not line.startswith('|'):
            names = []
        elif names and not line.startswith('| ---'):
            rows.append(dict(zip(names, _cells(line), strict=True)) | {_HEADING: heading})
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip('|').split('|')]
