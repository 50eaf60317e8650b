"""Command lines on the pages name tools and options that exist."""

import re

import pytest

from depth.cli.main import COMMANDS, import_command
from tests.shared import REPO

PAGES = sorted([REPO / 'README.md', REPO / 'CONTRIBUTING.md', *(REPO / 'docs').glob('*.md')])
# Options that several tools share are added here.
SHARED_OPTIONS = ''
for name in ('common', 'picture_options'):
    SHARED_OPTIONS += (REPO / f'depth/cli/{name}.py').read_text(encoding='utf-8')


def commands(page):
    """Yield the script and the options of each command line of a page, continued lines included."""
    text = page.read_text(encoding='utf-8').replace('\\\n', ' ')
    for line in re.findall(r'^    (.+)$', text, flags=re.MULTILINE) + re.findall(
        r'`([^`]+)`', text
    ):
        match = re.match(
            r'(?:\w+=\S+ )*(?:python|bash) ((?:tools|tests|benchmarks)/\S+\.(?:py|sh))(.*)',
            line,
            re.DOTALL,
        )
        if match:
            yield match[1], re.findall(r'--[a-z][a-z-]+', match[2].split(' # ')[0])


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.stem)
def test_tools_and_options_of_the_pages_exist(page):
    for script, options in commands(page):
        path = REPO / script
        assert path.is_file(), script
        source = path.read_text(encoding='utf-8') + SHARED_OPTIONS
        for name in re.findall(r'^from depth\.cli\.(\w+) import main$', source, re.MULTILINE):
            source += (REPO / f'depth/cli/{name}.py').read_text(encoding='utf-8')
        if script.endswith('.sh'):  # the launchers hand their arguments on
            continue
        for option in options:
            negated = option.replace('--no-', '--', 1)  # argparse.BooleanOptionalAction
            assert f"'{option}'" in source or f"'{negated}'" in source, f'{script} has no {option}'


def test_the_search_for_commands_finds_them():
    scripts = {script for page in PAGES for script, _ in commands(page)}
    assert {'tools/train.py', 'tools/quickstart.sh', 'tests/faults/write_page.py'} <= scripts


@pytest.mark.parametrize('page', PAGES, ids=lambda path: path.stem)
def test_subcommands_and_their_options_exist(page):
    text = page.read_text(encoding='utf-8').replace('\\\n', ' ')
    for name, rest in re.findall(r'^    depth ([a-z][a-z-]*)(.*)$', text, flags=re.MULTILINE):
        assert name in COMMANDS, f'{page.name}: depth {name}'
        options = import_command(name).build_parser()._option_string_actions
        for option in re.findall(r'--[a-z][a-z-]+', rest.split(' # ')[0]):
            assert option in options, f'{page.name}: depth {name} has no {option}'
