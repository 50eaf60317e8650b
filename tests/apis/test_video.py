"""Videos, sequences and streams: frames in, results out as they come."""

import json
import os
import weakref
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from torch import nn

from depth.apis import DepthInferencer, inference_model
from depth.apis.image_types import to_bgr_array
from depth.apis.progress import ThroughputLine
from depth.apis.results import DEFAULT_OUTPUTS, OUTPUTS
from depth.apis.video import VideoWriter, is_video, open_frames
from depth.cli import picture_options
from depth.models.data_preprocessor import DepthDataPreprocessor
from depth.visualization import COLOR_MAPS


class GrayModel(nn.Module):
    """Stub whose depth is the mean of the channels in tenths of a metre; counts its batches."""

    def __init__(self):
        super().__init__()
        self.cfg = Config(dict(test_evaluator=dict(protocol='rooms_10')))
        self.source = 'stub'
        self.calibration = None
        self.data_preprocessor = DepthDataPreprocessor(mean=[0, 0, 0], std=[1, 1, 1])
        self.batches = []

    def forward(self, inputs, data_samples, mode):
        self.batches.append(len(inputs))
        for image, sample in zip(inputs, data_samples, strict=True):
            sample.pred_depth = image.mean(dim=0) / 10
        return data_samples


@pytest.fixture
def inferencer():
    inferencer = DepthInferencer.__new__(DepthInferencer)
    inferencer.model = GrayModel()
    return inferencer


def gray_frames(count, size=(24, 32)):
    for number in range(count):
        yield np.full((*size, 3), 20 + 20 * number % 200, np.uint8)


def write_video(path, count, size=(24, 32), fps=10):
    with VideoWriter(path, fps) as writer:
        for frame in gray_frames(count, size):
            writer.add(frame)


@pytest.mark.parametrize('library', ['av', 'cv2'])
def test_a_written_video_is_read_back(tmp_path, monkeypatch, library):
    if library == 'av':
        pytest.importorskip('av', reason='PyAV is not installed')
    else:
        monkeypatch.setattr('importlib.util.find_spec', lambda name: None)
    write_video(tmp_path / 'a.mp4', 9, size=(25, 33))  # odd sides are padded
    video = open_frames(tmp_path / 'a.mp4', every=2, max_frames=4)
    frames = list(video.frames)
    assert (video.name, video.count, video.fps) == ('a', 4, 5)
    assert [frame.shape for frame in frames] == [(26, 34, 3)] * 4
    means = [frame[:24, :32].mean() for frame in frames]
    assert means == pytest.approx([20, 60, 100, 140], abs=5)
    assert not list(tmp_path.glob('.*'))


def test_a_video_that_fails_leaves_no_file(tmp_path):
    with (
        pytest.raises(ValueError, match='a video has one size'),
        VideoWriter(tmp_path / 'a.mp4', 10) as writer,
    ):
        writer.add(np.zeros((24, 32, 3), np.uint8))
        writer.add(np.zeros((32, 32, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_what_is_no_video_is_refused_in_words(tmp_path, capfd):
    (tmp_path / 'b.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='no video that can be decoded'):
        list(open_frames(tmp_path / 'b.mp4').frames)
    with pytest.raises(FileNotFoundError, match=r'c\.mp4 does not exist'):
        open_frames(tmp_path / 'c.mp4')
    with pytest.raises(OSError, match='camera 97 cannot be opened'):
        open_frames('97')
    assert capfd.readouterr().err == ''  # OpenCV prints ten lines about a camera that is not there
    for options in (dict(every=0), dict(max_frames=0), dict(fps=0)):
        with pytest.raises(ValueError, match='--'):
            open_frames(tmp_path / 'b.mp4', **options)
    assert is_video('0')
    assert is_video('x.MOV')
    assert not is_video(tmp_path)


def test_a_video_becomes_a_video_and_files_of_its_frames(inferencer, tmp_path):
    write_video(tmp_path / 'ride.mp4', 5)
    result = inferencer.process_video(
        tmp_path / 'ride.mp4', tmp_path / 'out', ('color', 'panel', 'npy', 'ply'), batch_size=2
    )
    assert result['frames'] == 5
    assert inferencer.model.batches == [2, 2, 1]
    assert 'they need the camera' in result['notes'][0]
    assert sorted(path.name for path in (tmp_path / 'out/npy/ride').iterdir()) == [
        f'{number:06d}.npy' for number in range(5)
    ]
    depth = np.load(tmp_path / 'out/npy/ride/000003.npy')
    assert depth == pytest.approx(8, abs=0.5)
    video = open_frames(tmp_path / 'out/color/ride.mp4')
    assert (video.count, video.fps) == (5, 10)
    listed = json.loads((tmp_path / 'out/report.json').read_text())['images'][0]
    assert listed['frames'] == 5
    assert listed['files'] == ['color/ride.mp4', 'panel/ride.mp4', 'npy/ride']
    # The same again replaces the results; a file of someone else is never replaced.
    inferencer.process_video(tmp_path / 'ride.mp4', tmp_path / 'out')
    (tmp_path / 'other/color').mkdir(parents=True)
    (tmp_path / 'other/color/ride.mp4').write_bytes(b'mine')
    with pytest.raises(FileExistsError, match='was not written by inference'):
        inferencer.process_video(tmp_path / 'ride.mp4', tmp_path / 'other')


def test_a_folder_is_a_sequence_of_its_images(inferencer, tmp_path):
    for number, frame in enumerate(gray_frames(3)):
        (tmp_path / 'in').mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / f'in/{number}.png'), frame)
    result = inferencer.process_video(tmp_path / 'in', tmp_path / 'out', fps=5)
    assert result['files'] == [str(tmp_path / 'out/color/in.mp4')]
    assert open_frames(tmp_path / 'out/color/in.mp4').fps == 5


def test_ctrl_c_ends_a_camera_and_keeps_its_video(inferencer, tmp_path, monkeypatch):
    class Camera:
        def __init__(self, index):
            self.frames = gray_frames(3)

        def isOpened(self):
            return True

        def get(self, key):
            return 0.0

        def read(self):
            frame = next(self.frames, None)
            if frame is None:
                raise KeyboardInterrupt
            return True, frame

        def release(self):
            pass

    monkeypatch.setattr('cv2.VideoCapture', Camera)
    result = inferencer.process_video(0, tmp_path)
    assert result['frames'] == 3
    assert (tmp_path / 'color/camera_0.mp4').is_file()


def resident_bytes():
    return int(Path('/proc/self/statm').read_text().split()[1]) * os.sysconf('SC_PAGE_SIZE')


@pytest.mark.long
@pytest.mark.skipif(not Path('/proc/self/statm').is_file(), reason='there is no /proc')
def test_memory_is_flat_over_ten_thousand_frames(inferencer):
    inferencer.model.forward = lambda inputs, data_samples, mode: [
        _with_depth(sample, image) for sample, image in zip(data_samples, inputs, strict=True)
    ]
    sizes = []
    stream = inferencer.stream(gray_frames(10_000, (32, 32)), batch_size=50)
    for number, (_, sample) in enumerate(stream):
        assert sample.pred_depth.shape == (32, 32)
        if number in (1999, 9999):
            sizes.append(resident_bytes())
    assert sizes[1] - sizes[0] < 15e6  # 8000 frames and predictions are 57 MB


def test_a_stream_reads_a_frame_only_when_its_turn_comes(inferencer):
    """Neither frames nor predictions pile up: a batch is read when the one before was taken."""
    read = []

    def frames():
        for number, frame in enumerate(gray_frames(40)):
            read.append(number)
            yield frame

    alive = []
    for number, (_, sample) in enumerate(inferencer.stream(frames(), batch_size=4)):
        assert len(read) == 4 * (number // 4 + 1)
        alive.append(weakref.ref(sample))
        assert sum(reference() is not None for reference in alive) <= 8


def _with_depth(sample, image):
    sample.pred_depth = image[0]
    return sample


def test_batches_hold_images_of_one_size_and_change_nothing(inferencer, tmp_path):
    images = [*gray_frames(3), *gray_frames(2, (16, 16)), *gray_frames(1)]
    singles = inferencer(images)
    inferencer.model.batches.clear()
    result = inferencer(images, batch_size=6)
    assert inferencer.model.batches == [4, 2]
    for one, other in zip(singles['predictions'], result['predictions'], strict=True):
        assert torch.equal(one.pred_depth, other.pred_depth)
    # One bad image costs itself alone.
    images[1] = np.zeros((4, 5), np.uint8)
    result = inferencer(images, batch_size=6, return_predictions=False)
    assert list(result['errors']) == ['000001']
    assert result['predictions'] == []


RGB = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)


@pytest.mark.parametrize(
    ('image', 'order'),
    [
        (np.ascontiguousarray(RGB[..., ::-1]), None),
        (RGB, 'rgb'),
        (Image.fromarray(RGB), None),
        (torch.from_numpy(RGB).permute(2, 0, 1), 'rgb'),
        (torch.from_numpy(RGB).permute(2, 0, 1).double() / 255, 'rgb'),
        (torch.from_numpy(RGB[..., ::-1].copy()).permute(2, 0, 1), 'bgr'),
    ],
)
def test_images_in_memory_become_bgr(image, order, inferencer):
    assert np.array_equal(to_bgr_array(image, order), RGB[..., ::-1])
    expected = inference_model(inferencer.model, RGB[..., ::-1].copy()).pred_depth
    given = inference_model(inferencer.model, image, color_order=order).pred_depth
    assert torch.equal(given, expected)
    streamed = next(inferencer.stream(iter([image]), color_order=order))[1].pred_depth
    assert torch.equal(streamed, expected)


@pytest.mark.parametrize(
    ('image', 'order', 'message'),
    [
        (torch.zeros(3, 4, 5), None, 'needs color_order'),
        (torch.zeros(4, 5, 3), 'rgb', 'shape \\(3, H, W\\)'),
        (torch.full((3, 4, 5), 2.0), 'rgb', 'values from 0 to 1'),
        (torch.full((3, 4, 5), np.nan), 'rgb', 'values from 0 to 1'),
        (RGB, 'gbr', "'bgr' or 'rgb'"),
    ],
)
def test_images_that_leave_a_question_are_refused(image, order, message):
    with pytest.raises(ValueError, match=message):
        to_bgr_array(image, order)


def test_the_line_has_rate_and_remaining_time(capsys):
    line = ThroughputLine(120)
    line.count, line.start = 30, 100.0
    assert line.text(now=110.0) == '30/120 images, 3.00 images/s, ETA 0:30'
    line.total = None
    assert line.text(now=110.0) == '30 images, 3.00 images/s'
    line.close()
    assert '30 images in' in capsys.readouterr().err


def test_the_options_name_what_the_library_has():
    assert picture_options.OUTPUTS == OUTPUTS
    assert picture_options.DEFAULT_OUTPUTS == DEFAULT_OUTPUTS
    assert tuple(COLOR_MAPS) == picture_options.COLOR_MAPS
    assert picture_options.parse_range(['1', '5']) == (1, 5)
    assert picture_options.parse_range(['image']) == 'image'
    for words in (['1'], ['1', 'far'], ['all'], ['1', '2', '3']):
        with pytest.raises(ValueError, match='--range takes two numbers'):
            picture_options.parse_range(words)
