"""AdaBins against the recorded case, the recorded losses and the recorded recipe."""

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.models.heads import AdaBinsHead

from .cases import (
    built_schedulers,
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

NAME = 'adabins_efnetb5ap_nyu'
CONFIG = f'adabins/{NAME}_24e.py'


def record(model):
    """Return a dict that fills with the outputs of the recorded stages when the model runs."""
    head, stages = model.decode_head, {}
    modules = {f'conv_list/{index}': module for index, module in enumerate(head.conv_list)}
    modules |= dict(decode_final_conv=head.decode_final_conv, conv_out=head.conv_out)
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, inputs, output, name=name: stages.update({f'decode_head/{name}': output})
        )
    layer = head.adaptive_bins_layer
    layer.patch_transformer.register_forward_hook(
        lambda _, inputs, output: stages.update(
            {'decode_head/adaptive_bins_layer/patch_transformer': output.transpose(0, 1)}
        )
    )
    layer.register_forward_hook(
        lambda _, inputs, outputs: stages.update(
            {
                f'decode_head/adaptive_bins_layer/{index}': output
                for index, output in enumerate(outputs)
            }
        )
    )
    head.register_forward_hook(
        lambda _, inputs, outputs: stages.update(
            {'decode_head/out': outputs['depth'], 'bin_edges': outputs['bin_edges']}
        )
    )
    model.backbone.register_forward_hook(
        lambda _, inputs, levels: stages.update(
            {f'backbone/{index}': level for index, level in enumerate(levels)}
        )
    )
    return stages


@pytest.mark.slow
def test_published_outputs_are_reproduced():
    case, expected = load_case(NAME), load_arrays(NAME)
    model = build_without_weights(shipped_config(CONFIG)).eval()
    model.load_state_dict(convert_official('adabins', published_state(case)))
    unused = 2 * 2048 + 9 * 128 + 1  # the norm behind the last convolution, conv_depth
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params'] - unused
    stages = record(model)
    with torch.inference_mode():
        depth = model(image(case), mode='tensor').numpy()
    assert relative_error(depth, expected['depth']) < 1e-4
    bin_edges = stages.pop('bin_edges').numpy()
    assert relative_error(bin_edges, expected['bin_edges']) < 1e-4
    errors = stage_errors(stages, expected)
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize(
    'config', ['efnetb5ap_nyu_24e', 'efnetb5ap_kitti_24e', 'efnetb5ap_nyu_24e_lrmult']
)
def test_published_names_fill_the_shipped_model(config):
    with torch.device('meta'):
        published = {
            name: torch.empty(shape) for name, shape in load_case(NAME)['state_dict'].items()
        }
    converted = convert_official('adabins', published)
    assert compare(converted, model_shapes(shipped_config(f'adabins/adabins_{config}.py'))) == ''
    with pytest.raises(ValueError, match='auxiliary_head'):
        convert_official('adabins', published | {'auxiliary_head.weight': torch.zeros(1)})


def test_the_variant_on_resnet_takes_the_published_names():
    shapes = load_case('bts_r50_nyu')['state_dict']
    published = {
        name: torch.empty(shape, device='meta')
        for name, shape in shapes.items()
        if name.startswith('backbone')
    }
    head = {
        name: shape
        for name, shape in load_case(NAME)['state_dict'].items()
        if name.startswith('decode_head')
    }
    for level, skip in enumerate((1024, 512, 256, 64), start=1):
        name = f'decode_head.conv_list.{level}.convA.conv.weight'
        width = head[name][0]
        head[name] = [width, 2 * width + skip, 3, 3]
    published |= {name: torch.empty(shape, device='meta') for name, shape in head.items()}
    model = model_shapes(shipped_config('adabins/adabins_r50_nyu_24e.py'))
    assert compare(convert_official('adabins', published), model) == ''


def test_losses_are_the_published_ones():
    arrays = load_arrays('losses')
    head = AdaBinsHead(
        in_channels=[4, 4, 4, 4, 4],
        up_sample_channels=[4, 4, 4, 4, 4],
        mini_vit=dict(channels=8),
        loss_decode=shipped_config(CONFIG).model.decode_head.loss_decode,
        loss_chamfer=shipped_config(CONFIG).model.decode_head.loss_chamfer,
    )
    outputs = dict(
        depth=torch.from_numpy(arrays['binsformer/aux_depth'][0]),
        bin_edges=torch.from_numpy(arrays['bin_edges']),
    )
    losses = head.loss(outputs, torch.from_numpy(arrays['gt']))
    assert set(losses) == {'loss_depth', 'loss_chamfer'}
    for name, value in losses.items():
        assert value.item() == pytest.approx(
            float(arrays[f'out/adabins_train/{name}']), rel=1e-5
        ), name


def test_the_shipped_recipe_follows_the_published_rate_and_beta1():
    recorded = load_case('schedules')['cases']['adabins_nyu']
    for iteration, actual, expected in rates_of_the_recipe(shipped_config(CONFIG), recorded):
        assert actual == pytest.approx(expected, rel=1e-6), iteration


def test_the_published_recipe_has_decay_clipping_and_norms_over_all_processes():
    cfg = shipped_config(CONFIG)
    assert cfg.optim_wrapper.optimizer.weight_decay == 0.1
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.1
    assert cfg.sync_bn == 'torch'
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[0].total_steps == 24 * 1514


def test_in_the_variant_the_head_learns_ten_times_as_fast():
    cfg = shipped_config('adabins/adabins_efnetb5ap_nyu_24e_lrmult.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    built_schedulers(cfg, wrapper)  # sets the rates of iteration 0
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for group in wrapper.optimizer.param_groups:
        name = names[id(group['params'][0])]
        rate = 3.57e-4 / 25 * (0.1 if name.startswith('backbone.') else 1)
        assert group['lr'] == pytest.approx(rate), name
