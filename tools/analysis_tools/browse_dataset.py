"""Draw samples of a data set; the same as ``depth browse``."""

from depth.cli.browse import main
from depth.cli.common import run_tool

if __name__ == '__main__':
    run_tool(main)
