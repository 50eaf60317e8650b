"""Pack the frames of a data set; the same as ``depth pack``."""

from depth.cli.common import run_tool
from depth.cli.pack import main

if __name__ == '__main__':
    run_tool(main)
