"""Shares of trained parameters that the comparison of fine-tunings states."""

import runpy

import pytest

from tests.shared import REPO

TOOL = runpy.run_path(str(REPO / 'tools/analysis_tools/compare_tuning.py'))
CONFIG = str(REPO / 'configs/synthetic/dpt_tiny_rooms.py')


def test_shares_of_full_frozen_and_lora():
    shares = {}
    for way in TOOL['WAYS']:
        shares[way] = TOOL['trained_share'](CONFIG, TOOL['_options_of'](way, 8))
    assert shares['full'] == 1
    assert 0 < shares['frozen'] < shares['lora'] < 1
    # Width 96: qkv, proj, fc1 and fc2 of four blocks, and the patch embedding of 16x16x3 pixels.
    factors = 4 * 8 * ((96 + 288) + (96 + 96) + (96 + 384) + (384 + 96)) + 8 * (768 + 96)
    assert _trained('lora') - _trained('frozen') == pytest.approx(factors)


def _trained(way):
    """Return the number of trained parameters."""
    import torch

    from depth.cli.common import parse_cfg_options
    from depth.engine.config import load_config
    from depth.engine.deployment import build_from_stored

    with torch.device('meta'):
        options = parse_cfg_options(TOOL['_options_of'](way, 8))
        model = build_from_stored(load_config(CONFIG, options))
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
