"""Convert a published checkpoint to ours, strictly."""

import argparse
from pathlib import Path

from depth.cli import run_tool


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('method', help='depthformer, binsformer, ... (a wrong one lists them)')
    parser.add_argument('src', type=Path, help='published checkpoint; nothing in it is executed')
    parser.add_argument('dst', type=Path, help='where ours goes')
    parser.add_argument('--config', type=Path, help='config the weights have to fill; else a shipped one has to fit')
    return parser.parse_args()


def main() -> None:
    """Convert, and say which config the result belongs to."""
    args = parse_args()
    from depth.engine.converters import write_converted

    root = Path(__file__).resolve().parents[2]
    fitting = write_converted(args.method, args.src, args.dst, config=args.config, root=root)
    print(f'wrote {args.dst}')
    if not fitting:
        print('it is an encoder without a head; start a training from it with model.backbone.checkpoint=FILE')
    elif len(fitting) == 1:
        print(f'it fills, and carries, {fitting[0]}')
    else:
        names = '\n  '.join(map(str, fitting))
        print(f'it fills these configs; name one with --config to store it in the file:\n  {names}')


if __name__ == '__main__':
    run_tool(main)
