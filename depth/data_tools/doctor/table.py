"""The report as text."""

import textwrap
from collections.abc import Sequence

from .examine import Report

WIDTH = 118


def format_report(report: Report) -> str:
    """Return the tables: one row a split, then each finding with what to do."""
    rows = [['split', 'data set', 'images', 'decoded', 'min', '1 %', 'median', '99 %', 'max', 'beyond range', 'valid']]
    notes = []
    for summary in report.summaries:
        depths = [summary[name] for name in ('min', 'low', 'median', 'high', 'max')]
        shares = [summary[name] for name in ('beyond', 'valid')]
        rows.append(
            [
                summary['split'],
                summary['dataset'],
                str(summary['images']),
                str(summary['decoded']),
                *('-' if depth is None else f'{depth:.2f} m' for depth in depths),
                *('-' if share is None else f'{share:.1%}' for share in shares),
            ]
        )
        notes.append(
            f'{summary["split"]}: images {summary["sizes"] or "-"}; edges of depth and image {summary["edges"]}'
        )
    lines = [*_align(rows), '', *notes, '']
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
