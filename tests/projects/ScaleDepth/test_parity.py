"""ScaleDepth against the recorded case, its recorded losses and gradients, and the published names."""

import numpy as np
import pytest
import torch

from depth.engine.checkpoint import load_model_state
from depth.engine.config import load_config
from depth.engine.converters import convert_official
from depth.engine.converters.convert import (
    build_without_weights,
    compare,
    find_problems,
    import_project_converters,
)
from depth.structures import DepthDataSample
from tests.parity.cases import (
    image,
    load_arrays,
    load_case,
    model_shapes,
    published_state,
    relative_error,
    stage_errors,
)
from tests.parity.recorded import draw_noise
from tests.shared import REPO

NAME = 'scaledepth_swin_tiny_nyu'
CONFIGS = REPO / 'projects/ScaleDepth/configs/ScaleDepth'
LAYERS = 9


@pytest.fixture(scope='module')
def case():
    return load_case(NAME)


@pytest.fixture(scope='module')
def model(case):
    import_project_converters(REPO)
    model = build_without_weights(
        load_config(CONFIGS / 'scaledepth_swin_tiny_NYU_480x480.py')
    ).eval()
    load_model_state(model, convert_official('scaledepth', published_state(case)), 'case')
    return model


def run(model, inputs):
    """Return the head's outputs and the stages by their recorded names."""
    head = model.decode_head
    with torch.inference_mode():
        feats = model.backbone(inputs)
        memories, pixels = head.pixel_decoder(feats)
        states = head.decoder(memories, pixels)
        outputs = head(feats, all_layers=True)
    stages = {f'backbone_{index}': feat for index, feat in enumerate(feats)}
    stages |= {f'memory_{index}': memory for index, memory in enumerate(memories)}
    stages['mask_features'] = pixels
    stages['pixel_decoder_encoder'] = torch.cat(
        [memory.flatten(2).transpose(1, 2) for memory in memories], dim=1
    )
    hidden = []
    for index in range(LAYERS):
        stages[f'query_{index}'] = states[index + 1].queries
        stages[f'mask_pred_{index}'] = states[index + 1].mask_logits
        size = memories[index % 3].shape[-2:]
        hidden.append(head.decoder.hidden_places(states[index].mask_logits, size).sum(dim=-1))
    return outputs, stages, states, hidden


def test_published_outputs_are_reproduced(model, case):
    expected = load_arrays(NAME)
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']
    outputs, stages, states, hidden = run(model, image(case))
    with torch.inference_mode():
        depth = model(image(case), mode='tensor').numpy()
    assert relative_error(depth, expected['depth']) < 1e-4
    pairs = dict(
        relative_depths='layer_depths',
        bin_edges='bin_edges',
        bin_logits='bin_logits',
        scales='scales',
        class_logits='class_logits',
    )
    for recorded, ours in pairs.items():
        assert relative_error(outputs[ours].numpy(), expected[recorded]) < 1e-4, recorded
    assert relative_error(outputs['bin_logits'].softmax(-1).numpy(), expected['bins']) < 1e-4
    scale_queries = torch.stack([state.queries[:, -3:] for state in states[1:]], dim=1)
    assert relative_error(scale_queries.numpy(), expected['scale_queries']) < 1e-4
    for index in range(LAYERS):
        assert np.array_equal(hidden[index].numpy(), expected[f'attn_mask_count_{index}'])
    errors = stage_errors(stages, expected)
    assert max(errors.values()) < 1e-4, errors


def test_sliding_windows_with_mirror_images_are_the_published_ones(model, case):
    expected = load_arrays(NAME)['depth_slide_flip']
    window = case['settings']['slide_flip_output']
    before = dict(model.test_cfg)
    model.test_cfg.update(
        mode='slide', flip=True, crop_size=window['crop_size'], stride=window['stride']
    )
    size = tuple(case['input_shape'][-2:])
    sample = DepthDataSample(metainfo=dict(img_shape=size, ori_shape=size))
    with torch.inference_mode():
        depth = model(image(case), [sample], mode='predict')[0].pred_depth
    model.test_cfg = before
    assert relative_error(depth.numpy()[None, None], expected) < 1e-4


@pytest.mark.slow
def test_losses_and_gradients_are_the_published_ones(model):
    case, values = load_case('scaledepth_losses')['model_case'], load_arrays('scaledepth_losses')
    inputs = torch.from_numpy(draw_noise(case['input_shape'], case['input_seed']))
    target = np.abs(draw_noise((2, 1, 256, 320), 1)) * np.float32(5)
    target[target < 1] = 0
    samples = [DepthDataSample(metainfo=dict(scene_class=label)) for label in case['labels']]
    for sample, depth in zip(samples, target, strict=True):
        sample.gt_depth = torch.from_numpy(depth[0])
    head = model.decode_head
    feats = model.backbone(inputs)  # in eval mode: the case has no stochastic depth
    head.training = True  # the auxiliary predictions; nothing in the head has dropout
    losses = head.loss(head(feats), torch.from_numpy(target), samples)
    head.training = False
    total = sum(value for name, value in losses.items() if 'loss' in name)
    for name in (
        'loss_depth',
        'aux_loss_depth_2',
        'aux_loss_depth_5',
        'loss_ce',
        'aux_loss_ce_2',
        'aux_loss_ce_5',
    ):
        actual = losses[name.replace('ce', 'class')].item()
        assert actual == pytest.approx(float(values[f'model/decode.{name}']), rel=1e-4), name
    assert total.item() == pytest.approx(float(values['model/total']), rel=1e-4)
    model.zero_grad()
    total.backward()
    norms = dict(zip(case['grad_names'], values['model/grad_norms'].tolist(), strict=True))
    numbered = {
        name: torch.full(value.shape, float(index))
        for index, (name, value) in enumerate(named(norms))
    }
    source = {
        ours: list(norms)[int(value.flatten()[0])]
        for ours, value in convert_official('scaledepth', numbered).items()
    }
    largest = max(norms.values())
    for name, parameter in model.named_parameters():
        actual = 0.0 if parameter.grad is None else parameter.grad.norm().item()
        assert actual == pytest.approx(norms[source[name]], rel=1e-3, abs=1e-5 * largest), name


def named(norms):
    shapes = load_case(NAME)['state_dict']
    return [(name, torch.empty(shapes[name], device='meta')) for name in norms]


@pytest.mark.parametrize('name', ['NYU_KITTI_352x512', 'NYU_480x480', 'KITTI_352x1120'])
def test_the_published_nk_file_fits_all_three_configs(name):
    import_project_converters(REPO)
    shapes = load_case('scaledepth_clip_nyu_kitti')['state_dict']
    converted = convert_official(
        'scaledepth', {key: torch.empty(shape, device='meta') for key, shape in shapes.items()}
    )
    cfg = load_config(CONFIGS / f'scaledepth_clip_{name}.py')
    assert find_problems(converted, cfg, lenient=True) == ''
    strict = compare(converted, model_shapes(cfg))
    assert strict == '' if name.startswith('NYU_KITTI') else 'class_embeddings' in strict


def test_files_load_with_and_without_embeddings(model, case):
    state = model.state_dict()
    without = {name: value for name, value in state.items() if 'class_embeddings' not in name}
    other = dict(without, **{'decode_head.class_embeddings': torch.zeros(28, 768)})
    for saved, expected in ((state, True), (without, False), (other, False)):
        fresh = build_without_weights(load_config(CONFIGS / 'scaledepth_swin_tiny_NYU_480x480.py'))
        load_model_state(fresh, saved, 'a file')
        assert fresh.decode_head.has_embeddings is expected
