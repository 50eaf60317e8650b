"""The cost of a checkpoint: by hand, and measured on a tiny training."""

import pytest

from benchmarks import Setting, Spec, saving
from benchmarks.saving import Block
from tests.shared import REPO

MICRO = str(REPO / 'configs/synthetic/dinov3_dpt_micro_rooms.py')


def test_the_cost_is_what_a_block_takes_longer_than_the_training_without():
    base = Block(wall=[0.1] * 4, cpu=[0.09] * 4, during_write=[False] * 4)
    block = Block(
        wall=[0.3, 0.15, 0.1, 0.1],
        cpu=[0.19, 0.09, 0.09, 0.09],
        during_write=[True, True, False, False],
    )
    row = saving._row('in_thread', [block], [base], interval=100)
    assert row['saving_ms'] == pytest.approx(200)
    assert row['beside_ms'] == pytest.approx(50)
    assert row['cost_ms'] == pytest.approx(250)
    assert row['cost_cpu_ms'] == pytest.approx(100)
    assert row['saving_cpu_ms'] == pytest.approx(100)
    assert row['iterations_beside'] == 2
    assert row['cost_share'] == pytest.approx(0.25 / (100 * 0.1))
    assert row['cost_cpu_share'] == pytest.approx(0.1 / (100 * 0.09))
    # 250 ms are 2 % of 100 iterations of 125 ms.
    assert 'more than 125.00 ms, by processor time 50.00 ms' in saving._notes([{}, row], 100)[1]


def test_a_training_is_measured_without_and_with_both_ways_to_save(monkeypatch):
    monkeypatch.setattr(saving, 'BLOCK', 2)
    spec = Spec(config=MICRO, shape=(32, 32), batch_size=1)
    result = saving.run(spec, Setting(), 1, lambda text: None)
    assert [row['checkpoints'] for row in result['rows']] == ['none', 'at_once', 'in_thread']
    for row in result['rows'][1:]:
        # 0.23 M parameters with two moments of 4 bytes each, and the rest of a checkpoint.
        assert 0.23e6 * 12 < row['file_mb'] * 1e6 < 0.25e6 * 12 + 2e5
        assert row['saving_ms'] > 0
    assert f'{300} iterations' in result['notes'][0]  # the interval of this config
