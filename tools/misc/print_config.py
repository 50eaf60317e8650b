"""Print a config with all inherited values; the same as ``depth print-config``."""

from depth.cli.common import run_tool
from depth.cli.print_config import main

if __name__ == '__main__':
    run_tool(main)
