"""Score files of predictions of any model; the same as ``depth score``."""

from depth.cli.common import run_tool
from depth.cli.score import main

if __name__ == '__main__':
    run_tool(main)
