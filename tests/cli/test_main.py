"""The console command: every subcommand has a parser, examples that parse, defaults in its help, and completion."""

import shlex
import subprocess
import sys

import pytest

from depth.cli import completion
from depth.cli.main import COMMANDS, dispatch, import_command


@pytest.mark.parametrize('name', COMMANDS)
def test_help_has_examples_that_parse_and_defaults(name):
    command = import_command(name)
    parser = command.build_parser()
    # These two accept an order of words that argparse alone would not.
    parse = command.parse_args if name in ('train', 'infer') else parser.parse_args
    text = parser.format_help()
    _, _, section = text.partition('examples:\n')
    # The section ends at an empty line; other programs may stand in it, such as curl.
    examples = []
    for line in section.split('\n\n')[0].splitlines():
        if line.strip().startswith(f'depth {name}'):
            examples.append(line.partition(' > ')[0].partition(' >> ')[0])
    assert examples
    for example in examples:
        parse(shlex.split(example, comments=True)[2:])
    flat = ' '.join(text.split())
    for action in parser._actions:
        if isinstance(action.default, int | float) and not isinstance(action.default, bool):
            assert f'(default: {action.default}' in flat


def test_no_subcommand_imports_the_library_for_its_help():
    code = (
        'import sys; from depth.cli.main import COMMANDS, import_command\n'
        'for name in COMMANDS: import_command(name).build_parser()\n'
        'print(sorted({"torch", "mmengine", "numpy", "cv2"} & set(sys.modules)))'
    )
    output = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert output.stdout.strip() == '[]', output.stderr


def test_exit_codes_of_the_command_itself(capsys):
    assert dispatch(['--help']) == 0
    assert dispatch([]) == 2
    assert dispatch(['trian']) == 2
    assert "has no command 'trian'" in capsys.readouterr().err
    with pytest.raises(SystemExit) as wrong:
        dispatch(['train'])
    assert wrong.value.code == 2


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ('depth comp', {'compare', 'completion'}),
        ('depth train --work', {'--work-dir'}),
        ('depth train --launcher ', {'none', 'pytorch', 'slurm'}),
        ('depth fill-depth --dep', {'--depth-scale'}),
    ],
)
def test_bash_completes(words, expected):
    typed = words.split() + ["''"] * words.endswith(' ')
    script = (
        f'{completion.bash_script()}\nCOMP_WORDS=({" ".join(typed)})\n'
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_depth\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    output = subprocess.run(['bash', '-c', script], capture_output=True, text=True)
    assert set(output.stdout.split()) == expected, output.stderr


def test_fish_script_names_every_command_and_option():
    script = completion.fish_script()
    for name in COMMANDS:
        assert f'-f -a {name} -d ' in script
        for action in completion.visible_options(name):
            assert f'{action.option_strings[-1].lstrip("-")}' in script
