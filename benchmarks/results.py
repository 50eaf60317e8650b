"""Results of the benchmarks: JSON files, and one renderer for the terminal and for docs/benchmarks.md."""

import json
from pathlib import Path

from depth.atomic_write import write_atomically

# How a column is printed, by the end of its name; other numbers have two digits.
FORMATS = {
    '_share': '.1%',
    '_ms': '.2f',
    '_per_s': '.2f',
    '_mb': '.0f',
    'to_fp32': '.4%',
    'abs_rel': '.4f',
    'rmse': '.4f',
    'd1': '.4f',
    'loss': '.4f',
}


def write_result(result: dict, path: Path) -> None:
    """Write a result as JSON."""
    write_atomically(path, json.dumps(result, indent=2) + '\n')


def join_results(results: list[dict]) -> dict:
    """Return the results of several processes as one, with ratios to the first row of the first.

    The ratio of two processes is that of their medians, its range that of their extremes.
    """
    if len(results) == 1:
        return results[0]
    joined = dict(results[0], rows=[], ratios=[], kernels={}, notes=[])
    for result in results:
        joined['rows'] += result['rows']
        joined['notes'] += result.get('notes', [])
        joined['kernels'] |= result.get('kernels', {})
    base = joined['rows'][0]
    for row in joined['rows'][1:]:
        speed = dict(
            median=base['median_ms'] / row['median_ms'],
            min=base['min_ms'] / row['max_ms'],
            max=base['max_ms'] / row['min_ms'],
        )
        ratio = dict(setting=row['setting'], base=base['setting'], speed=speed)
        for key in ('peak_memory_mb', 'extra_memory_mb'):
            if row.get(key) and base.get(key):
                ratio['memory'] = base[key] / row[key]
        joined['ratios'].append(ratio)
    return joined


def load_results(folder: Path) -> dict[str, dict]:
    """Return results by name, from one file each or from bundles (``step2.json``)."""
    results = {}
    for path in sorted(folder.glob('*.json')):
        content = json.loads(path.read_text(encoding='utf-8'))
        results |= content.get('results', {path.stem: content})
    return results


def format_result(result: dict, markdown: bool = False, picture: str | None = None) -> str:
    """Return the tables of a result, and its ratios; for a terminal also the environment.

    Args:
        result: As a mode returns it, with ``environment``.
        markdown: Write a section of the page rather than lines for a terminal.
        picture: Picture that belongs to the result, relative to the page; for Markdown only.
    """
    table = markdown_table if markdown else text_table
    lines = table(result['rows'])
    if 'depths' in result:
        lines += ['Depth of the same checkpoints against fp32:', '', *table(result['depths'])]
    if picture:
        lines += [f'![loss curves]({picture})', '']
    bullet = '- ' if markdown else ''
    lines += [f'{bullet}{remark}' for remark in remarks(result)]
    if markdown:
        lines.append('')
    else:
        lines.append(describe_environment(result['environment']))
    return '\n'.join(lines)


def remarks(result: dict) -> list[str]:
    """Return one sentence for each ratio, share and note of a result."""
    sentences = [
        f'{name} was left out: {reason}' for name, reason in result.get('left_out', {}).items()
    ]
    sentences += [describe_ratio(ratio) for ratio in result['ratios']]
    if result.get('fixed_decode_ms') is not None:
        wall, cpu = result['fixed_decode_ms'], result['fixed_decode_cpu_ms']
        sentences.append(f'one fixed decode: {wall:.2f} ms, {cpu:.2f} ms of processor time')
    for setting, steps in (result.get('steps') or {}).items():
        listed = ', '.join(f'{step} {milliseconds:.2f}' for step, milliseconds in steps.items())
        sentences.append(
            f'steps of `{setting}`, mean ms (decoding is part of the loading steps): {listed}',
        )
    sentences += result.get('notes', [])
    if 'share' in result:
        sentences.append(f'the metric takes {result["share"]:.2%} of the prediction')
    return sentences


def describe_ratio(ratio: dict) -> str:
    """Return how one setting compares with the first, as a sentence."""
    speed = ratio['speed']
    text = f'`{ratio["setting"]}`: {speed["median"]:.2f} times the speed of `{ratio["base"]}`'
    text += f' ({speed["min"]:.2f} to {speed["max"]:.2f})'
    if 'of_cpu_means' in speed:
        text += (
            f', {speed["of_means"]:.2f} by the means, {speed["of_cpu_means"]:.2f} in processor time'
        )
    if ratio.get('memory'):
        text += f'; {1 / ratio["memory"]:.2f} of its memory'
    return text


def describe_environment(environment: dict) -> str:
    """Return device, load, versions, commit and day of a measurement as one line."""
    versions = ', '.join(
        f'{name} {version}' for name, version in environment['versions'].items() if version
    )
    load = f'{environment["threads"]} threads, load average {environment["load_average"]:.1f}'
    day = environment['time'][:10]
    return f'{environment["device"]}; {load}; {versions}; commit {environment["commit"]}; {day}'


def text_table(rows: list[dict]) -> list[str]:
    """Return the aligned lines of a table with a column for every key of the rows."""
    cells = table_cells(rows)
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = []
    for line in cells:
        first = line[0].ljust(widths[0])
        numbers = [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        lines.append('  '.join([first, *numbers]))
    return lines


def markdown_table(rows: list[dict]) -> list[str]:
    """Return the lines of a Markdown table, and an empty one after it."""
    head, *cells = table_cells(rows)
    lines = [f'| {" | ".join(head)} |', f'|{" --- |" * len(head)}']
    lines += [f'| {" | ".join(line)} |' for line in cells]
    return [*lines, '']


def table_cells(rows: list[dict]) -> list[list[str]]:
    """Return the texts of a table, its head first."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [columns]
    for row in rows:
        cells.append([_format_value(key, row.get(key)) for key in columns])
    return cells


def _format_value(key: str, value: object) -> str:
    if value is None:
        return '-'
    if not isinstance(value, float):
        return str(value)
    formats = [spec for ending, spec in FORMATS.items() if key.endswith(ending)]
    return format(value, formats[0] if formats else '.2f')
