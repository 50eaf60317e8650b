"""Train a model; the same as ``depth train``."""

from depth.cli.common import run_tool
from depth.cli.train import main

if __name__ == '__main__':
    run_tool(main)
