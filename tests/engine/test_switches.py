"""The switches of docs/train.md, each through the runner or the inference API on a tiny model."""

import dataclasses
import functools
import math
import re

import numpy as np
import pytest
import torch

from benchmarks import Setting, Spec, train
from depth.apis import inference_model, init_model
from depth.cli.common import parse_cfg_options
from depth.engine.config_references import CONFIG_KEYS
from tests.shared import REPO

TINY = str(REPO / 'configs/synthetic/depthformer_tiny_rooms.py')
SPEC = Spec(config=TINY, shape=(32, 64), batch_size=1)
# Compiled in half the time; that the others compile is shown by tests/benchmarks/test_graphs.py.
DPT = str(REPO / 'configs/synthetic/dpt_tiny_rooms.py')
TRAINING = {
    'bf16': 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16',
    'fused': 'optim_wrapper.optimizer.fused=True',
    'tf32': 'env_cfg.tf32=True',
    'channels_last': 'channels_last=True',
    'compile': 'compile.backend=aot_eager',
    'blocks': 'model.backbone.backbone.grad_checkpointing=True',
    'parts': "activation_checkpointing=['backbone','neck','decode_head']",
    'parts compiled': "compile.backend=aot_eager activation_checkpointing=['backbone','decode_head']",
}


def losses(text, spec=SPEC, steps=2):
    """Return the losses of some iterations, after which every parameter must have been updated."""
    setting = Setting('switch', parse_cfg_options(text.split()))
    with setting.surroundings('cpu'):
        case, runner = train.build_with_runner(spec, setting)
        for _ in range(steps):
            case.step()
    torch.compiler.reset()
    history = runner.message_hub.get_scalar('train/loss').data[0]
    updated = runner.optim_wrapper.optimizer.state  # AdamW keeps moments of what had a gradient
    assert all(
        parameter in updated for parameter in runner.model.parameters() if parameter.requires_grad
    )
    return [float(loss) for loss in history]


@functools.cache
def losses_without_switch(config):
    """Return the losses of a training without a switch."""
    return losses('', dataclasses.replace(SPEC, config=config))


@pytest.mark.slow
@pytest.mark.parametrize('name', TRAINING)
def test_training_with_a_switch_gives_the_losses_of_a_training_without(name):
    config = DPT if 'compile' in name else TINY
    expected = losses_without_switch(config)
    actual = losses(TRAINING[name], dataclasses.replace(SPEC, config=config))
    assert actual == pytest.approx(expected, rel=0.02 if name == 'bf16' else 1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('options', 'tolerance'),
    [
        ({'inference.autocast': 'bfloat16'}, 0.05),
        ({'inference.autocast': 'bfloat16', 'channels_last': True}, 0.05),
        ({'channels_last': True}, 1e-4),
        ({'inference.compile.backend': 'aot_eager'}, 1e-4),
    ],
    ids=str,
)
def test_inference_with_a_switch_gives_the_depth_of_one_without(options, tolerance):
    config = DPT if 'inference.compile.backend' in options else TINY
    image = np.random.default_rng(0).integers(0, 256, (32, 64, 3), np.uint8)
    depths = []
    for overrides in ({}, options):
        torch.manual_seed(0)
        depths.append(inference_model(init_model(config, cfg_options=overrides), image).pred_depth)
    torch.compiler.reset()
    torch.testing.assert_close(depths[1], depths[0], rtol=tolerance, atol=tolerance)
    assert math.isfinite(float(depths[1].sum()))


@pytest.mark.parametrize('switched', [False, True])
def test_validations_of_a_training_use_the_inference_switches_if_asked(switched):
    options = {'inference.autocast': 'bfloat16', 'inference.validation': switched}
    _, runner = train.build_with_runner(SPEC, Setting('validation', options))
    model = runner.model.eval()
    with torch.no_grad():
        images = torch.rand(1, 3, 32, 64)
        exact = type(model).predict_depth(model, images)
        difference = (model.predict_depth(images) - exact).abs().max()
    assert (difference > 0) == switched


def test_cuda_graphs_are_refused_on_a_cpu():
    with pytest.raises(ValueError, match='needs a CUDA device, but the model is on cpu'):
        init_model(TINY, cfg_options={'inference.cuda_graph': True})


def test_a_wrong_tf32_is_refused():
    with pytest.raises(ValueError, match=r"env_cfg.tf32 is True, False or None .*got 'high'"):
        train.build(SPEC, Setting(options={'env_cfg.tf32': 'high'}))


def test_the_documented_keys_are_keys_of_a_config():
    text = (REPO / 'docs/train.md').read_text()
    table = text.partition('| means | switch |')[2].partition('\n\n')[0]
    keys = re.findall(
        r'\b([a-z][a-z_]*)[\w.]*=', ' '.join(row.split('|')[2] for row in table.splitlines()[2:])
    )
    assert len(keys) > 10
    assert set(keys) <= CONFIG_KEYS
