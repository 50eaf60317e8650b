"""Rates and momenta of the shipped DepthFormer and BinsFormer configs against the recorded ones."""

import json

import pytest

from tests.shared import REFERENCE, needs_reference

from .cases import rates_of_the_recipe, shipped_config

CONFIGS = {
    'depthformer_swint_w7_nyu': 'depthformer/depthformer_swint_w7_nyu.py',
    'binsformer_swint_w7_nyu': 'binsformer/binsformer_swint_w7_nyu.py',
}


@needs_reference
@pytest.mark.parametrize('case', CONFIGS)
def test_the_shipped_config_has_the_published_rates(case):
    recorded = json.loads((REFERENCE / 'schedules.json').read_text())['cases'][case]
    compared = list(rates_of_the_recipe(shipped_config(CONFIGS[case]), recorded))
    assert {iteration for iteration, _, _ in compared} == {int(iteration) for iteration in recorded}
    for iteration, found, expected in compared:
        assert found == pytest.approx(expected, rel=1e-6), iteration
