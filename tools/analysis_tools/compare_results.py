"""Compare two test results image by image; the same as ``depth compare``."""

from depth.cli.common import run_tool
from depth.cli.compare import main

if __name__ == '__main__':
    run_tool(main)
