"""Convert a published checkpoint; the same as ``depth convert``."""

from depth.cli.common import run_tool
from depth.cli.convert import main

if __name__ == '__main__':
    run_tool(main)
