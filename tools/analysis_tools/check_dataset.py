"""Check the data sets of a config; the same as ``depth check``."""

from depth.cli.check import main
from depth.cli.common import run_tool

if __name__ == '__main__':
    run_tool(main)
