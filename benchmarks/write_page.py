"""Write docs/benchmarks.md from the results of the plan: ``python benchmarks/write_page.py``."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

# Found only once the repository is on the path.
from benchmarks.plan import PLAN, Measurement  # noqa: E402
from benchmarks.results import (  # noqa: E402
    describe_environment,
    format_result,
    load_results,
)
from depth.atomic_write import write_atomically  # noqa: E402

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'
SUMMARY_BEGIN, SUMMARY_END = '<!-- summary: begin -->', '<!-- summary: end -->'
HEADINGS = dict(cpu='CPU', cuda='GPU')


def write_page(page: Path, results: Path) -> None:
    """Write the results of a folder between the marks of the page.

    Args:
        page: Markdown file with the lines of ``BEGIN`` and ``END``, and of the summary's marks.
        results: Folder with ``<device>/<name>.json`` as ``tools/analysis_tools/benchmark.py --out``
            writes them, and ``<device>/step<N>.json`` of ``benchmarks/gpu_check.sh``.

    Raises:
        ValueError: If the page lacks the marks.
    """
    text = page.read_text(encoding='utf-8')
    measured = {device: load_results(results / device) for device in PLAN}
    text = _replaced(page, text, (SUMMARY_BEGIN, SUMMARY_END), format_summary(measured))
    text = _replaced(page, text, (BEGIN, END), format_results(measured))
    write_atomically(page, text)


def _replaced(page: Path, text: str, marks: tuple[str, str], content: str) -> str:
    """Return a text with other content between two marks."""
    before, begin, from_mark = text.partition(marks[0])
    _, end, after = from_mark.partition(marks[1])
    if not begin or not end:
        raise ValueError(f'{page} needs the lines {marks[0]} and {marks[1]}')
    return f'{before}{begin}\n\n{content}\n{end}{after}'


def format_summary(measured: dict[str, dict[str, dict]]) -> str:
    """Return a table of the fastest setting of each measurement that compares with the published one."""
    lines = ['| measured | on | fastest setting | times the speed | share of the memory |']
    lines.append(f'|{" --- |" * 5}')
    for device, name, measurement, result in _in_order(measured):
        # The settings that are compared with one baseline belong together.
        by_base = {}
        for ratio in result['ratios']:
            by_base.setdefault(ratio['base'], []).append(ratio)
        for base, ratios in by_base.items():
            if name == 'train_recomputing' or not base.endswith(('published', 'reference')):
                continue
            best = max(ratios, key=lambda ratio: ratio['speed']['median'])
            title = measurement.title
            if base != 'published':  # mode ops has several baselines
                title += f', {base.rpartition(",")[0]}'
            setting = best['setting'].rpartition(', ')[2]
            memory = f'{1 / best["memory"]:.2f}' if best.get('memory') else '-'
            speed = f'{best["speed"]["median"]:.2f}'
            lines.append(f'| {title} | {HEADINGS[device]} | `{setting}` | {speed} | {memory} |')
    return '\n'.join([*lines, ''])


def format_results(measured: dict[str, dict[str, dict]]) -> str:
    """Return the sections of all measurements that were made as Markdown, then where they were made."""
    lines, sources = [], []
    heading = None
    for device, _, measurement, result in _in_order(measured):
        if device != heading:
            heading = device
            lines.append(f'## {HEADINGS[device]}\n')
        lines.append(f'### {measurement.title}\n')
        lines.append(format_result(result, markdown=True, picture=measurement.picture))
        environment = result['environment']
        sources.append(f'- {HEADINGS[device]}, {measurement.title}: `{environment["command"]}`;')
        sources.append(f'  {describe_environment(environment)}')
    lines.append('## Commands and machines\n')
    return '\n'.join([*lines, *sources, ''])


def _in_order(measured: dict[str, dict[str, dict]]) -> Iterator[tuple[str, str, Measurement, dict]]:
    """Yield device, name, measurement and result of what was measured, in the order of the plan."""
    for device, measurements in PLAN.items():
        for name, measurement in measurements.items():
            if name in measured[device]:
                yield device, name, measurement, measured[device][name]


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument(
        '--results',
        type=Path,
        default=ROOT / 'docs' / 'benchmarks',
        help='folder of results',
    )
    parser.add_argument(
        '--page',
        type=Path,
        default=ROOT / 'docs' / 'benchmarks.md',
        help='page to write',
    )
    args = parser.parse_args()
    write_page(args.page, args.results)
    print(f'written to {args.page}')


if __name__ == '__main__':
    main()
