"""Mixed precision on the command line: with a value, without one, and in front of the config."""

import pytest

from depth.apis import launch
from depth.cli.train import parse_args
from tests.shared import REPO

CONFIG = 'configs/synthetic/dpt_tiny_rooms.py'


@pytest.mark.parametrize(
    ('words', 'expected'),
    [
        ([CONFIG], None),
        ([CONFIG, '--amp'], 'auto'),
        (['--amp', CONFIG], 'auto'),
        ([CONFIG, '--amp', '--seed', '3'], 'auto'),
        ([CONFIG, '--amp', 'bf16'], 'bf16'),
        (['--amp=fp16', CONFIG], 'fp16'),
        (['--amp', 'bf16', CONFIG], 'bf16'),
    ],
)
def test_amp_takes_a_value_or_none(words, expected):
    args = parse_args(words)
    assert (args.config, args.amp) == (CONFIG, expected)


@pytest.mark.parametrize(
    ('amp', 'expected'),
    [
        (False, ('OptimWrapper', None)),
        (True, ('AmpOptimWrapper', None)),
        ('bf16', ('AmpOptimWrapper', 'bfloat16')),
        ('fp16', ('AmpOptimWrapper', 'float16')),
    ],
)
def test_one_flag_chooses_the_precision_of_a_shipped_config(amp, expected, tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop(cfg):
        wrapper = cfg.optim_wrapper
        raise StoppedError(wrapper.type, wrapper.get('dtype'))

    monkeypatch.setattr(launch, 'build_runner', stop)
    with pytest.raises(StoppedError) as caught:
        launch.train(REPO / CONFIG, work_dir=tmp_path, amp=amp)
    assert caught.value.args == expected


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="amp is 'bf16', 'fp16', True or False, got 'int8'"):
        launch.train(REPO / CONFIG, amp='int8')
