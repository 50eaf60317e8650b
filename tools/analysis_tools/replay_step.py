"""Repeat a training step that was not finite; the same as ``depth replay``."""

from depth.cli.common import run_tool
from depth.cli.replay import main

if __name__ == '__main__':
    run_tool(main)
