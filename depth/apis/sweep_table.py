"""Table of a sweep: mean and interval over seeds of each setting, and paired differences."""

import json
import shlex
from dataclasses import asdict

from depth.atomic_write import write_atomically
from depth.evaluation.statistics import Interval, student_interval

from .sweep_plan import SweepPlan

LEVEL = 0.95
DEFAULT_METRICS = ('abs_rel', 'rmse', 'silog', 'd1')


def summarise(plan: SweepPlan) -> dict:
    """Return the results of a sweep as plain data, from the manifests of its runs.

    Each setting has the values of its seeds by metric, their mean and, from two seeds on, the
    interval of Student's t. The best setting of a metric is the one with the best mean. The others
    have the difference to it over the seeds that both finished, with the interval of the paired
    t test.

    Raises:
        ConfigError: If a folder holds another run.
        ValueError: If a manifest is damaged.
    """
    settings = {}
    for overrides in plan.settings:
        settings[overrides] = dict(
            setting=shlex.join(overrides) or 'as the config',
            overrides=list(overrides),
            seeds=[],
            metrics={},
        )
    problems, protocols = [], set()
    for run in plan.runs:
        manifest = run.read_manifest()
        if manifest.get('state') != 'finished':
            error = manifest.get('error')
            problems.append(
                dict(
                    run=run.folder.name,
                    state='failed' if error else manifest.get('state', 'not started'),
                    error=error,
                )
            )
            continue
        settings[run.overrides]['seeds'].append(run.seed)
        protocols.add(tuple(manifest['protocols']))
        for name, value in manifest['metrics'].items():
            metric = settings[run.overrides]['metrics'].setdefault(name, dict(values={}))
            metric['values'][str(run.seed)] = value
    rows = list(settings.values())
    for row in rows:
        for metric in row['metrics'].values():
            metric |= _mean_and_interval(list(metric['values'].values()))
    # Numbers of different protocols are shown, but nothing is concluded from them.
    is_comparable = len(protocols) <= 1
    if is_comparable:
        _mark_best(rows, plan.directions or {})
    return dict(
        config=plan.config,
        seeds=list(plan.seeds),
        level=LEVEL,
        protocols=sorted(map(list, protocols)),
        is_comparable=is_comparable,
        higher_is_better=plan.directions,
        settings=rows,
        problems=problems,
    )


def _mean_and_interval(values: list[float]) -> dict:
    """Return mean, low and high; the ends are None for a single value."""
    if len(values) < 2:
        return dict(mean=values[0], low=None, high=None)
    interval: Interval = student_interval(values, LEVEL)
    return asdict(interval)


def _mark_best(rows: list[dict], directions: dict[str, bool]) -> None:
    """Mark the best setting of each metric, and add the others' differences to it, in place."""
    for name, is_higher_better in directions.items():
        measured = [row for row in rows if name in row['metrics']]
        if len(measured) < 2:
            continue
        sign = -1 if is_higher_better else 1
        best = min(measured, key=lambda row: sign * row['metrics'][name]['mean'])
        best_values = best['metrics'][name]['values']
        for row in measured:
            metric = row['metrics'][name]
            metric['is_best'] = row is best
            if row is best:
                continue
            shared = [seed for seed in metric['values'] if seed in best_values]
            differences = [metric['values'][seed] - best_values[seed] for seed in shared]
            if differences:
                metric['difference_to_best'] = dict(
                    best=best['setting'], seeds=shared, **_mean_and_interval(differences)
                )


def format_markdown(summary: dict, metrics: tuple[str, ...] = DEFAULT_METRICS) -> str:
    """Return the summary as Markdown: one table of the settings, one of the differences.

    Args:
        summary: Of :func:`summarise`.
        metrics: Names of the columns; in tests of several data sets also behind a slash
            (``nyu/abs_rel``).
    """
    columns: list[str] = []
    for row in summary['settings']:
        for name in row['metrics']:
            if name.rpartition('/')[2] in metrics and name not in columns:
                columns.append(name)
    labels, common = _short_labels(summary['settings'])
    directions = summary['higher_is_better'] or {}
    arrows = {True: ' ↑', False: ' ↓'}
    header = [name + arrows.get(directions.get(name), '') for name in columns]
    lines = [
        f'# Sweep of {summary["config"]}',
        '',
        f'Mean ± half of the {summary["level"]:.0%} interval over seeds (Student t); best mean '
        'bold.',
        '',
    ]
    if common:
        lines += [f'All settings: {common}', '']
    lines += _table_head(['setting', 'seeds', *header])
    for row in summary['settings']:
        cells = [labels[row['setting']], f'{len(row["seeds"])} of {len(summary["seeds"])}']
        cells += [_cell(row['metrics'].get(name)) for name in columns]
        lines.append(f'| {" | ".join(cells)} |')
    notes = []
    if any(len(row['seeds']) == 1 for row in summary['settings']):
        notes.append('A setting with one seed has no interval.')
    if not summary['is_comparable']:
        notes.append(
            'The tests follow different protocols, so no best is marked and no difference formed: '
            + '; '.join(', '.join(names) for names in summary['protocols'])
            + '.'
        )
    elif summary['higher_is_better'] is None:
        notes.append('The evaluator does not tell which direction is better, so no best is marked.')
    for note in notes:
        lines += ['', note]
    lines += _difference_lines(summary, columns, labels)
    if summary['problems']:
        lines += ['', '## Without a result', '']
        for problem in summary['problems']:
            text = f'- {problem["run"]}: {problem["state"]}'
            lines.append(f'{text}: {problem["error"]}' if problem['error'] else text)
    return '\n'.join(lines) + '\n'


def write_table(plan: SweepPlan, metrics: tuple[str, ...] = DEFAULT_METRICS) -> tuple[dict, str]:
    """Write ``sweep.json`` and ``sweep.md`` into the work dir and return both contents."""
    summary = summarise(plan)
    text = format_markdown(summary, metrics)
    write_atomically(plan.work_dir / 'sweep.json', json.dumps(summary, indent=2) + '\n')
    write_atomically(plan.work_dir / 'sweep.md', text)
    return summary, text


def _difference_lines(summary: dict, columns: list[str], labels: dict[str, str]) -> list[str]:
    """Return the table of differences; none if no setting has one."""
    lines = []
    for row in summary['settings']:
        for name in columns:
            difference = row['metrics'].get(name, {}).get('difference_to_best')
            if difference is None:
                continue
            verdict = 'one shared seed'
            if difference['low'] is not None:
                is_clear = difference['low'] > 0 or difference['high'] < 0
                verdict = 'yes' if is_clear else 'no'
            cells = (
                labels[row['setting']],
                name,
                labels[difference['best']],
                _number(difference),
                str(len(difference['seeds'])),
                verdict,
            )
            lines.append(f'| {" | ".join(cells)} |')
    if not lines:
        return []
    names = ['setting', 'metric', 'best', 'setting - best', 'shared seeds', 'interval without 0']
    return ['', '## Differences to the best, paired by seed', '', *_table_head(names), *lines]


def _short_labels(rows: list[dict]) -> tuple[dict[str, str], str]:
    """Return a label of each setting without the overrides that all share, and the shared ones."""
    shared = set(rows[0]['overrides'])
    for row in rows:
        shared &= set(row['overrides'])
    if len(rows) == 1:
        shared = set()
    labels = {}
    for row in rows:
        own = [override for override in row['overrides'] if override not in shared]
        label = row['setting']
        if shared:
            label = shlex.join(own) or 'nothing else'
        labels[row['setting']] = _escape(label)
    common = [override for override in rows[0]['overrides'] if override in shared]
    return labels, shlex.join(common)


def _table_head(names: list[str]) -> list[str]:
    return [f'| {" | ".join(names)} |', f'|{" --- |" * len(names)}']


def _cell(metric: dict | None) -> str:
    if metric is None:
        return '-'
    return f'**{_number(metric)}**' if metric.get('is_best') else _number(metric)


def _number(values: dict) -> str:
    """Return a mean with half the width of its interval, if it has one."""
    if values['low'] is None:
        return f'{values["mean"]:.4f}'
    return f'{values["mean"]:.4f} ± {(values["high"] - values["low"]) / 2:.4f}'


def _escape(text: str) -> str:
    return text.replace('|', '\\|')
