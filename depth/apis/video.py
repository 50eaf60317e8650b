"""Video files, cameras and image sequences as frames, and video files written frame by frame."""

import contextlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from depth.atomic_write import write_error
from depth.datasets.transforms.loading import read_image

from .inputs import list_inputs
from .video_frames import VIDEO_SUFFIXES

DEFAULT_FPS = 30.0  # of image sequences, and of cameras that do not say


@dataclass
class FrameSource:
    """Frames of a video, a camera or a folder.

    Attributes:
        name: Name of the results: stem of the file, name of the folder, ``camera_0``.
        label: The absolute path, or ``camera 0``, for messages and reports.
        frames: BGR uint8 (H, W, 3) each; read once.
        fps: Frames a second, of the frames that are read.
        count: Number of frames if it is known; containers may state a wrong one.
        is_live: Whether it ends only when it is stopped.
    """

    name: str
    label: str
    frames: Iterator[np.ndarray]
    fps: float
    count: int | None
    is_live: bool = False


def is_video(source: str | Path | int) -> bool:
    """Return whether a source is a video file, by its suffix, or the index of a camera."""
    if isinstance(source, int) or str(source).isdecimal():
        return not Path(str(source)).exists()
    return Path(source).suffix.lower() in VIDEO_SUFFIXES and not Path(source).is_dir()


def open_frames(
    source: str | Path | int,
    every: int = 1,
    max_frames: int | None = None,
    fps: float | None = None,
    out_dir: str | Path | None = None,
) -> FrameSource:
    """Open a video file, a camera by its index, or a folder or glob of images as a sequence.

    Args:
        source: Path, or index.
        every: Distance of the frames that are read; skipped ones are decoded and dropped.
        max_frames: Largest number of frames.
        fps: Frames a second of the source, where it does not say itself, or says a wrong one.
        out_dir: Folder of the results, whose pictures are no frames.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the source cannot be decoded, or a number is impossible.
        OSError: If the camera cannot be opened.
    """
    if every < 1:
        raise ValueError(f'--every is a number of frames, at least 1, got {every}')
    if max_frames is not None and max_frames < 1:
        raise ValueError(f'--max-frames is at least 1, got {max_frames}')
    if fps is not None and not 0 < fps <= 1000:
        raise ValueError(f'--fps is above 0 and at most 1000, got {fps}')
    if not is_video(source):
        opened = _open_folder(Path(source), out_dir)
    elif str(source).isdecimal():
        opened = _open_camera(int(source))
    elif not Path(source).is_file():
        raise FileNotFoundError(f'video {source} does not exist')
    else:
        opened = _open_file(Path(source))
    opened.fps = (fps or opened.fps) / every
    opened.frames = islice(opened.frames, 0, None, every)
    if opened.count is not None:
        opened.count = -(-opened.count // every)
    if max_frames is not None:
        opened.frames = islice(opened.frames, max_frames)
        opened.count = max_frames if opened.count is None else min(opened.count, max_frames)
    return opened


def _open_folder(folder: Path, out_dir: str | Path | None) -> FrameSource:
    images, _ = list_inputs(str(folder), out_dir)
    folder = (folder if folder.is_dir() else folder.parent).resolve()
    frames = (read_image(image.path) for image in images)
    return FrameSource(folder.name or 'sequence', str(folder), frames, DEFAULT_FPS, len(images))


def _open_camera(index: int) -> FrameSource:
    with _quiet_opencv():
        capture = cv2.VideoCapture(index)
        is_open = capture.isOpened()
    if not is_open:
        capture.release()
        raise OSError(f'camera {index} cannot be opened; is it connected, and used by no other?')
    fps = capture.get(cv2.CAP_PROP_FPS)
    fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
    frames = _capture_frames(capture)
    return FrameSource(f'camera_{index}', f'camera {index}', frames, fps, None, is_live=True)


@contextlib.contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Silence the lines that every driver of OpenCV prints about a camera that is not there."""
    level = cv2.utils.logging.getLogLevel()
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)


def _open_file(path: Path) -> FrameSource:
    if importlib.util.find_spec('av') is not None:
        return _open_with_av(path)
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        capture.release()
        raise ValueError(_undecodable(path))
    fps, count = capture.get(cv2.CAP_PROP_FPS), int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    fps = fps if 0 < fps <= 1000 else DEFAULT_FPS
    frames = _refuse_none(_capture_frames(capture), path)
    return FrameSource(path.stem, os.path.abspath(path), frames, fps, max(count, 0) or None)


def _open_with_av(path: Path) -> FrameSource:
    """Open a file with PyAV, which decodes all that FFmpeg does."""
    import av

    try:
        container = av.open(str(path))
    except (OSError, ValueError) as error:  # PyAV's own errors are among them
        raise ValueError(_undecodable(path)) from error
    if not container.streams.video:
        container.close()
        raise ValueError(_undecodable(path))
    stream = container.streams.video[0]
    stream.thread_type = 'AUTO'
    fps = float(stream.average_rate or DEFAULT_FPS)

    def frames() -> Iterator[np.ndarray]:
        with container:
            try:
                for frame in container.decode(stream):
                    img = frame.to_ndarray(format='bgr24')
                    # Telephones store how to turn the frames; 90 degrees are counter-clockwise.
                    turns = round(frame.rotation / 90) % 4
                    yield np.ascontiguousarray(np.rot90(img, turns)) if turns else img
            except (OSError, ValueError) as error:
                raise ValueError(f'{path} is damaged: {error}') from error

    return FrameSource(
        path.stem, os.path.abspath(path), _refuse_none(frames(), path), fps, stream.frames or None
    )


def _capture_frames(capture: cv2.VideoCapture) -> Iterator[np.ndarray]:
    """Yield the frames of an OpenCV capture, and release it."""
    try:
        while True:
            decoded, frame = capture.read()
            if not decoded:
                return
            yield frame
    finally:
        capture.release()


def _refuse_none(frames: Iterator[np.ndarray], path: Path) -> Iterator[np.ndarray]:
    """Yield frames; raise ValueError if there is none."""
    first = next(frames, None)
    if first is None:
        raise ValueError(_undecodable(path))
    yield first
    yield from frames


def _undecodable(path: Path) -> str:
    return f'{path} is no video that can be decoded; give a folder of images'


class VideoWriter:
    """MP4 file written frame by frame, complete or absent: H.264 by PyAV, else MPEG-4 by OpenCV.

    Use it in a ``with`` block. It is renamed into place at the end of the block, and removed if the
    block raises.

    Args:
        path: ``NAME.mp4``; its folder is created.
        fps: Frames a second.
    """

    def __init__(self, path: str | Path, fps: float) -> None:
        self.path = Path(path)
        self.fps = fps
        # OpenCV takes the format from the suffix.
        self._temporary = self.path.with_name(f'.{self.path.stem}.{os.getpid()}.tmp.mp4')
        self._size: tuple[int, int] | None = None
        self._stack = contextlib.ExitStack()
        self._write = None

    def __enter__(self) -> 'VideoWriter':
        return self

    def add(self, picture: np.ndarray) -> None:
        """Append a frame, BGR uint8 (H, W, 3); one of another size than the first is refused.

        Raises:
            ValueError: If the sizes differ.
            OSError: If the file cannot be written.
        """
        if self._size is None:
            self._size = picture.shape[:2]
            self._open()
        if picture.shape[:2] != self._size:
            raise ValueError(
                f'{self.path}: a frame of {picture.shape[1]}x{picture.shape[0]} follows frames of '
                f'{self._size[1]}x{self._size[0]}; a video has one size'
            )
        # H.264 with half the colours needs even sides.
        height, width = self._size
        even = cv2.copyMakeBorder(
            picture, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        try:
            self._write(even)
        except OSError as error:
            raise write_error(self.path, error) from error

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            height, width = (side + side % 2 for side in self._size)
            if importlib.util.find_spec('av') is not None:
                self._open_av(height, width)
            else:
                self._open_cv2(height, width)
        except OSError as error:
            raise write_error(self.path, error) from error

    def _open_av(self, height: int, width: int) -> None:
        import av

        container = self._stack.enter_context(av.open(str(self._temporary), 'w', format='mp4'))
        rate = Fraction(self.fps).limit_denominator(1001)
        stream = container.add_stream('libx264', rate=rate, options={'crf': '18'})
        stream.height, stream.width, stream.pix_fmt = height, width, 'yuv420p'

        def write(picture: np.ndarray) -> None:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format='bgr24')))

        # Runs before the container closes: frames that the encoder holds back.
        self._stack.callback(lambda: container.mux(stream.encode()))
        self._write = write

    def _open_cv2(self, height: int, width: int) -> None:
        fourcc = cv2.VideoWriter_fourcc(*'mp4v')
        writer = cv2.VideoWriter(str(self._temporary), fourcc, self.fps, (width, height))
        if not writer.isOpened():
            raise OSError('this OpenCV writes no MP4; pip install "depth-toolbox[video]"')
        self._stack.callback(writer.release)
        self._write = writer.write

    def __exit__(self, error_type: type | None, error: object, traceback: object) -> None:
        try:
            self._stack.close()
            if error_type is None and self._size is not None:
                os.replace(self._temporary, self.path)
        except OSError as failure:
            raise write_error(self.path, failure) from failure
        finally:
            self._temporary.unlink(missing_ok=True)
