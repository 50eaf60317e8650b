"""Exported files compute what PyTorch does, for a tiny variant of every shipped architecture."""

import io
import json
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from depth.apis import export as export_module
from depth.apis import export_formats, export_model, inference_model, init_model
from depth.apis.export_network import ExportedNetwork
from depth.apis.export_parity import format_report, output_error
from depth.apis.launch import test as run_test
from depth.calibration import DepthCalibration
from depth.cli.export import main
from depth.cli.infer import main as infer_main
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data
from depth.export_mode import (
    antialiased_matrix,
    average_matrix,
    bicubic_matrix,
    exporting,
    shifted_window_mask,
)
from tests.shared import REPO, SAMPLES

onnx = pytest.importorskip('onnx', reason='onnx (extra export) is not installed')
pytest.importorskip('onnxruntime', reason='onnxruntime (extra export) is not installed')

# Config, size, and whether sizes are dynamic: depth_anything takes multiples of 14, EPCDepth sides
# from 160, AdaBins 129 patches and more.
METHODS = {
    'depthformer': ('configs/synthetic/depthformer_tiny_rooms.py', (96, 128), True),
    'depthformer_dgr': ('configs/synthetic/depthformer_tiny_rooms_dgr.py', (96, 128), True),
    'binsformer': ('configs/synthetic/binsformer_tiny_rooms.py', (96, 128), True),
    'bts': ('configs/synthetic/bts_tiny_rooms.py', (96, 128), True),
    'adabins': ('configs/synthetic/adabins_tiny_rooms.py', (416, 480), True),
    'dpt': ('configs/synthetic/dpt_tiny_rooms.py', (96, 128), True),
    'newcrfs': ('configs/synthetic/newcrfs_tiny_rooms.py', (96, 128), True),
    'simipu': ('configs/synthetic/simipu_tiny_rooms.py', (96, 128), True),
    'densedepth': ('configs/densedepth/densedepth_r18_rooms.py', (96, 128), True),
    'depth_anything': ('configs/synthetic/depth_anything_tiny_rooms.py', (84, 126), True),
    'depth_anything_3': ('configs/synthetic/depth_anything_3_tiny_rooms.py', (84, 126), True),
    'dinov3_dpt': ('configs/synthetic/dinov3_dpt_tiny_rooms.py', (96, 128), True),
    'dinov3_light': ('configs/synthetic/dinov3_light_tiny_rooms.py', (96, 128), True),
    'metric3d': ('configs/synthetic/metric3d_tiny_rooms.py', (112, 140), True),
    'zoedepth': ('configs/synthetic/zoedepth_tiny_rooms.py', (96, 128), True),
    'moge': ('configs/synthetic/moge_tiny_rooms.py', (96, 128), False),
    'depth_pro': ('configs/synthetic/depth_pro_tiny_rooms.py', (96, 128), True),
    'scaledepth': (
        'projects/ScaleDepth/configs/ScaleDepth/scaledepth_tiny_rooms_streets.py',
        (96, 128),
        True,
    ),
    'plane2depth': (
        'projects/Plane2Depth/configs/Plane2Depth/plane2depth_tiny_rooms.py',
        (96, 128),
        True,
    ),
    'sdconvtrans': (
        'projects/SDConvTrans/configs/SDConvTrans/sdconvtrans_tiny_rooms.py',
        (96, 128),
        True,
    ),
    'epcdepth': (
        'projects/EPCDepth/configs/synthetic/epcdepth_r18_streets_160x320.py',
        (160, 320),
        True,
    ),
}
IN_CI = ('scaledepth', 'depth_anything', 'dpt')


def methods():
    """Return the methods as parameters; all but three are marked long."""
    parameters = []
    for name in METHODS:
        marks = () if name in IN_CI else (pytest.mark.long,)
        parameters.append(pytest.param(name, marks=marks))
    return parameters


def tiny_checkpoint(method, folder):
    """Write a checkpoint with random weights and the config of a tiny variant."""
    torch.manual_seed(0)
    cfg = load_config(REPO / METHODS[method][0])
    model = build_without_weights(cfg)
    if hasattr(model.decode_head, 'init_depth_bias'):
        # Otherwise a ReLU or the depth range may give one depth for all pixels.
        model.decode_head.init_depth_bias(3.0)
    path = folder / f'{method}.pth'
    meta = dict(
        cfg=config_to_data(cfg),
        weights_licence='CC0-1.0',
        experiment_name=f'{Path(METHODS[method][0]).stem}_20260101_120000',
    )
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Return a folder of two pictures: real frames where they are, smooth noise elsewhere."""
    folder = tmp_path / 'photos'
    folder.mkdir()
    for index, stem in enumerate(('nyu_00000', 'redwood_00001')):
        source = SAMPLES / f'indoor_rgbd/rgb/{stem}.jpg'
        if source.is_file():
            image = cv2.resize(cv2.imread(str(source)), (128, 96), interpolation=cv2.INTER_AREA)
        else:
            rng = np.random.default_rng(index)
            image = cv2.resize(rng.integers(0, 256, (6, 8, 3), np.uint8), (128, 96))
        cv2.imwrite(str(folder / f'{stem}.png'), image)
    return folder


@pytest.mark.parametrize('method', methods())
def test_a_tiny_variant_has_parity_in_onnx(method, tmp_path, photos):
    _, size, dynamic = METHODS[method]
    checkpoint = tiny_checkpoint(method, tmp_path)
    out = tmp_path / 'model.onnx'
    report = export_model(checkpoint, out, size=size, dynamic=dynamic, frames=[photos])
    assert report['passed'], format_report(report)
    assert len({tuple(entry['size']) for entry in report['images']}) == (5 if dynamic else 1)
    picture = cv2.resize(cv2.imread(str(next(photos.iterdir()))), size[::-1])
    camera = None
    if report['metadata']['takes_intrinsics']:
        camera = np.array([[100, 0, size[1] / 2], [0, 100, size[0] / 2], [0, 0, 1]])
    expected = inference_model(init_model(None, checkpoint), picture, camera)
    exported = inference_model(init_model(None, out), picture, camera)
    assert expected.pred_depth.std() > 0  # or equality would mean nothing
    assert output_error(exported.pred_depth.numpy(), expected.pred_depth.numpy()) < 1e-3
    for name in report['metadata']['outputs'][1:]:
        values, reference = exported.get(f'pred_{name}'), expected.get(f'pred_{name}')
        assert output_error(values.numpy(), reference.numpy()) < 1e-3


def test_a_calibration_is_applied_inside():
    torch.manual_seed(0)
    model = build_without_weights(load_config(REPO / METHODS['dpt'][0])).eval()
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        (plain,) = ExportedNetwork(model)(images)
        model.calibration = DepthCalibration('scale', 2.0, 0.0, (1.9, 2.1), (0.0, 0.0), 3, 1.0, 0.1)
        (calibrated,) = ExportedNetwork(model)(images)
    torch.testing.assert_close(calibrated, 2 * plain)


def test_matrices_compute_what_the_operators_of_pytorch_do():
    values = torch.rand(1, 1, 7, 5)

    def both_axes(matrix, height, width):
        return matrix(7, height) @ values @ matrix(5, width).t()

    def resize(mode, size=None, **options):
        return torch.nn.functional.interpolate(
            values, size=size, mode=mode, align_corners=False, **options
        )

    def bicubic(before, after):
        return bicubic_matrix(before, after, (after + 0.1) / before)

    scales = dict(scale_factor=((11 + 0.1) / 7, (4 + 0.1) / 5))
    torch.testing.assert_close(both_axes(bicubic, 11, 4), resize('bicubic', **scales))
    torch.testing.assert_close(
        both_axes(antialiased_matrix, 3, 4), resize('bilinear', (3, 4), antialias=True)
    )
    torch.testing.assert_close(
        both_axes(antialiased_matrix, 11, 2), resize('bilinear', (11, 2), antialias=True)
    )
    pooled = torch.nn.functional.adaptive_avg_pool2d(values, (3, 6))
    torch.testing.assert_close(both_axes(average_matrix, 3, 6), pooled)


def test_scene_classes_are_named_in_their_order():
    names = {}
    for name, classes in (
        ('binsformer_swint_w7_nyu', 25),
        ('scaledepth_swin_tiny_NYU_480x480', 27),
    ):
        cfg = load_config(name)
        with torch.device('meta'):
            head = build_without_weights(cfg).decode_head
        names[name] = export_formats._scene_classes(cfg, head)
        assert len(names[name]) == classes
    assert names['binsformer_swint_w7_nyu'][:2] == ['kitchen', 'living']
    assert names['scaledepth_swin_tiny_NYU_480x480'][:2] == ['printer_room', 'bathroom']
    assert export_formats._scene_classes(load_config('dpt_tiny_rooms'), torch.nn.Identity()) is None


class PositionCode(torch.nn.Module):
    """Rows of a position code of 37 patches, resized to those of the image as in Depth Anything."""

    def __init__(self):
        super().__init__()
        self.code = torch.randn(37, 8, generator=torch.Generator().manual_seed(0))

    def forward(self, image):
        rows = image.shape[2] // 14
        return bicubic_matrix(37, rows, (rows + 0.1) / 37) @ self.code + image.mean()


def test_openvino_computes_the_bicubic_matrix():
    openvino = pytest.importorskip('openvino', reason='openvino is not installed')
    image = torch.zeros(1, 3, 126, 14)
    buffer = io.BytesIO()
    options = dict(dynamo=False, opset_version=17, input_names=['image'])
    with exporting(), warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(PositionCode(), (image,), buffer, **options)
    model = openvino.Core().read_model(buffer.getvalue(), b'')
    compiled = openvino.compile_model(model, 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    actual = compiled({'image': image.numpy()})[0]
    assert output_error(actual, PositionCode()(image).numpy()) < 1e-5


def test_the_mask_of_shifted_windows_is_that_of_timm():
    from timm.models.swin_transformer import SwinTransformerBlock

    block = SwinTransformerBlock(8, (14, 21), num_heads=1, window_size=7, shift_size=3)
    expected = block.get_attn_mask(torch.zeros(1, 14, 21, 8))
    assert torch.equal(shifted_window_mask(14, 21, (7, 7), (3, 3)), expected)


@pytest.mark.parametrize('method', ['scaledepth', 'adabins', 'newcrfs', 'plane2depth'])
def test_operators_for_export_do_not_change_predictions(method):
    torch.manual_seed(0)
    path, size, _ = METHODS[method]
    model = build_without_weights(load_config(REPO / path)).eval()
    images = torch.randn(1, 3, *size)
    with torch.no_grad():
        expected = model.predict_outputs(images)['depth']
        with exporting():
            depth = model.predict_outputs(images)['depth']
    assert output_error(depth.numpy(), expected.numpy()) < 1e-5


@pytest.fixture(scope='module')
def exported_dpt(tmp_path_factory):
    """Return a checkpoint of a tiny DPT, its dynamic ONNX file and the report."""
    folder = tmp_path_factory.mktemp('dpt')
    checkpoint = tiny_checkpoint('dpt', folder)
    report = export_model(checkpoint, folder / 'model.onnx', size=(96, 128), dynamic=True)
    return checkpoint, folder / 'model.onnx', report


def test_a_file_says_what_it_predicts_and_from_what(exported_dpt):
    _, path, _ = exported_dpt
    properties = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    metadata = {key: json.loads(value) for key, value in properties.items()}
    assert metadata['depth.prediction_type'] == 'metric'
    assert (metadata['depth.min_depth'], metadata['depth.max_depth']) == (1e-3, 10.0)
    assert metadata['depth.weights_licence'] == 'CC0-1.0'
    assert metadata['depth.size_multiple'] == 1  # the backbone pads to whole patches
    assert metadata['depth.config_name'] == 'dpt_tiny_rooms'
    assert len(metadata['depth.protocol']['fingerprint']) == 12
    assert len(metadata['depth.checkpoint_sha256']) == 64
    written = json.loads(path.with_name('model.onnx.parity.json').read_text())
    assert written['passed']
    assert len(written['images']) == 5
    assert all(entry['file_ms'] > 0 and entry['pytorch_ms'] > 0 for entry in written['images'])
    assert 'parity holds' in path.with_name('model.onnx.parity.txt').read_text()


def test_an_exported_file_infers_and_tests_as_its_checkpoint(exported_dpt, tmp_path, photos):
    checkpoint, path, _ = exported_dpt
    picture = next(iter(sorted(photos.iterdir())))
    expected = inference_model(init_model(None, checkpoint), picture).pred_depth
    arguments = [str(path), str(picture), '--out-dir', str(tmp_path / 'out'), '--outputs', 'npy']
    assert infer_main([*arguments, '--device', 'cpu']) == 0
    depth = np.load(tmp_path / 'out/npy' / f'{picture.stem}.npy')
    torch.testing.assert_close(torch.from_numpy(depth), expected, rtol=1e-3, atol=1e-4)
    options = dict(num_scenes=3, image_size=(96, 128))
    cfg = load_config(REPO / METHODS['dpt'][0])
    cfg.test_dataloader.dataset.update(options)
    cfg.test_dataloader.update(num_workers=0)
    of_checkpoint = run_test(cfg, checkpoint, work_dir=tmp_path / 'a', tta=True)
    of_file = run_test(cfg, path, work_dir=tmp_path / 'b', tta=True)
    assert of_file == pytest.approx(of_checkpoint, rel=1e-3)


@pytest.mark.filterwarnings('ignore:`torch.jit.load` is deprecated:FutureWarning')
@pytest.mark.parametrize(
    ('file_format', 'suffix'),
    [
        ('torchscript', '.ts'),
        pytest.param('torch_export', '.pt2', marks=pytest.mark.long),
    ],
)
def test_other_formats_have_parity_and_metadata(file_format, suffix, tmp_path, photos):
    checkpoint = tiny_checkpoint('dpt', tmp_path)
    out = tmp_path / f'model{suffix}'
    report = export_model(checkpoint, out, file_format=file_format, size=(96, 128), frames=[photos])
    assert report['passed'], format_report(report)
    extra = {'depth.json': ''}
    if file_format == 'torchscript':
        torch.jit.load(out, _extra_files=extra)
    else:
        torch.export.load(out, extra_files=extra)
    assert json.loads(extra['depth.json'])['prediction_type'] == 'metric'
    with pytest.raises(ConfigError, match='are programs'):
        init_model(None, out)


def test_a_uint8_file_takes_pictures_of_any_size(tmp_path, photos):
    checkpoint = tiny_checkpoint('dpt', tmp_path)
    out = tmp_path / 'model.onnx'
    report = export_model(
        checkpoint, out, inputs='rgb', resize=(64, 96), clamp=True, frames=[photos]
    )
    assert report['passed'], format_report(report)
    bgr = cv2.imread(str(next(photos.iterdir())))[:90, :117]
    depth = inference_model(init_model(None, out), bgr).pred_depth.numpy()
    model = init_model(None, checkpoint)
    # The same by hand: resize in floating point, network, resize back.
    images = torch.from_numpy(np.ascontiguousarray(bgr[:, :, ::-1])).permute(2, 0, 1)[None].float()
    images = torch.nn.functional.interpolate(images, (64, 96), mode='bilinear')
    with torch.no_grad():
        small = model((images - 127.5) / 127.5, mode='tensor')
    expected = torch.nn.functional.interpolate(small, (90, 117), mode='bilinear')[0, 0].numpy()
    assert output_error(depth, expected) < 1e-4


def test_the_command_fails_without_parity(tmp_path, photos, monkeypatch, capsys):
    checkpoint = tiny_checkpoint('dpt', tmp_path)
    out = tmp_path / 'model.onnx'
    out.write_bytes(b'of an earlier export')
    open_model = export_module.open_model

    def open_wrongly(*arguments):
        run = open_model(*arguments)
        return lambda arguments: [values * 1.001 for values in run(arguments)]

    monkeypatch.setattr(export_module, 'open_model', open_wrongly)
    arguments = [str(checkpoint), '--out', str(out), '--size', '96', '128']
    assert main([*arguments, '--frames', str(photos)]) == 1
    assert 'PARITY DOES NOT HOLD' in capsys.readouterr().out
    assert not out.exists()
    assert out.with_name('model.onnx.failed').is_file()
    assert not json.loads(out.with_name('model.onnx.parity.json').read_text())['passed']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(dynamic=True), 'the rows and columns of the patch grid follow from the aspect ratio'),
        (dict(opset=15), '16 .the first with GridSample'),
        (dict(resize=(64, 64)), 'add --input bgr or --input rgb'),
        (dict(file_format='torchscript'), r'ends in \.ts'),
        (dict(size=(0, 64)), 'a height and a width in pixels'),
    ],
)
def test_options_that_do_not_fit_are_refused(options, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        export_model(None, tmp_path / 'model.onnx', config=REPO / METHODS['moge'][0], **options)
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_a_file_or_network_cannot_take_are_refused(exported_dpt, tmp_path, monkeypatch):
    checkpoint, path, _ = exported_dpt
    monkeypatch.setattr(export_module, 'size_multiple', lambda *arguments: 16)
    with pytest.raises(ConfigError, match='multiples of 16, such as 96 128'):
        export_model(checkpoint, tmp_path / 'model.onnx', size=(90, 128))
    model = init_model(None, path)
    model.file.metadata['size_multiple'] = 16
    with pytest.raises(ValueError, match='multiples of 16, got 90x128'):
        model(torch.zeros(1, 3, 90, 128), mode='tensor')
    damaged = tmp_path / 'damaged.onnx'
    damaged.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ConfigError, match='damaged or no ONNX file'):
        init_model(None, damaged)
