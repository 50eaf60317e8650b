"""Render synthetic scenes; the same as ``depth render``."""

from depth.cli.common import run_tool
from depth.cli.render import main

if __name__ == '__main__':
    run_tool(main)
