"""Write the tables of docs/scale.md that ``depth plan`` computes."""

import argparse
import contextlib
import io
import re
import shlex
from pathlib import Path

from depth.atomic_write import write_atomically
from depth.cli.common import run_tool

PAGE = Path(__file__).resolve().parents[2] / 'docs' / 'scale.md'
_BLOCK = re.compile(r'<!-- (depth plan .+?|assumptions) -->\n.*?<!-- end -->', re.DOTALL)


def written(page: str) -> str:
    """Return a page whose blocks hold what their commands print now."""
    return _BLOCK.sub(lambda match: f'<!-- {match[1]} -->\n{_content(match[1])}<!-- end -->', page)


def _content(command: str) -> str:
    from depth.cli import plan
    from depth.engine.plan import Machine, format_assumptions

    if command == 'assumptions':
        return ''.join(f'- {line}\n' for line in format_assumptions(Machine()))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        plan.main(shlex.split(command)[2:])
    lines = [line for line in output.getvalue().splitlines() if line.startswith('|')]
    return '\n'.join(lines) + '\n'


def main() -> int:
    """Write the page."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    write_atomically(PAGE, written(PAGE.read_text(encoding='utf-8')))
    print(f'wrote {PAGE}')
    return 0


if __name__ == '__main__':
    run_tool(main)
