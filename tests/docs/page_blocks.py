"""Blocks of the documentation pages, their command lines, and a check of one command line.

A page has fenced blocks (```` ```bash ````) and blocks that are indented by four spaces. A command
line is checked without running it: the program's parser accepts the arguments, configs exist, and
the config takes every option.
"""

import functools
import importlib.util
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from depth.cli.common import parse_cfg_options
from depth.cli.main import COMMANDS, import_command
from depth.engine.config import find_config, load_config
from depth.engine.config_check import check_config
from depth.shipped_configs import config_paths
from tests.shared import REPO

PAGES = [REPO / 'README.md', REPO / 'CONTRIBUTING.md', *sorted((REPO / 'docs').glob('*.md'))]
PAGES += sorted([*REPO.glob('configs/*/README.md'), *REPO.glob('projects/*/README.md')])

SHELLS = ('bash', 'sh', 'shell', 'console')
# First words of a command line.
PROGRAMS = (
    'bash cd curl depth exit for git if mkdocs pip pre-commit python python3 sbatch source srun tensorboard torchrun '
    'trtexec'
).split()
# Words that stand for a value which the parser has to understand.
PLACEHOLDERS = {
    'CONFIG': 'depthformer_tiny_rooms',
    'NAME': 'depthformer_tiny_rooms',
    'BASE.py': 'depthformer_tiny_rooms',
    'OTHER.py': 'depthformer_tiny_rooms_otdl',
    'COMMAND': 'train',
    'STEP': '1',
    'NUM_GPUS': '2',
}
# Commands that take the name of a method or of a data set in place of a config.
OWN_NAMES = ('prepare', 'convert')


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        page: Path of the page below the repository.
        line: Line of its first line, from 1.
        language: That of the fence; '' for an indented block.
        text: Its lines, without indentation.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def is_shell(self) -> bool:
        """Whether it holds command lines."""
        if self.language:
            return self.language in SHELLS
        return any(first_word(line) in PROGRAMS for line in self.text.splitlines())

    @property
    def is_drawing(self) -> bool:
        """Whether it draws folders."""
        return '├── ' in self.text or '└── ' in self.text

    @property
    def title(self) -> str:
        """Its first line."""
        return self.text.splitlines()[0]

    @property
    def place(self) -> str:
        """Page and line, for messages."""
        return f'{self.page}:{self.line}'


def first_word(line: str) -> str:
    """Return the program of a command line, without a prompt and variables in front."""
    return re.sub(r'^(\$ )?(\w+=\S+ )*', '', line).split(' ')[0]


@functools.cache
def read_blocks(page: Path) -> tuple[Block, ...]:
    """Return the blocks of a page in their order."""
    name = page.relative_to(REPO).as_posix()
    blocks, lines, language, start = [], [], None, 0

    def finish() -> None:
        text = '\n'.join(lines).strip('\n')
        if text:
            blocks.append(Block(name, start, language or '', text))
        lines.clear()

    previous = ''
    for number, line in enumerate(page.read_text(encoding='utf-8').splitlines(), start=1):
        if line.startswith('```'):
            finish()
            language = (line[3:].strip() or 'text') if language is None else None
            start = number + 1
        elif language is not None:
            lines.append(line)
        elif line.startswith('    ') and (lines or not previous.strip()):
            start = start if lines else number
            lines.append(line[4:])
        elif line.strip():
            finish()
        elif lines:
            lines.append('')
        previous = line
    finish()
    return tuple(blocks)


def all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in read_blocks(page)]


def read_commands(block: Block) -> list[list[str]]:
    """Return the words of every command of a shell block; variables of the block are replaced.

    In a block with prompts (``$ ``) the other lines are output.
    """
    lines = block.text.replace('\\\n', ' ').splitlines()
    if any(line.startswith('$ ') for line in lines):
        lines = [line[2:] for line in lines if line.startswith('$ ')]
    variables: dict[str, str] = {}
    commands = []
    for line in lines:
        for words in split_line(line):
            words = replace_variables(words, variables)
            if words[0] == 'for':
                variables[words[1]] = words[3]
                continue
            while words and words[0] in ('do', 'then'):
                words = words[1:]
            while words and re.fullmatch(r'[A-Za-z_]\w*=.*', words[0]):
                name, _, value = words[0].partition('=')
                words = words[1:]
                if not words:
                    variables[name] = value
            if words and words[0] not in ('done', 'fi', 'if', 'exit', 'scontrol'):
                commands.append(words)
    return commands


def replace_variables(words: list[str], variables: dict[str, str]) -> list[str]:
    """Return words with the values of variables; a variable that is a word of its own is split at spaces."""
    replaced = []
    for word in words:
        value = re.sub(r'\$\{?(\w+)\}?', lambda match: variables.get(match[1], match[0]), word)
        replaced += value.split() if word.startswith('$') and value != word else [value]
    return replaced


def split_line(line: str) -> list[list[str]]:
    """Return the words of each command of a line; comments and redirections are left out."""
    lexer = shlex.shlex(expand_synopsis(line), posix=True, punctuation_chars=';&>')
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    skipped = False
    for word in lexer:
        if set(word) <= {';', '&'}:
            commands.append([])
        elif set(word) == {'>'}:
            skipped = True
        elif skipped:
            skipped = False
        elif word.strip('.'):
            commands[-1].append(word.removesuffix('...') if word.isupper() else word)
    return [words for words in commands if words]


def expand_synopsis(line: str) -> str:
    """Return a command line in which optional words, ``[--tta | --no-tta]``, stand as the first alternative."""
    line = re.sub(r'<[a-z ]+>', 'ADDRESS', line)
    while True:
        match = re.search(r'(?<= )\[([^\[\]]*)\](?=[\] ]|$)', line)
        if match is None:
            return line
        first = match[1].split('|')[0].strip()
        # "[train.py arguments]" describes what may follow.
        described = ' arguments' in first
        line = line[: match.start()] + ('' if described else first) + line[match.end() :]


def page_files(page: str) -> set[str]:
    """Return the files that the Python blocks of a page tell the reader to write."""
    names = set()
    for block in read_blocks(REPO / page):
        match = re.match(r'# (?:file: )?(\S+\.py)$', block.title)
        if match:
            names.add(match[1])
    return names


def check_command(words: list[str], page: str) -> None:
    """Check a command of a page.

    Raises:
        AssertionError: If a file or a config does not exist, or the arguments are not accepted.
    """
    words = [PLACEHOLDERS.get(word, word) for word in words]
    written = page_files(page)
    for word in words:
        if re.fullmatch(r'(configs|projects)/.*\.py', word) and '{' not in word:
            assert word in written or (REPO / word).is_file(), f'{word} does not exist'
    program = words[0]
    if program == 'srun':
        words = words[words.index('python') :]
    elif program == 'torchrun':
        words = ['depth', *words[words.index('depth.cli.main') + 1 :]]
    elif program == 'bash':
        words = script_arguments(words)
    elif program == 'pip':
        check_extras(words)
    if words and words[0] == 'depth':
        check_arguments(words[1], import_command_checked(words[1]), words[2:], written)
    elif words and words[0] == 'python':
        check_script([word for word in words[1:] if word != '-u'], written)


def import_command_checked(name: str):
    """Return the module of a subcommand; there has to be one."""
    assert name in COMMANDS, f'there is no command {name}'
    return import_command(name)


def script_arguments(words: list[str]) -> list[str]:
    """Return the command that a shell script hands its arguments to; none for scripts without."""
    script = words[1]
    assert (REPO / script).is_file(), f'{script} does not exist'
    # Positional words in front of the config, and the index of the number of processes.
    launchers = {
        'tools/dist_train.sh': ('train', 0, 1),
        'tools/dist_test.sh': ('test', 0, 2),
        'tools/slurm_train.sh': ('train', 2, None),
        'tools/slurm_test.sh': ('test', 2, None),
    }
    if script not in launchers:
        return []
    name, skipped, processes = launchers[script]
    arguments = words[2 + skipped :]
    if processes is not None:
        assert arguments.pop(processes).isdigit(), 'the number of processes is missing'
    return ['depth', name, *arguments]


def check_extras(words: list[str]) -> None:
    """Check that the extras of a ``pip install`` exist."""
    for word in words:
        match = re.search(r'\[(.*)\]', word)
        for extra in match[1].split(',') if match else ():
            assert extra == 'all' or (REPO / f'requirements/{extra}.txt').is_file(), extra


def check_script(words: list[str], written: set[str]) -> None:
    """Check a Python script and its arguments."""
    script, *arguments = words
    if script == '-m':
        return
    path = REPO / script
    assert path.is_file(), f'{script} does not exist'
    command = re.search(r'^from depth\.cli\.(\w+) import main$', path.read_text(), re.MULTILINE)
    if command:
        name = command[1].replace('_', '-')
        check_arguments(name, import_command(name), arguments, written)
    else:
        check_arguments(path.stem, load_script(path), arguments, written)


@functools.cache
def load_script(path: Path):
    """Return the module of a script, not run."""
    spec = importlib.util.spec_from_file_location(f'page_script_{path.stem}', path)
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, 'path', [str(path.parent), *sys.path]):
        spec.loader.exec_module(module)
    return module


def check_arguments(name: str, module, arguments: list[str], written: set[str]) -> None:
    """Parse the arguments of a command, then check the configs and options that they name."""
    with mock.patch.object(sys, 'argv', [name, *arguments]):
        try:
            if 'build_parser' in vars(module) and 'parse_args' not in vars(module):
                args = module.build_parser().parse_args(arguments)
            elif 'parse_args' in vars(module):
                args = module.parse_args()
            else:
                return
        except SystemExit as error:
            assert not error.code, f'{name} does not accept {arguments}'
            return
    values = vars(args)
    options = list(values.get('cfg_options') or [])
    for item in values.get('grid') or []:
        options.append(item.split(',')[0])
    configs = []
    for key in ('config', 'configs', 'base', 'others', 'dataset_config'):
        named = values.get(key) or []
        configs += named if isinstance(named, list) else [named]
    if name in OWN_NAMES:
        configs = [values['config']] if values.get('config') else []
    for config in map(str, configs):
        if config not in written and Path(config).suffix in ('', '.py'):
            check_options(config, tuple(options))


@functools.cache
def check_options(config: str, options: tuple[str, ...]) -> None:
    """Check that a config exists and takes the options."""
    if config.startswith('work_dirs/'):  # written by a command before
        return
    path = REPO / config if (REPO / config).is_file() else find_config(config)
    pairs = []
    for option in options:
        if not option.split('=')[0].isupper():  # KEY=VALUE
            pairs += expand_braces(option)
    if pairs:
        cfg = load_config(path, parse_cfg_options(pairs))
        if cfg.get('model'):
            check_config(cfg)


def expand_braces(word: str) -> list[str]:
    """Return the words that a shell makes of ``{train,val}_dataloader.x=1``."""
    match = re.match(r'\{([\w,]+)\}', word)
    if not match:
        return [word]
    return [choice + word[match.end() :] for choice in match[1].split(',')]


def is_config_name(word: str) -> bool:
    """Return whether a word names a shipped config, by name or path; data sets are none."""
    return Path(word).stem in config_paths() and Path(word).suffix in ('', '.py')
