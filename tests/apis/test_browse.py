import cv2
import numpy as np
import pytest

from depth.apis.browse import MIN_HEIGHT, PipelineRecorder, browse_dataset, draw_states
from depth.data_tools.rendering import FolderLayout, NYULayout, render_layout
from depth.datasets import NYUDataset
from depth.registry import TRANSFORMS
from depth.visualization import colorize_depth, overlay_depth
from tests.shared import SAMPLES, needs_samples

PIPELINE = [
    dict(type='LoadImage'),
    dict(type='LoadDepth'),
    dict(type='RandomFlip', prob=1.0),
    dict(type='RandomCrop', crop_size=(16, 24)),
    dict(type='PackDepthInputs'),
]


@pytest.fixture
def folder(tmp_path):
    render_layout(FolderLayout(image_size=(24, 32)), tmp_path / 'data', dict(train=5, val=1))
    return dict(
        type='FolderDepthDataset', data_root=str(tmp_path / 'data/train'), pipeline=PIPELINE
    )


def test_the_overlay_colours_exactly_the_pixels_with_depth():
    img = np.random.RandomState(0).randint(0, 255, (20, 30, 3)).astype(np.uint8)
    depth = np.zeros((20, 30), np.float32)
    pixels = [(0, 0), (7, 21), (19, 29)]
    for (row, column), metres in zip(pixels, (1.0, 5.0, 9.0), strict=True):
        depth[row, column] = metres
    drawn = overlay_depth(img, depth, 1.0, 9.0)
    changed = (drawn != img).any(-1)
    assert sorted(map(tuple, np.argwhere(changed))) == pixels
    colors = colorize_depth(depth, 1.0, 9.0)
    assert all((drawn[pixel] == colors[pixel]).all() for pixel in pixels)
    assert len({tuple(drawn[pixel]) for pixel in pixels}) == 3


def test_over_dense_depth_the_image_shines_through():
    img = np.full((4, 4, 3), 100, np.uint8)
    depth = np.full((4, 4), 2.0, np.float32)
    color = colorize_depth(depth, 1, 3)[0, 0].astype(int)
    assert (overlay_depth(img, depth, 1, 3)[0, 0] == np.rint((100 + color) / 2)).all()
    assert (overlay_depth(img, depth, 1, 3, opacity=0)[0, 0] == 100).all()


def test_an_overlay_of_another_size_is_refused():
    with pytest.raises(ValueError, match='of one size'):
        overlay_depth(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4), np.float32), 0, 1)


def test_the_recorder_keeps_what_was_loaded_and_what_was_packed(tmp_path):
    render_layout(NYULayout(image_size=(24, 32)), tmp_path, dict(train=1, test=1))
    dataset = NYUDataset(data_root=str(tmp_path), ann_file='nyu_train.txt', pipeline=PIPELINE)
    plain = dataset.pipeline.transforms[:2]
    loaded = dict(dataset.get_data_info(0))
    for transform in plain:
        loaded = transform(loaded)
    dataset.pipeline = recorder = PipelineRecorder(dataset.pipeline.transforms)
    packed = dataset[0]
    assert np.array_equal(recorder.before['img'], loaded['img'])
    assert np.array_equal(recorder.before['gt_depth'], loaded['gt_depth'])
    assert recorder.names == ['RandomFlip', 'RandomCrop']
    assert np.array_equal(recorder.after['img'].transpose(2, 0, 1), packed['inputs'].numpy())
    assert np.array_equal(
        recorder.after['gt_depth'], np.squeeze(packed['data_samples'].gt_depth.numpy())
    )
    assert recorder.after['cam_intrinsic'] == pytest.approx(
        packed['data_samples'].intrinsics.numpy(), abs=1e-3
    )
    assert recorder.after['img'].shape == (16, 24, 3)


def test_pictures_appear_for_spread_or_chosen_samples(folder, tmp_path):
    spread = list(browse_dataset(folder, tmp_path / 'a', count=3))
    assert [path.name for path in spread] == ['000000.png', '000002.png', '000004.png']
    chosen = list(browse_dataset(folder, tmp_path / 'b', indices=[1], repeats=2))
    assert [path.name for path in chosen] == ['000001.png']
    one, two = cv2.imread(str(spread[0])), cv2.imread(str(chosen[0]))
    assert two.shape[0] > one.shape[0] > 2 * MIN_HEIGHT  # a row as loaded, and one for each draw
    with pytest.raises(IndexError, match='no sample 5, the data set has 5'):
        list(browse_dataset(folder, tmp_path, indices=[5]))


def test_the_same_seed_draws_the_same_picture(folder, tmp_path):
    pictures = []
    for name, seed in (('a', 1), ('b', 1), ('c', 2)):
        (path,) = browse_dataset(folder, tmp_path / name, indices=[0], seed=seed)
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1] != pictures[2]


def test_the_picture_shows_the_ground_truth_on_its_pixels():
    """A single measured pixel is found at its place in the overlay tile, enlarged by the whole factor."""
    img = np.full((60, 80, 3), 128, np.uint8)
    depth = np.zeros((60, 80), np.float32)
    depth[10, 30] = 4.0
    picture = draw_states([('as loaded', dict(img=img, gt_depth=depth))], 'x.png')
    scale, gap = 4, 6  # the first tile and a gap on the left
    # Header and title are above the tile of the image.
    top = np.flatnonzero((picture[:, : 80 * scale] == 128).all((1, 2)))[0]
    left = 80 * scale + gap
    tile = picture[top : top + 60 * scale, left : left + 80 * scale]
    changed = np.argwhere((tile != 128).any(-1))
    assert changed.min(0).tolist() == [10 * scale, 30 * scale]
    assert changed.max(0).tolist() == [11 * scale - 1, 31 * scale - 1]


def test_ground_truth_of_another_size_keeps_its_pixels():
    img, depth = np.full((30, 40, 3), 128, np.uint8), np.zeros((60, 80), np.float32)
    depth[50, 70] = 4.0
    picture = draw_states([('as loaded', dict(img=img, gt_depth=depth))], 'x.png')
    top = np.flatnonzero((picture[:, :320] == 128).all((1, 2)))[0]
    tile = picture[top : top + 240, 320 + 6 : 320 + 6 + 320]
    changed = np.argwhere((tile != 128).any(-1))
    assert (changed.min(0).tolist(), changed.max(0).tolist()) == ([200, 280], [203, 283])


def test_scenes_in_memory_mixtures_and_images_without_depth_are_drawn(folder, tmp_path):
    flip = [dict(type='RandomFlip', prob=0.5), dict(type='PackDepthInputs')]
    scenes = dict(type='SyntheticDataset', num_scenes=2, image_size=(16, 24), pipeline=flip)
    mixture = dict(type='MixedDepthDataset', datasets=[folder, scenes])
    assert len(list(browse_dataset(scenes, tmp_path / 'a', count=1))) == 1
    assert len(list(browse_dataset(mixture, tmp_path / 'b', indices=[0, 6]))) == 2
    unlabelled = dict(folder, pipeline=[PIPELINE[0], PIPELINE[-1]])
    assert len(list(browse_dataset(unlabelled, tmp_path / 'c', count=1))) == 1


def test_a_transform_without_a_name_of_loading_counts_as_augmentation():
    flip = TRANSFORMS.build(dict(type='RandomFlip', prob=1.0))
    recorder = PipelineRecorder([flip])
    img = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    recorder(dict(img=img))
    assert np.array_equal(recorder.before['img'], img)
    assert np.array_equal(recorder.after['img'], img[:, ::-1])


@needs_samples
def test_real_laser_points_lie_on_their_pixels(tmp_path):
    """KITTI's ground truth over its image: every measured pixel is coloured and no other."""
    img = cv2.imread(str(SAMPLES / 'kitti/image_02/0000000005.png'))
    depth = cv2.imread(
        str(SAMPLES / 'kitti/gt_depth/0000000005.png'), cv2.IMREAD_UNCHANGED
    ) / np.float32(256)
    drawn = overlay_depth(img, depth, 5.0, 80.0)
    assert np.array_equal(drawn[depth == 0], img[depth == 0])
    assert np.array_equal(drawn[depth > 0], colorize_depth(depth, 5.0, 80.0)[depth > 0])
