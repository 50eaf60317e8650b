"""BinsFormer against the recorded case and the recorded losses."""

import numpy as np
import pytest
import torch

from depth.engine.converters import convert_official
from depth.engine.converters.convert import build_without_weights, compare
from depth.structures import DepthDataSample

from .cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    shipped_config,
)

NAME = 'binsformer_swint_w7_nyu'
UNUSED = ('conv_depth', 'transformer_decoder.post_norm', 'transformer_encoder.reference_points')


@pytest.fixture(scope='module')
def case():
    return load_case(NAME)


@pytest.fixture(scope='module')
def state(case):
    return published_state(case)


def record(model):
    """Return a dict that fills with the outputs of the recorded stages when the model runs."""
    head, stages = model.decode_head, {}

    def remember(name, change=lambda output: output):
        return lambda module, inputs, output: stages.__setitem__(name, change(output))

    for layer_name in ('skip_proj', 'lateral_convs', 'output_convs'):
        for index, module in enumerate(getattr(head, layer_name)):
            module.register_forward_hook(remember(f'decode_head/{layer_name}/{index}'))
    for index, module in enumerate(head.layers):
        name = f'decode_head/transformer_decoder/layers/{index}'
        module.register_forward_hook(remember(name, lambda queries: queries.transpose(0, 1)))

    def remember_encoder(levels):
        return torch.cat([level.flatten(2).transpose(1, 2) for level in levels], dim=1)

    head.encoder.register_forward_hook(
        remember('decode_head/transformer_encoder', remember_encoder)
    )
    model.backbone.register_forward_hook(
        lambda module, inputs, output: stages.update(
            {f'backbone/{index}': level for index, level in enumerate(output)}
        )
    )
    return stages


def mask_logits(head, queries, pixels):
    """Repeat the last step of a layer for its recorded logits."""
    queries = head.decoder_norm(queries)[:, 1:]
    return torch.einsum('nde,nehw->ndhw', head.mask_embed(queries), pixels)


def test_published_outputs_are_reproduced(case, state):
    expected = load_arrays(NAME)
    model = build_without_weights(shipped_config(f'binsformer/{NAME}.py')).eval()
    model.load_state_dict(convert_official('binsformer', state))
    unused = sum(
        int(np.prod(shape))
        for name, shape in case['state_dict'].items()
        if any(layers in name for layers in UNUSED)
    )
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params'] - unused
    stages = record(model)
    head = model.decode_head
    with torch.inference_mode():
        depth = model(image(case), mode='tensor').numpy()
        outputs = head(model.backbone(image(case)), all_layers=True)
        for index in range(9):
            queries = stages[f'decode_head/transformer_decoder/layers/{index}'].transpose(0, 1)
            logits = mask_logits(head, queries, stages['decode_head/output_convs/2'])
            stages[f'decode_head/pred_heads/{index}/mask_logits'] = logits
            stages[f'decode_head/pred_heads/{index}/bins'] = outputs['bin_logits'][
                :, index, :, None
            ]
    stages['decode_head/out'] = outputs['depth']
    assert relative_error(depth, expected['depth']) < 1e-4
    assert (
        relative_error(outputs['layer_depths'][0, :, None, None].numpy(), expected['aux_depth'])
        < 1e-4
    )
    assert relative_error(outputs['bin_edges'][0].numpy(), expected['bin_edges'][:, 0]) < 1e-4
    assert relative_error(outputs['class_logits'][0].numpy(), expected['class_logits'][:, 0]) < 1e-4
    recorded = {
        name.split('/', 1)[1].rsplit('/', 1)[0] for name in expected if name.startswith('stage/')
    }
    assert recorded == set(stages)
    for name, value in stages.items():
        actual = value.numpy()
        assert actual.shape == tuple(expected[f'stage/{name}/shape']), name
        indices = np.linspace(0, actual.size - 1, 64).astype(int)
        assert relative_error(actual.ravel()[indices], expected[f'stage/{name}/samples']) < 1e-4, (
            name
        )
        stats = np.array([actual.mean(), actual.std(), actual.min(), actual.max()])
        assert relative_error(stats, expected[f'stage/{name}/stats']) < 1e-4, name


@pytest.mark.parametrize('prefix', ['', 'decoder.'])
def test_both_spellings_of_the_decoder_are_read(state, prefix):
    old = 'decode_head.transformer_decoder.'
    renamed = {name.replace(old, old + prefix): value for name, value in state.items()}
    renamed = {
        name: value
        for name, value in renamed.items()
        if not name.endswith('relative_position_index')
    }
    converted = convert_official('binsformer', renamed)
    assert compare(converted, model_shapes(shipped_config(f'binsformer/{NAME}.py'))) == ''


@pytest.mark.parametrize('name', ['swinl_22k_w7_kitti', 'swinl_22k_w7_nyu'])
def test_the_large_model_takes_the_published_names(name):
    published = load_case('binsformer_swinl_22k_w7_kitti')['state_dict']
    state = {key: torch.empty(shape, device='meta') for key, shape in published.items()}
    # The published file has a class query and an unused output of other width.
    if name.endswith('nyu'):
        for key, shape in (('query_feat.weight', (65, 512)), ('query_embed.weight', (65, 512))):
            state[f'decode_head.{key}'] = torch.empty(shape, device='meta')
        for index, width in enumerate((512, 512, 25)):
            prefix = f'decode_head.transformer_decoder.class_embed.layers.{index}'
            state[f'{prefix}.weight'] = torch.empty(width, 512, device='meta')
            state[f'{prefix}.bias'] = torch.empty(width, device='meta')
        state['decode_head.conv_depth.weight'] = torch.empty(1, 96, 3, 3, device='meta')
    converted = convert_official('binsformer', state)
    assert (
        compare(converted, model_shapes(shipped_config(f'binsformer/binsformer_{name}.py'))) == ''
    )


def test_losses_are_the_published_ones():
    arrays = load_arrays('losses')
    expected = {
        name.split('/', 2)[2]: arrays[name]
        for name in arrays
        if name.startswith('out/binsformer_train/')
    }
    head = build_without_weights(shipped_config(f'binsformer/{NAME}.py')).decode_head.train()
    layers = [2, 5, 8]
    outputs = dict(
        layers=layers,
        layer_depths=torch.from_numpy(arrays['binsformer/aux_depth'])[layers, :, 0].transpose(0, 1),
        class_logits=torch.from_numpy(arrays['binsformer/class_logits'])[layers].transpose(0, 1),
    )
    labels = arrays['binsformer/class_label'].tolist()
    samples = [DepthDataSample(metainfo=dict(scene_class=label)) for label in labels]
    losses = head.loss(outputs, torch.from_numpy(arrays['gt']), samples)
    renamed = {name.replace('class', 'ce'): value.item() for name, value in losses.items()}
    for name in (
        'loss_depth',
        'aux_loss_depth_2',
        'aux_loss_depth_5',
        'loss_ce',
        'aux_loss_ce_2',
        'aux_loss_ce_5',
    ):
        assert renamed[name] == pytest.approx(float(expected[name].ravel()[0]), rel=1e-5), name
    total = sum(value for name, value in renamed.items() if 'loss' in name)
    assert total == pytest.approx(float(expected['total']), rel=1e-5)
    assert losses['top1'].item() == pytest.approx(float(expected['ce_acc_level_0']))
    assert losses['top5'].item() == pytest.approx(float(expected['ce_acc_level_1']))


def test_the_published_tensors_escape_weight_decay(case):
    cfg = shipped_config(f'binsformer/{NAME}.py')
    keys = ('absolute_pos_embed', 'relative_position_bias_table', 'norm')  # of published names
    names = [name for name in case['state_dict'] if not name.endswith('relative_position_index')]
    # A tensor full of its number can be told after the conversion, whatever that does to its order.
    numbered = {
        name: torch.full(case['state_dict'][name], float(number))
        for number, name in enumerate(names)
    }
    source = {
        ours: names[int(value.flatten()[0])]
        for ours, value in convert_official('binsformer', numbered).items()
    }
    with torch.device('meta'):
        parameters = [name for name, _ in build_without_weights(cfg).named_parameters()]
    ours = {
        name
        for name in parameters
        if any(key in name for key in cfg.optim_wrapper.paramwise_cfg.custom_keys)
    }
    assert ours == {name for name in parameters if any(key in source[name] for key in keys)}
    assert len(ours) < len(parameters)
