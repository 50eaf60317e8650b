"""Train a model: python tools/train.py CONFIG."""

from depth.cli.common import run_tool
from depth.cli.train import main

if __name__ == '__main__':
    run_tool(main)
