"""The mmdepth variant of BinsFormer against the recorded case."""

import numpy as np
import pytest
import torch
from mmengine.optim import build_optim_wrapper

from depth.engine.converters import convert_official
from depth.engine.converters.convert import (
    build_without_weights,
    compare,
    shipped_configs,
)
from tests.shared import REPO

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

NAME = 'mmdepth_binsformer_swin_tiny'
CONFIG = 'binsformer/binsformer_mmdepth_swin_tiny_nyu.py'
LAYERS = 9


def run(model, inputs):
    """Return depth, the head's outputs and the stages by their recorded names."""
    head, stages = model.decode_head, {}
    with torch.inference_mode():
        depth = model(inputs, mode='tensor').numpy()
        feats = model.backbone(inputs)
        outputs = head(feats, all_layers=True)
        pixels = head.pixel_decoder(feats)
        queries = head._decode(feats[-1], range(LAYERS))
        stages |= {f'backbone_{index}': feat for index, feat in enumerate(feats)}
        stages |= dict(mask_features=pixels, memory=feats[-1])
        for index, query in enumerate(queries):
            stages[f'query_{index}'] = query
            embeddings = head.mask_embed(query[:, : head.num_bins])
            stages[f'mask_pred_{index}'] = torch.einsum('nde,nehw->ndhw', embeddings, pixels)
    return depth, outputs, stages


def test_published_outputs_are_reproduced():
    case, expected = load_case(NAME), load_arrays(NAME)
    model = build_without_weights(shipped_config(CONFIG)).eval()
    model.load_state_dict(convert_official('mmdepth_binsformer', published_state(case)))
    assert sum(parameter.numel() for parameter in model.parameters()) == case['num_params']
    depth, outputs, stages = run(model, image(case))
    assert relative_error(depth, expected['depth']) < 1e-4
    for name in ('layer_depths', 'bin_edges', 'bin_logits'):
        assert relative_error(outputs[name].numpy(), expected[name]) < 1e-4, name
    assert relative_error(np.diff(outputs['bin_edges'].numpy()), expected['bins']) < 1e-4
    errors = stage_errors(stages, expected)
    assert max(errors.values()) < 1e-4, errors


def test_the_converter_finds_the_shipped_config():
    shapes = load_case(NAME)['state_dict']
    converted = convert_official(
        'mmdepth_binsformer',
        {key: torch.empty(shape, device='meta') for key, shape in shapes.items()},
    )
    candidates = {path.name for path in shipped_configs('mmdepth_binsformer', REPO)}
    assert {
        'binsformer_mmdepth_swin_tiny_nyu.py',
        'binsformer_mmdepth_swinl_22k_nyu_416x544.py',
    } <= candidates
    assert compare(converted, model_shapes(shipped_config(CONFIG))) == ''


@pytest.mark.parametrize('name', ['swin_tiny_nyu', 'swinl_22k_nyu_416x544'])
def test_the_recipe_is_the_published_one(name):
    cfg = shipped_config(f'binsformer/binsformer_mmdepth_{name}.py')
    with torch.device('meta'):
        model = build_without_weights(cfg)
    wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    rates = {
        parameter: group['lr']
        for group in wrapper.optimizer.param_groups
        for parameter in group['params']
        if group['weight_decay'] == 1e-4
    }
    assert len(rates) == len(list(model.parameters()))
    for key, parameter in model.named_parameters():
        assert rates[parameter] == pytest.approx(1e-5 if key.startswith('backbone.') else 1e-4), key
    assert cfg.optim_wrapper.clip_grad.max_norm == 0.01
    assert cfg.param_scheduler.end == cfg.train_cfg.max_iters == 40000
    assert cfg.train_dataloader.batch_size == 6
    preprocessor = cfg.model.data_preprocessor
    assert preprocessor.mean == preprocessor.std == (127.5, 127.5, 127.5)
