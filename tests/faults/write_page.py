"""Table of docs/reliability.md, written from the fault tables: ``python tests/faults/write_page.py``."""

import importlib
import re
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
if __name__ == '__main__':
    sys.path.insert(0, str(REPO))

from depth.atomic_write import write_atomically  # noqa: E402 - needs the repository on the path
from tests.faults.bench import Fault  # noqa: E402

PAGE = REPO / 'docs' / 'reliability.md'
BEGIN, END = '<!-- faults: begin -->', '<!-- faults: end -->'
SUBJECTS = dict(
    checkpoint='Checkpoints',
    run='Runs and work dirs',
    training='Trainings that go wrong',
    config='Configs',
    data='Data sets',
    transform='Transforms',
    inference='Inference',
    scoring='Scoring',
)


def load_cases(subject: str) -> list[Fault]:
    """Return the fault table of a subject."""
    return importlib.import_module(f'tests.faults.test_{subject}_faults').CASES


def fault_tables() -> str:
    """Return one Markdown table for each subject: fault, tool, exit code, and texts of the answer."""
    lines = []
    for subject, title in SUBJECTS.items():
        cases = load_cases(subject)
        lines += [f'### {title} ({len(cases)})', '']
        lines += [
            '| fault | met by | exit code | the answer contains |',
            '| --- | --- | --- | --- |',
        ]
        lines += [_row(fault) for fault in cases]
        lines.append('')
    return '\n'.join(lines)


def _row(fault: Fault) -> str:
    is_tool = isinstance(fault.command, str)
    tool = f'`{fault.command.split()[0]}`' if is_tool else 'Python'
    code = str(fault.code) if is_tool else 'exception'
    answer = ' · '.join(f'`{text}`' for text in fault.says).replace('|', '\\|').replace('\n', ' ')
    answer = re.sub(r'process \d+', 'process N', answer)  # of the run that wrote the table
    return f'| {fault.name.replace("_", " ")} | {tool} | {code} | {answer} |'


def write_page(page: Path = PAGE) -> None:
    """Put the tables between the two marks of the page."""
    before, _, rest = page.read_text(encoding='utf-8').partition(BEGIN)
    _, _, after = rest.partition(END)
    write_atomically(page, f'{before}{BEGIN}\n\n{fault_tables()}\n{END}{after}')


if __name__ == '__main__':
    write_page()
    print(f'written to {PAGE}')
