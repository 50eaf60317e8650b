"""Export a model: python tools/export.py CHECKPOINT --out FILE."""

from depth.cli.common import run_tool
from depth.cli.export import main

if __name__ == '__main__':
    run_tool(main)
