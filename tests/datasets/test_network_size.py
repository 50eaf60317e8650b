"""Resizes to the input size of published networks move image, depth and camera together."""

import numpy as np
import pytest

from depth.datasets.transforms import (
    PackDepthInputs,
    RandomCrop,
    RandomFlip,
    ResizeShortSide,
    ResizeThenSnap,
)


def scene(height=30, width=50):
    """Return a sample whose image and depth grow by the column, with a camera in its middle."""
    columns = np.arange(width, dtype=np.float32)
    img = np.repeat(np.tile(4 * columns, (height, 1))[..., None], 3, axis=2).astype(np.uint8)
    camera = np.array([[40.0, 0, (width - 1) / 2], [0, 40.0, (height - 1) / 2], [0, 0, 1]])
    return dict(img=img, gt_depth=np.tile(columns + 1, (height, 1)), cam_intrinsic=camera)


@pytest.mark.parametrize(
    ('rule', 'size'),
    [(ResizeShortSide(56, 14), (56, 98)), (ResizeThenSnap(56, 'long', 14), (28, 56))],
)
def test_image_depth_and_camera_move_together(rule, size):
    results = rule.transform(scene())
    assert results['img'].shape[:2] == results['gt_depth'].shape == size
    assert results['img_shape'] == results['ori_shape'] == size
    # Column j of the result shows column (j + 0.5) * 50 / width - 0.5 of the scene.
    columns = (np.arange(size[1]) + 0.5) * 50 / size[1] - 0.5
    inner = slice(6, size[1] - 6)
    np.testing.assert_allclose(results['img'][0, inner, 0] / 4, columns[inner], atol=0.6)
    np.testing.assert_allclose(results['gt_depth'][0] - 1, columns, atol=0.51)
    # A camera in the middle stays there, and its field of view stays.
    camera = results['cam_intrinsic']
    np.testing.assert_allclose(camera[:2, 2], [(size[1] - 1) / 2, (size[0] - 1) / 2])
    np.testing.assert_allclose(size[1] / camera[0, 0], 50 / 40)


def test_depth_of_a_test_sample_keeps_its_size():
    for rule in (ResizeShortSide(56, resize_depth=False), ResizeThenSnap(56, resize_depth=False)):
        results = rule.transform(scene())
        assert results['gt_depth'].shape == results['ori_shape'] == (30, 50)
        assert results['img'].shape[:2] == results['img_shape'] != (30, 50)


def test_cubic_images_keep_fractions_and_overshoots_through_flip_crop_and_packing():
    sample = scene()
    sample['img'] = np.where(np.arange(50)[None, :, None] < 25, 0, 255).astype(np.uint8)
    sample['img'] = np.broadcast_to(sample['img'], (30, 50, 3)).copy()
    results = ResizeShortSide(56, 14).transform(sample)
    assert results['img'].dtype == np.float32
    assert results['img'].min() < -1 and results['img'].max() > 256
    results = RandomCrop((42, 42)).transform(RandomFlip(1.0).transform(results))
    packed = PackDepthInputs().transform(results)
    assert packed['inputs'].shape == (3, 42, 42) and packed['inputs'].is_floating_point()
    # uint8 is clipped, as the other rule publishes it.
    sample['img'] = np.where(np.arange(50)[None, :, None] < 25, 0, 255).astype(np.uint8)
    sample['img'] = np.broadcast_to(sample['img'], (30, 50, 3)).copy()
    del sample['gt_depth'], sample['ori_shape'], sample['img_shape']
    snapped = ResizeThenSnap(98).transform(sample)['img']
    assert snapped.dtype == np.uint8 and snapped.min() == 0 and snapped.max() == 255


@pytest.mark.parametrize(
    ('build', 'message'),
    [
        (lambda: ResizeShortSide(0), r'ResizeShortSide\.size .* got 0'),
        (lambda: ResizeShortSide(518, 14.0), r'ResizeShortSide\.multiple .* got 14\.0'),
        (lambda: ResizeThenSnap(504, 'wide'), "one of long, short, got 'wide'"),
    ],
)
def test_impossible_sizes_are_refused_in_words(build, message):
    with pytest.raises(ValueError, match=message):
        build()
