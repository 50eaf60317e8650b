"""Pack predictions for the KITTI server; the same as ``depth kitti-submission``."""

from depth.cli.common import run_tool
from depth.cli.kitti_submission import main

if __name__ == '__main__':
    run_tool(main)
