"""Fill the holes of depth maps; the same as ``depth fill-depth``."""

from depth.cli.common import run_tool
from depth.cli.fill_depth import main

if __name__ == '__main__':
    run_tool(main)
