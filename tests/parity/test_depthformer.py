import pytest
import torch

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare

from .cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    shipped_config,
    stage_errors,
)

NAME = 'depthformer_swint_w7_nyu'


def record(model):
    """Return a dict that fills with the outputs of the recorded stages when the model runs."""
    outputs = {}

    def remember(name):
        return lambda module, inputs, output: outputs.__setitem__(name, output)

    head = model.decode_head
    stages = {
        'backbone': model.backbone,
        'neck': model.neck,
        'head': head,
        'decode_head/conv_depth': head.conv_depth,
    }
    stages |= {'neck/self_attn': model.neck.self_attn, 'neck/multi_att': model.neck.multi_att}
    stages |= {f'decode_head/conv_list/{index}': conv for index, conv in enumerate(head.conv_list)}
    for name, module in stages.items():
        module.register_forward_hook(remember(name))
    return outputs


def flat(outputs):
    """Give every map the name of its case entry."""
    maps = {name: value for name, value in outputs.items() if isinstance(value, torch.Tensor)}
    maps['decode_head/out'] = outputs['head']['depth']
    for name in ('backbone', 'neck'):
        maps |= {f'{name}/{index}': value for index, value in enumerate(outputs[name])}
    return maps


def test_published_outputs_are_reproduced():
    case = load_case(NAME)
    expected = load_arrays(NAME)
    model = build_without_weights(shipped_config(f'depthformer/{NAME}.py')).eval()
    model.load_state_dict(convert_official('depthformer', published_state(case)))
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']
    outputs = record(model)
    with torch.inference_mode():
        depth = model(image(case), mode='tensor').numpy()
    assert relative_error(depth, expected['depth']) < 1e-4
    errors = stage_errors(flat(outputs), expected)
    assert max(errors.values()) < 1e-4, errors


@pytest.mark.parametrize(
    ('case_name', 'config'),
    [
        ('depthformer_swinl_22k_w7_kitti', 'depthformer_swinl_22k_w7_kitti'),
        ('depthformer_swinl_22k_w7_kitti', 'depthformer_swinl_22k_w7_nyu'),
        (NAME, NAME),
    ],
)
def test_published_names_fill_the_shipped_model(case_name, config):
    shapes = load_case(case_name)['state_dict']
    with torch.device('meta'):
        published = {name: torch.empty(shape) for name, shape in shapes.items()}
    converted = convert_official('depthformer', published)
    assert compare(converted, model_shapes(shipped_config(f'depthformer/{config}.py'))) == ''


def test_the_published_parameters_are_free_of_decay():
    cfg = shipped_config(f'depthformer/{NAME}.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    keys = [
        key
        for key, rule in cfg.optim_wrapper.paramwise_cfg.custom_keys.items()
        if rule.get('decay_mult') == 0
    ]
    names = [name for name, _ in model.named_parameters()]
    free = [name for name in names if any(key in name for key in keys)]
    assert (len(free), len(names)) == (76, 264)  # counted in the published code
