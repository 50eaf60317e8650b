"""Frames of a video as images, for a teacher that labels them."""

import cv2
import numpy as np
import pytest

from depth.apis.video_frames import extract_frames


@pytest.fixture
def video(tmp_path):
    """A video of seven grey frames, each brighter than the one before."""
    path = tmp_path / 'ride.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 10, (32, 24))
    if not writer.isOpened():
        pytest.skip('this OpenCV writes no video')
    for number in range(7):
        writer.write(np.full((24, 32, 3), 30 * number + 10, np.uint8))
    writer.release()
    return path


def test_every_third_frame_is_written_under_its_number(video, tmp_path):
    paths = list(extract_frames(video, tmp_path / 'frames', every=3))
    assert [path.name for path in paths] == ['000000.png', '000003.png', '000006.png']
    means = [cv2.imread(str(path)).mean() for path in paths]
    assert means == pytest.approx([10, 100, 190], abs=3)


def test_frames_that_are_there_are_kept(video, tmp_path):
    first = next(extract_frames(video, tmp_path / 'frames'))
    written = first.stat().st_mtime_ns
    assert len(list(extract_frames(video, tmp_path / 'frames'))) == 7
    assert first.stat().st_mtime_ns == written


def test_what_is_no_video_is_refused_in_words(video, tmp_path):
    (tmp_path / 'broken.mp4').write_bytes(b'no video')
    with pytest.raises(ValueError, match='is no video that can be decoded'):
        list(extract_frames(tmp_path / 'broken.mp4', tmp_path / 'frames'))
    with pytest.raises(FileNotFoundError):
        list(extract_frames(tmp_path / 'missing.mp4', tmp_path / 'frames'))
    with pytest.raises(ValueError, match='--every'):
        list(extract_frames(video, tmp_path / 'frames', every=0))
