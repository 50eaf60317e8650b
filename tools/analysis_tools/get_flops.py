"""Count parameters and FLOPs of a model; the same as ``depth flops``."""

from depth.cli.common import run_tool
from depth.cli.flops import main

if __name__ == '__main__':
    run_tool(main)
