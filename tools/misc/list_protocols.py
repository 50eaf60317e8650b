"""Print the evaluation protocols as a table; the same as ``depth protocols``."""

from depth.cli.common import run_tool
from depth.cli.protocols import main

if __name__ == '__main__':
    run_tool(main)
