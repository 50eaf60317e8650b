"""Label a folder of images with a teacher; the same as ``depth label``."""

from depth.cli.common import run_tool
from depth.cli.label import main

if __name__ == '__main__':
    run_tool(main)
