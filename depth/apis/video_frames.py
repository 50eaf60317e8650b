"""Frames of a video as image files."""

from collections.abc import Iterator
from pathlib import Path

import cv2

from depth.visualization.output_files import write_image

VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.mpeg', '.mpg', '.webm')


def extract_frames(video: str | Path, folder: str | Path, every: int = 1) -> Iterator[Path]:
    """Write every n-th frame of a video as ``NUMBER.png``, and yield the paths.

    Frames that are there already are not decoded again, so a run that was stopped goes on.

    Args:
        video: Any file that OpenCV decodes.
        folder: Folder of the frames; they are named by their number in the video, from 0.
        every: Distance of the frames that are kept.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it holds no frame that can be decoded, or ``every`` is below 1.
        OSError: If a frame cannot be written.
    """
    if every < 1:
        raise ValueError(f'--every is a number of frames, at least 1, got {every}')
    if not Path(video).is_file():
        raise FileNotFoundError(f'video {video} does not exist')
    capture = cv2.VideoCapture(str(video))
    number = 0
    try:
        while capture.grab():
            if number % every == 0:
                path = Path(folder, f'{number:06d}.png')
                if not path.is_file():
                    decoded, frame = capture.retrieve()
                    if not decoded:
                        raise ValueError(f'frame {number} of {video} cannot be decoded')
                    write_image(path, frame)
                yield path
            number += 1
    finally:
        capture.release()
    if number == 0:
        raise ValueError(f'{video} is no video that can be decoded; give a folder of images')
