"""Write a checkpoint for deployment; the same as ``depth publish``."""

from depth.cli.common import run_tool
from depth.cli.publish import main

if __name__ == '__main__':
    run_tool(main)
