import cv2
import numpy as np
import pytest

from depth.datasets.transforms import (
    ColorAug,
    KBCrop,
    NYUCrop,
    PackDepthInputs,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    Resize,
    SpatialRule,
)
from tests.parity.recorded import load_arrays, load_case

OPENCV_5 = int(cv2.__version__.split('.')[0]) >= 5


@pytest.fixture(scope='module')
def recorded():
    return load_arrays('transforms')


def expected(recorded, case, kind):
    """Return a recorded output; the OpenCV 5 variant where OpenCV 5 is installed and differs."""
    newer = f'out_cv5/{case}/{kind}'
    return recorded[newer if OPENCV_5 and newer in recorded else f'out/{case}/{kind}']


def inputs(recorded, seed=0):
    return dict(
        img=recorded['img'].copy(),
        gt_depth=recorded['depth'].copy(),
        rng=np.random.RandomState(seed),
    )


@pytest.mark.parametrize(
    ('case', 'seed', 'transform'),
    [
        ('kb_crop', 0, KBCrop(32, 48)),
        ('random_crop_0', 0, RandomCrop((24, 32))),
        ('random_crop_1', 1, RandomCrop((24, 32))),
        ('random_crop_2', 2, RandomCrop((64, 32))),
        ('flip_horizontal', 0, RandomFlip(prob=1.0)),
    ],
)
def test_geometry_gives_the_published_arrays(recorded, case, seed, transform):
    actual = transform.transform(inputs(recorded, seed))
    assert np.array_equal(actual['img'], expected(recorded, case, 'img'))
    assert np.array_equal(actual['gt_depth'], expected(recorded, case, 'depth'))


@pytest.mark.parametrize(
    ('case', 'transform'),
    [('resize_keep_ratio', Resize((48, 100), keep_ratio=True)), ('resize_exact', Resize((45, 33)))],
)
def test_resizing_gives_the_published_arrays_under_the_published_rule(recorded, case, transform):
    published = dict(gt_depth=SpatialRule('nearest_floor', 'ground_truth'))
    actual = transform.transform(inputs(recorded) | dict(spatial_keys=published))
    assert np.array_equal(actual['img'], expected(recorded, case, 'img'))
    assert np.array_equal(actual['gt_depth'], expected(recorded, case, 'depth'))


@pytest.mark.parametrize('angle', [2.5, -1.7, 30.0])
def test_rotation_gives_the_published_arrays(recorded, angle):
    actual = RandomRotate.rotate(inputs(recorded), angle)
    assert np.array_equal(actual['gt_depth'], expected(recorded, f'rotate_{angle}', 'depth'))
    difference = np.abs(actual['img'].astype(int) - expected(recorded, f'rotate_{angle}', 'img'))
    assert difference.max() <= 1  # builds of OpenCV differ in the last bit of the interpolation


@pytest.mark.parametrize('case', ['color_7', 'color_8'])
def test_colour_is_the_published_one_rounded_to_bytes(recorded, case):
    settings = load_case('transforms')['cases'][case]
    table = ColorAug.table(
        settings['gamma'], settings['brightness'], np.array(settings['colour_bgr'])
    )
    actual = cv2.LUT(recorded['img'], table)
    assert np.abs(actual - recorded[f'out/{case}/img']).max() <= 0.5 + 1e-6


@pytest.mark.parametrize('seed', [0, 3, 5])
def test_the_training_chain_draws_and_does_what_was_published(recorded, seed):
    results = inputs(recorded, seed)
    chain = [
        KBCrop(32, 56),
        RandomRotate(0.5, 2.5),
        RandomFlip(0.5),
        RandomCrop((24, 40)),
        ColorAug(0.5, (0.9, 1.1), (0.9, 1.1), (0.9, 1.1)),
    ]
    settings = load_case('transforms')['cases'][f'train_chain_{seed}']
    for transform in chain:
        results = transform.transform(results)
    assert results['flip'] == settings['flipped']
    case = f'train_chain_{seed}'
    assert np.array_equal(results['gt_depth'], expected(recorded, case, 'depth')[0])
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    normalized = (results['img'][..., ::-1].astype(np.float32) - mean) / std
    difference = (
        np.abs(normalized.transpose(2, 0, 1) - expected(recorded, case, 'img')) * std[:, None, None]
    )
    assert difference.max() <= (1.5 if settings['rotated'] else 0.51)  # grey levels


K = np.array([[500.0, 0, 300.0], [0, 520.0, 200.0], [0, 0, 1]])


def project(matrix, point):
    u, v, w = matrix @ point
    return u / w, v / w


def marked(height=400, width=600):
    """An image that is black but for a bright dot where K sees the point."""
    point = np.array([0.1, -40 / 520, 1.0])  # seen at a whole pixel
    u, v = (round(value) for value in project(K, point))
    img = np.zeros((height, width, 3), np.uint8)
    img[v - 3 : v + 4, u - 3 : u + 4] = 255
    results = dict(img=img, gt_depth=np.ones((height, width), np.float32), img_shape=img.shape[:2])
    return results | dict(
        cam_intrinsic=K.copy(), ori_cam_intrinsic=K.copy(), rng=np.random.RandomState(0)
    ), point


def dot(img):
    weight = img[..., 0].astype(float)
    rows, columns = np.mgrid[: img.shape[0], : img.shape[1]]
    return (columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()


@pytest.mark.parametrize(
    'transform',
    [KBCrop(352, 560), RandomCrop((300, 400)), Resize((333, 290)), Resize((900, 500))],
    ids=lambda transform: type(transform).__name__,
)
def test_intrinsics_follow_the_picture(transform):
    results, point = marked()
    results = transform.transform(results)
    assert project(results['cam_intrinsic'], point) == pytest.approx(dot(results['img']), abs=0.35)


def test_intrinsics_follow_a_mirrored_picture():
    results, point = marked()
    results = RandomFlip(prob=1.0).transform(results)
    mirrored = project(results['cam_intrinsic'], point * [-1, 1, 1])
    assert mirrored == pytest.approx(dot(results['img']), abs=0.35)


def test_intrinsics_follow_a_rotation_as_a_roll_of_the_camera():
    results, point = marked()
    results['cam_intrinsic'][1, 1] = 500.0  # exact for square pixels
    u, v = project(results['cam_intrinsic'], point)
    results['img'][:] = 0
    results['img'][round(v) - 3 : round(v) + 4, round(u) - 3 : round(u) + 4] = 255
    results = RandomRotate.rotate(results, 2.5)
    angle = np.deg2rad(2.5)
    roll = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    assert project(results['cam_intrinsic'], roll @ point) == pytest.approx(
        dot(results['img']), abs=0.5
    )


def test_a_test_time_resize_leaves_ground_truth_and_its_camera():
    results, point = marked()
    results = Resize((300, 200), resize_depth=False).transform(results | dict(ori_shape=(400, 600)))
    assert results['gt_depth'].shape == results['ori_shape'] == (400, 600)
    assert results['img_shape'] == (200, 300)
    assert np.array_equal(results['ori_cam_intrinsic'], K)
    assert project(results['cam_intrinsic'], point) == pytest.approx(dot(results['img']), abs=0.35)


def test_crops_add_up_to_one_box():
    results, _ = marked(480, 640)
    results = NYUCrop().transform(results)
    assert results['crop_box'] == (45, 43, 427, 565)
    results = KBCrop(400, 500).transform(results)
    assert results['crop_box'] == (45 + 27, 43 + 32, 400, 500)
    assert results['ori_shape'] == (400, 500)


@pytest.mark.parametrize(('transform', 'message'), [(KBCrop(), '352x1216'), (NYUCrop(), '480x640')])
def test_an_image_of_another_size_is_refused(transform, message):
    with pytest.raises(ValueError, match=message):
        transform.transform(dict(img=np.zeros((100, 100, 3), np.uint8), img_path='small.png'))


def test_packing_keeps_bytes_metres_and_metas():
    results = dict(img=np.full((8, 10, 3), 7, np.uint8))
    results.update(
        gt_depth=np.full((8, 10), 2.5, np.float32),
        cam_intrinsic=K,
        img_path='a.png',
        ori_shape=(8, 10),
    )
    packed = PackDepthInputs().transform(results)
    assert packed['inputs'].shape == (3, 8, 10)
    assert packed['inputs'].dtype.is_floating_point is False
    sample = packed['data_samples']
    assert sample.gt_depth.shape == (8, 10)
    assert sample.intrinsics.tolist() == pytest.approx(K)
    assert sample.img_path == 'a.png'
