"""Write docs/benchmarks.md from the results of the plan: ``python benchmarks/write_page.py``."""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
if __name__ == '__main__':
    sys.path.insert(0, str(ROOT))

from benchmarks.plan import PLAN  # noqa: E402 - found only once the repository is on the path
from benchmarks.results import format_result  # noqa: E402
from depth.atomic_write import write_atomically  # noqa: E402

BEGIN, END = '<!-- results: begin -->', '<!-- results: end -->'
HEADINGS = dict(cpu='CPU', cuda='GPU')


def write_page(page: Path, results: Path) -> None:
    """Write the results of a folder between the two marks of the page.

    Args:
        page: Markdown file with a line ``<!-- results: begin -->`` and one ``<!-- results: end
            -->``.
        results: Folder with ``<device>/<name>.json`` as ``tools/analysis_tools/benchmark.py --out``
            writes them.

    Raises:
        ValueError: If the page lacks the marks.
    """
    text = page.read_text(encoding='utf-8')
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f'{page} needs the lines {BEGIN} and {END}')
    write_atomically(page, f'{before}{BEGIN}\n\n{format_results(results)}\n{END}{after}')


def format_results(results: Path) -> str:
    """Return the sections of all planned measurements as Markdown; missing ones "not measured"."""
    lines = []
    for device, measurements in PLAN.items():
        lines.append(f'## {HEADINGS[device]}\n')
        for name, measurement in measurements.items():
            lines.append(f'### {measurement.title}\n')
            path = results / device / f'{name}.json'
            if path.is_file():
                result = json.loads(path.read_text(encoding='utf-8'))
                lines.append(format_result(result, markdown=True, picture=measurement.picture))
            else:
                lines.append('not measured\n')
    return '\n'.join(lines)


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
