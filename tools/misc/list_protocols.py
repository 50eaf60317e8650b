"""Print the evaluation protocols as the Markdown table of docs/evaluation.md."""

import argparse

from depth.cli import run_tool


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    from depth.evaluation.protocols.table import protocol_table

    print(protocol_table(), end='')


if __name__ == '__main__':
    run_tool(main)
