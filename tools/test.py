"""Test a model; the same as ``depth test``."""

from depth.cli.common import run_tool
from depth.cli.test import main

if __name__ == '__main__':
    run_tool(main)
