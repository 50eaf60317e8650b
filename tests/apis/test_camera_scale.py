"""Canonical cameras from end to end: one error for a missing camera, whatever runs the model; export."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform

from depth.apis import DepthInferencer, inference_model, init_model
from depth.apis.depth_server import DepthServer, ServingLimits
from depth.apis.export import export_model
from depth.apis.launch import test as run_test
from depth.cli.infer import main as infer_main
from depth.datasets.scenes import camera_matrix, render_scene
from depth.engine.config import load_config
from depth.engine.runner import build_runner
from depth.engine.stored_config import config_to_data
from depth.registry import TRANSFORMS
from tests.shared import REPO

LABELS = REPO / 'configs/synthetic/densedepth_tiny_rooms_three_focals_labels.py'
RESIZED = REPO / 'configs/synthetic/densedepth_tiny_rooms_one_focal_resized.py'
CAMERA = dict(fx=100, fy=100, cx=31.5, cy=23.5)
MISSING = r'has no intrinsics.*--intrinsics.*intrinsics\.json'


@TRANSFORMS.register_module()
class SpoilCamera(BaseTransform):
    """Replace the camera of the second image: remove it, or set its focal length."""

    def __init__(self, focal=None):
        self.focal = focal

    def transform(self, results):
        if results['sample_idx'] == 1:
            results['cam_intrinsic'] = None
            if self.focal is not None:
                results['cam_intrinsic'] = np.diag([self.focal, self.focal, 1.0])
        return results


def small(config, **changes):
    """Return a shipped config with a tiny network and a few small images."""
    cfg = load_config(config)
    cfg.merge_from_dict(
        {
            'model.backbone.out_indices': (0, 1),
            'model.decode_head.in_channels': [64, 64],
            'model.decode_head.up_sample_channels': [4, 4],
            'model.decode_head.channels': 4,
            'train_cfg.max_iters': 2,
            'train_cfg.val_interval': 2,
            **changes,
        }
    )
    if 'canonical_camera' in cfg.model:
        # Images of half the width have half the focal lengths.
        cfg.model.canonical_camera.update(focal=54.4, focal_range=(38.4, 120.0))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
        loader.dataset.update(num_scenes=2, image_size=(48, 64))
    return cfg


@pytest.fixture(scope='module')
def weights(tmp_path_factory):
    """Random weights of both configs, as files."""
    paths = {}
    for name, config in (('labels', LABELS), ('resized', RESIZED)):
        torch.manual_seed(0)
        cfg = small(config)
        model = init_model(cfg)
        model.decode_head.conv_depth.weight.data.mul_(0.2)
        model.decode_head.conv_depth.bias.data.fill_(2.5)
        paths[name] = tmp_path_factory.mktemp(name) / f'{name}.pth'
        content = dict(state_dict=model.state_dict(), meta=dict(cfg=config_to_data(cfg)))
        torch.save(content, paths[name])
    return paths


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'in/room.png'
    path.parent.mkdir()
    cv2.imwrite(str(path), render_scene('rooms', 0, 0, 'test', (48, 64))['img'])
    return path


def spoiled(config, tmp_path, focal):
    cfg = small(config, work_dir=str(tmp_path / 'runs'))
    cfg.train_dataloader.batch_size = 6  # all images in the first step
    spoil = dict(type='SpoilCamera') | ({} if focal is None else dict(focal=focal))
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        loader.dataset.pipeline = [spoil, *loader.dataset.pipeline]
    return cfg


@pytest.mark.parametrize('config', [LABELS, RESIZED], ids=['labels', 'resized'])
@pytest.mark.parametrize('focal', [None, 0.0, float('nan')])
def test_training_stops_at_an_image_without_a_camera(config, focal, tmp_path):
    cfg = spoiled(config, tmp_path, focal)
    cfg.custom_hooks = []
    with pytest.raises(ValueError, match=r'00001\.png(:| has).*intrinsics'):
        build_runner(cfg).train()


@pytest.mark.parametrize('name', ['labels', 'resized'])
def test_a_test_stops_at_an_image_without_a_camera(name, weights, tmp_path):
    config = dict(labels=LABELS, resized=RESIZED)[name]
    cfg = spoiled(config, tmp_path, None)
    cfg.test_evaluator = dict(type='DepthMetric', protocol='rooms_10')
    with pytest.raises(ValueError, match=rf'00001\.png {MISSING}'):
        run_test(cfg, weights[name])


@pytest.mark.parametrize('name', ['labels', 'resized'])
def test_inference_refuses_an_image_without_a_camera(name, weights, image, tmp_path, capsys):
    model = init_model(weights[name])
    for picture in (str(image), cv2.imread(str(image))):
        with pytest.raises(ValueError, match=MISSING):
            inference_model(model, picture)
    result = DepthInferencer(model)([str(image)], out_dir=tmp_path / 'out', outputs=['npy'])
    assert MISSING.split('.*')[0] in result['errors'][str(image)]
    assert 'room.png' in result['errors'][str(image)]
    arguments = [str(image), '--checkpoint', str(weights[name]), '--out-dir', str(tmp_path / 'o2')]
    assert infer_main([*arguments, '--outputs', 'npy']) == 1
    assert 'has no intrinsics' in capsys.readouterr().err
    camera = ['--intrinsics', '54.4', '54.4', '31.5', '23.5']
    arguments[-1] = str(tmp_path / 'o3')
    assert infer_main([*arguments, '--outputs', 'npy', *camera]) == 0


def test_depth_of_an_image_is_in_proportion_to_the_focal_length_from_every_source(
    weights, image, tmp_path
):
    inferencer = DepthInferencer(init_model(weights['labels']))
    near = inferencer([str(image)], intrinsics=(50, 50, 31.5, 23.5))['predictions'][0]
    far = inferencer([str(image)], intrinsics=(100, 100, 31.5, 23.5))['predictions'][0]
    torch.testing.assert_close(far.pred_depth, 2 * near.pred_depth)
    (image.parent / 'intrinsics.json').write_text(json.dumps({'room': CAMERA}))
    by_file = inferencer([str(image)])['predictions'][0]
    assert torch.equal(by_file.pred_depth, far.pred_depth)
    fov = 2 * np.degrees(np.arctan(32 / 100))
    by_fov = inferencer([cv2.imread(str(image))], fov=fov)['predictions'][0]
    torch.testing.assert_close(by_fov.pred_depth, far.pred_depth)


def test_a_resized_image_gives_the_prediction_of_the_canonical_camera(weights):
    model = init_model(weights['resized'])
    camera = camera_matrix('rooms', (48, 64), 0.425)
    scene = render_scene('rooms', 0, 0, 'test', (48, 64), intrinsic=camera)
    pred = inference_model(model, scene['img'], scene['cam_intrinsic'])
    assert pred.pred_depth.shape == (48, 64)
    # 27.2 pixels become 54.4: the network saw the image at twice its size.
    large = cv2.resize(scene['img'], (128, 96), interpolation=cv2.INTER_LINEAR)
    batch = model.data_preprocessor(dict(inputs=[torch.from_numpy(large).permute(2, 0, 1)]))
    with torch.inference_mode():
        expected = model(batch['inputs'], mode='tensor')
        expected = torch.nn.functional.interpolate(expected, size=(48, 64), mode='bilinear')
    torch.testing.assert_close(pred.pred_depth, expected[0, 0])


def test_a_server_asks_for_the_camera(weights, image):
    limits = ServingLimits(max_bytes=200_000, max_pixels=10_000, timeout=30, max_queue=4)
    server = DepthServer(DepthInferencer(init_model(weights['labels'])), 'tiny', limits)
    try:
        img = cv2.imread(str(image))
        with pytest.raises(Exception, match='has no intrinsics'):
            server.predict(img, None)
        camera = np.array([[100, 0, 31.5], [0, 100, 23.5], [0, 0, 1]])
        assert np.isfinite(server.predict(img, camera).depth).all()
    finally:
        server.close()


def test_an_exported_file_takes_the_camera_as_its_second_input(weights, image, tmp_path):
    pytest.importorskip('onnx', reason='onnx (extra export) is not installed')
    ort = pytest.importorskip('onnxruntime', reason='onnxruntime (extra export) is not installed')
    out = tmp_path / 'labels.onnx'
    (image.parent / 'intrinsics.json').write_text(json.dumps({'room': CAMERA}))
    report = export_model(weights['labels'], out, inputs='bgr', frames=[image], clamp=True)
    assert report['passed'] and report['metadata']['takes_intrinsics']
    assert (report['metadata']['min_depth'], report['metadata']['max_depth']) == (1e-3, 10.0)
    session = ort.InferenceSession(str(out), providers=['CPUExecutionProvider'])
    assert [entry.name for entry in session.get_inputs()] == ['image', 'intrinsics']
    img = cv2.imread(str(image))[None]
    depths = []
    for focal in (100.0, 50.0):
        camera = np.float32([[[focal, 0, 31.5], [0, focal, 23.5], [0, 0, 1]]])
        depths.append(session.run(None, dict(image=img, intrinsics=camera))[0])
    np.testing.assert_allclose(depths[0], 2 * depths[1], rtol=1e-5)
    # In place of the model, it asks for the camera as the model does.
    model = init_model(out)
    camera = np.array([[100, 0, 31.5], [0, 100, 23.5], [0, 0, 1]])
    expected = inference_model(init_model(weights['labels']), img[0], camera).pred_depth
    np.testing.assert_allclose(
        inference_model(model, img[0], camera).pred_depth, expected, rtol=1e-3
    )
    with pytest.raises(ValueError, match='no intrinsics'):
        inference_model(model, img[0])


def test_the_start_of_a_run_is_the_mean_canonical_depth(tmp_path):
    cfg = small(LABELS, work_dir=str(tmp_path))
    cfg.train_dataloader.dataset.focal_shares = [1.2]  # 76.8 pixels of a width of 64
    runner = build_runner(cfg)
    hook = next(hook for hook in runner.hooks if type(hook).__name__ == 'DepthBiasInitHook')
    from_labels = hook._measure(runner, runner.model)
    runner.model.canonical_camera = None
    metric = hook._measure(runner, runner.model)
    assert from_labels == pytest.approx(metric * 54.4 / 76.8, rel=1e-3)
