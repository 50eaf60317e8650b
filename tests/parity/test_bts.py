"""BTS against the recorded case, the recorded loss and the recorded recipe."""

import pytest
import torch

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.models.heads import bts_head

from .cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    rates_of_the_recipe,
    relative_error,
    shipped_config,
    stage_errors,
)

NAME = 'bts_r50_nyu'
CONFIG = f'bts/{NAME}_24e.py'


def record(model, monkeypatch):
    """Return a dict that fills with the outputs of the recorded stages when the model runs."""
    head, stages = model.decode_head, {}
    modules = {f'upconv{5 - index}': module for index, module in enumerate(head.up)}
    modules |= {f'bn{5 - index}': module for index, module in enumerate(head.norms)}
    modules |= {f'conv{5 - index}': module for index, module in enumerate(head.convs)}
    modules |= dict(zip(('reduc8x8', 'reduc4x4', 'reduc2x2'), head.planes, strict=True))
    modules |= dict(zip((f'daspp_{d}' for d in (3, 6, 12, 18, 24)), head.aspp.blocks, strict=True))
    modules |= dict(bn4_2=head.aspp_norm, daspp_conv=head.aspp.fuse, conv_depth=head.conv_depth)
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: stages.update({f'decode_head/{name}': output})
        )
    head.reduce.register_forward_hook(
        lambda _, inputs, output: stages.update({'decode_head/reduc1x1': output.sigmoid()})
    )
    head.register_forward_hook(
        lambda _, inputs, outputs: stages.update({'decode_head/out': outputs['depth']})
    )
    model.backbone.register_forward_hook(
        lambda _, inputs, levels: stages.update(
            {f'backbone/{index}': level for index, level in enumerate(levels)}
        )
    )
    guidance = bts_head.local_planar_guidance

    def remember(planes, size):
        depth = guidance(planes, size)
        stages[f'decode_head/lpg{size}x{size}'] = depth[:, 0]
        return depth

    monkeypatch.setattr(bts_head, 'local_planar_guidance', remember)
    return stages


def test_published_outputs_are_reproduced(monkeypatch):
    case, expected = load_case(NAME), load_arrays(NAME)
    model = build_without_weights(shipped_config(CONFIG)).eval()
    model.load_state_dict(convert_official('bts', published_state(case)))
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']
    stages = record(model, monkeypatch)
    with torch.inference_mode():
        depth = model(image(case), mode='tensor').numpy()
    assert relative_error(depth, expected['depth']) < 1e-4
    errors = stage_errors(stages, expected)
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize('config', ['nyu_24e', 'kitti_24e'])
def test_published_names_fill_the_shipped_model(config):
    with torch.device('meta'):
        published = {
            name: torch.empty(shape) for name, shape in load_case(NAME)['state_dict'].items()
        }
    assert (
        compare(
            convert_official('bts', published),
            model_shapes(shipped_config(f'bts/bts_r50_{config}.py')),
        )
        == ''
    )


def test_the_loss_is_the_published_one():
    arrays = load_arrays('losses')
    head = build_without_weights(shipped_config(CONFIG)).decode_head
    losses = head.loss(
        dict(depth=torch.from_numpy(arrays['binsformer/aux_depth'][0])),
        torch.from_numpy(arrays['gt']),
    )
    assert losses['loss_depth'].item() == pytest.approx(
        float(arrays['out/bts_train/loss_depth']), rel=1e-5
    )


def test_the_shipped_recipe_follows_the_published_rate_and_beta1():
    recorded = load_case('schedules')['cases'][NAME]
    for iteration, actual, expected in rates_of_the_recipe(shipped_config(CONFIG), recorded):
        assert actual == pytest.approx(expected, rel=1e-6), iteration
