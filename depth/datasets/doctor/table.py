"""The report as text."""

import textwrap
from collections.abc import Sequence

from .examine import Report

WIDTH = 118


def format_report(report: Report) -> str:
    """Return the tables: one row a split, then each finding with what to do."""
    rows = [['split', 'data set', 'images', 'depth maps decoded', 'median depth', 'valid pixels', 'image sizes']]
    for summary in report.summaries:
        median, valid = summary['median'], summary['valid']
        rows.append(
            [
                summary['split'],
                summary['dataset'],
                str(summary['images']),
                str(summary['decoded']),
                '-' if median is None else f'{median:.2f} m',
                '-' if valid is None else f'{valid:.1%}',
                summary['sizes'] or '-',
            ]
        )
    lines = [*_align(rows), '']
    if not report.findings:
        return '\n'.join([*lines, 'no findings'])
    for finding in report.findings:
        lines.append(f'{finding.severity.upper():8}{finding.kind:11}{finding.split:13}{finding.what}')
        lines += [f'{"":32}{example}' for example in finding.examples]
        lines += textwrap.wrap(finding.advice, WIDTH, initial_indent=f'{"":32}-> ', subsequent_indent=f'{"":35}')
    counts = {name: sum(f.severity == name for f in report.findings) for name in ('error', 'warning', 'note')}
    lines += ['', ', '.join(f'{count} {name}{"s" * (count != 1)}' for name, count in counts.items())]
    return '\n'.join(lines)


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ['  '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
