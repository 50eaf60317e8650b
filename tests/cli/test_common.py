"""Options that all commands share."""

import pytest

from depth.cli import infer
from depth.cli.common import command_parser


@pytest.mark.parametrize(
    'word', ['-1e9', '-2.5E-3', '-1.', '-.5', '-3', '-inf', '-Infinity', '-nan']
)
def test_a_number_with_a_minus_is_a_value(word):
    parser = command_parser(())
    parser.add_argument('--numbers', nargs=2, type=float)
    parser.add_argument('-q', '--name')
    args = parser.parse_args(['--numbers', word, '1', '-q', 'a'])
    assert str(args.numbers[0]) == str(float(word))
    assert args.name == 'a'


def test_a_word_with_a_minus_is_an_option(capsys):
    parser = command_parser(())
    parser.add_argument('--number', type=float)
    with pytest.raises(SystemExit):
        parser.parse_args(['--number', '-fast'])
    assert 'argument --number: expected one argument' in capsys.readouterr().err


def test_a_negative_camera_reaches_the_check_of_cameras():
    words = 'a.png --checkpoint a.pth --out-dir out --intrinsics -1e9 50 30 20'
    assert infer.parse_args(words.split()).intrinsics == [-1e9, 50, 30, 20]
