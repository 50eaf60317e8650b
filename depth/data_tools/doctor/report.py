"""Findings of the data doctor, and its report as data and as text."""

import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

SEVERITIES = ('error', 'warning', 'note')
MAX_EXAMPLES = 3
WIDTH = 118  # columns of the text
HEADER = ['split', 'data set', 'images', 'decoded']
HEADER += ['min', '1 %', 'median', '99 %', 'max', 'beyond range', 'valid']


@dataclass
class Finding:
    """One fault of one split, or of two.

    Attributes:
        severity: ``error`` (numbers or the run would be wrong), ``warning`` (look at it) or
            ``note``.
        kind: Short fixed name of the fault, the first column of docs/dataset_tools.md.
        split: ``train``, ``val``, ``test``, or two of them.
        description: Description with numbers.
        advice: Remedy.
        count: Number of samples concerned.
        examples: A few of them.
    """

    severity: str
    kind: str
    split: str
    description: str
    advice: str
    count: int = 1
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Return plain values."""
        return asdict(self)


def shorten(items: Sequence[str]) -> list[str]:
    """Return the first few items, and the number of the others in words."""
    examples = [str(item) for item in items[:MAX_EXAMPLES]]
    num_unlisted = len(items) - len(examples)
    if num_unlisted:
        examples.append(f'... and {num_unlisted} more')
    return examples


@dataclass
class Report:
    """Result of an examination.

    Attributes:
        findings: Errors first.
        summaries: Per split: ``split``, ``dataset``, ``images``, ``decoded`` depth maps, their
            ``min``, ``low`` (1 %), ``median``, ``high`` (99 %) and ``max`` (metres; min and max
            over all maps, the others of the middle map) with their ``unit``, share ``beyond`` the
            range, ``valid`` share, ``edges`` (text), ``sizes`` (text) and ``unchecked``: name of a
            missing attribute of the data set class -> check that needs it.
    """

    findings: list[Finding]
    summaries: list[dict]

    @property
    def failed(self) -> bool:
        """Whether a finding is an error."""
        return any(finding.severity == 'error' for finding in self.findings)

    def as_dict(self) -> dict:
        """Return plain values."""
        return dict(
            summaries=self.summaries, findings=[finding.as_dict() for finding in self.findings]
        )


def format_report(report: Report) -> str:
    """Return the report as text: a table, one row a split, then each finding with its remedy."""
    rows = [HEADER]
    notes = []
    for summary in report.summaries:
        row = [summary[name] for name in ('split', 'dataset', 'images', 'decoded')]
        for name in ('min', 'low', 'median', 'high', 'max'):
            row.append(_format(summary[name], f'{{:.2f}} {summary["unit"]}').strip())
        for name in ('beyond', 'valid'):
            row.append(_format(summary[name], '{:.1%}'))
        rows.append([str(cell) for cell in row])
        sizes = summary['sizes'] or '-'
        notes.append(
            f'{summary["split"]}: images {sizes}; edges of depth and image {summary["edges"]}'
        )
        notes += _format_unchecked(summary)
    lines = _align(rows)
    lines.append('')
    lines += notes
    lines.append('')
    if not report.findings:
        lines.append('no findings')
        return '\n'.join(lines)
    for finding in report.findings:
        lines.append(
            f'{finding.severity.upper():8}{finding.kind:11}{finding.split:13}{finding.description}'
        )
        lines += [f'{"":32}{example}' for example in finding.examples]
        lines += textwrap.wrap(
            finding.advice, WIDTH, initial_indent=f'{"":32}-> ', subsequent_indent=f'{"":35}'
        )
    counts = Counter(finding.severity for finding in report.findings)
    totals = []
    for severity in SEVERITIES:
        plural = '' if counts[severity] == 1 else 's'
        totals.append(f'{counts[severity]} {severity}{plural}')
    lines += ['', ', '.join(totals)]
    return '\n'.join(lines)


def _format(value: float | None, template: str) -> str:
    """Return the number as text, a dash where there is none."""
    if value is None:
        return '-'
    return template.format(value)


def _format_unchecked(summary: dict) -> list[str]:
    """Return lines that name missing facts and the checks that need them; none without any."""
    if not summary['unchecked']:
        return []
    class_name = summary['class']
    checks = [f'{check} ({name})' for name, check in summary['unchecked'].items()]
    text = (
        f'{summary["split"]}: without attributes of {class_name} not checked: {"; ".join(checks)}'
    )
    return textwrap.wrap(text, WIDTH, subsequent_indent='    ')


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [0] * len(rows[0])
    for row in rows:
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], len(cell))
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append('  '.join(cells).rstrip())
    return lines
