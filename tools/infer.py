"""Predict depth for images; the same as ``depth infer``."""

from depth.cli.common import run_tool
from depth.cli.infer import main

if __name__ == '__main__':
    run_tool(main)
