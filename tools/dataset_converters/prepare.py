"""Prepare a data set; the same as ``depth prepare``."""

from depth.cli.common import run_tool
from depth.cli.prepare import main

if __name__ == '__main__':
    run_tool(main)
