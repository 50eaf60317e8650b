"""Predictions on a GPU: CUDA graphs, switches, tools."""

import json
import sys

import cv2
import numpy as np
import pytest
import torch

from depth.apis import inference_model, init_model
from depth.cli.common import parse_cfg_options

from .shared import (
    CONFIG,
    DEVICE,
    GPU,
    METHODS,
    SMALL,
    config_path,
    cuda_alone,
    run,
    train_command,
)

pytestmark = GPU


def images(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3), np.uint8) for size in sizes]


def predictions(config, pictures, **options):
    torch.manual_seed(0)
    model = init_model(config, device=DEVICE, cfg_options=options)
    return [inference_model(model, picture).pred_depth for picture in pictures]


@cuda_alone
@pytest.mark.parametrize('method', METHODS)
def test_cuda_graphs_give_the_depth_of_eager_code_at_two_sizes(method):
    """Each size twice: the first image records, the second replays."""
    pictures = images((64, 64), (64, 64), (64, 96), (64, 96))
    expected = predictions(config_path(method), pictures)
    actual = predictions(config_path(method), pictures, **{'inference.cuda_graph': True})
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ('option', 'tolerance'),
    [
        ('inference.autocast=bfloat16', 0.1),
        ('inference.autocast=float16', 0.05),
        ('channels_last=True', 1e-3),
        pytest.param('inference.compile=True', 5e-3, marks=cuda_alone),
    ],
)
def test_switches_change_the_depth_by_rounding(option, tolerance):
    pictures = images((64, 64))
    expected = predictions(config_path('depthformer'), pictures)
    options = parse_cfg_options([option])
    actual = predictions(config_path('depthformer'), pictures, **options)
    torch.compiler.reset()
    torch.testing.assert_close(actual[0], expected[0], rtol=tolerance, atol=tolerance)


def test_infer_and_test_run_on_the_gpu(tmp_path):
    run(*train_command(tmp_path / 'run', iterations=2))
    checkpoint = tmp_path / 'run/iter_2.pth'
    cv2.imwrite(str(tmp_path / 'image.png'), images((64, 64))[0])
    output = run(
        sys.executable,
        'tools/infer.py',
        tmp_path / 'image.png',
        '--checkpoint',
        checkpoint,
        '--device',
        DEVICE,
        '--out-dir',
        tmp_path / 'out',
    )
    assert '1 images done' in output
    depth = np.load(tmp_path / 'out/npy/image.npy')
    assert depth.shape == (64, 64)
    assert np.isfinite(depth).all()
    output = run(
        sys.executable,
        'tools/test.py',
        CONFIG,
        checkpoint,
        '--work-dir',
        tmp_path / 'test',
        '--cfg-options',
        *SMALL,
    )
    metrics = [json.loads(path.read_text()) for path in (tmp_path / 'test').glob('*/*.json')]
    assert any('abs_rel' in str(entry) for entry in metrics), output[-2000:]
