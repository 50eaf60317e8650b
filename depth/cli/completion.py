"""Print a shell's completion of the ``depth`` command, generated from the parsers: ``depth completion bash``."""

import argparse
import shlex
from collections.abc import Sequence

from depth.cli.common import command_parser

SHELLS = ('bash', 'zsh', 'fish')
EXAMPLES = (
    'depth completion bash > ~/.local/share/bash-completion/completions/depth',
    'depth completion zsh >> ~/.zshrc',
    'depth completion fish > ~/.config/fish/completions/depth.fish',
)

# Words that no option explains are files or names of configs, which are listed once a shell.
BASH = """\
_depth() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}" words=
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}} $previous" in
{choices}
    esac
    if [ -z "$words" ] && [ "${{current#-}}" != "$current" ]; then
        case "${{COMP_WORDS[1]}}" in
{options}
        esac
    fi
    if [ -n "$words" ]; then
        COMPREPLY=($(compgen -W "$words" -- "$current"))
        return
    fi
    [ -n "$_depth_configs" ] || _depth_configs="$(depth list --names 2>/dev/null)"
    COMPREPLY=($(compgen -W "$_depth_configs" -- "$current") $(compgen -f -- "$current"))
}}
complete -o filenames -F _depth depth
"""


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = command_parser(
        EXAMPLES, description='Print the completion of the depth command for a shell'
    )
    parser.add_argument('shell', choices=SHELLS, help='shell that reads the output')
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Print the script."""
    args = build_parser().parse_args(argv)
    if args.shell == 'fish':
        print(fish_script())
    elif args.shell == 'zsh':
        # zsh runs completions of bash once they are switched on.
        print('autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit')
        print(bash_script())
    else:
        print(bash_script())
    return 0


def bash_script() -> str:
    """Return the completion function of bash."""
    from depth.cli.main import COMMANDS

    choices, options = [], []
    for name in COMMANDS:
        words = []
        for action in visible_options(name):
            words += action.option_strings
            if action.choices:
                pattern = '|'.join(f'"{name} {option}"' for option in action.option_strings)
                values = ' '.join(map(str, action.choices))
                choices.append(f'        {pattern}) words="{values}" ;;')
        options.append(f'            {name}) words="{" ".join(words)}" ;;')
    return BASH.format(
        commands=' '.join(COMMANDS), choices='\n'.join(choices), options='\n'.join(options)
    )


def fish_script() -> str:
    """Return the ``complete`` commands of fish."""
    from depth.cli.main import COMMANDS

    lines = []
    for name, text in COMMANDS.items():
        lines.append(
            f'complete -c depth -n __fish_use_subcommand -f -a {name} -d {shlex.quote(text)}'
        )
        for action in visible_options(name):
            flags = []
            for option in action.option_strings:
                kind = '-l' if option.startswith('--') else '-s'
                flags.append(f'{kind} {option.lstrip("-")}')
            line = f"complete -c depth -n '__fish_seen_subcommand_from {name}' {' '.join(flags)}"
            if action.choices:
                line += f" -x -a '{' '.join(map(str, action.choices))}'"
            lines.append(line)
    return '\n'.join(lines)


def visible_options(name: str) -> list[argparse.Action]:
    """Return the options of a subcommand that its help shows."""
    from depth.cli.main import import_command

    # argparse has no public list of its options.
    actions = import_command(name).build_parser()._actions
    return [
        action
        for action in actions
        if action.option_strings and action.help is not argparse.SUPPRESS
    ]
