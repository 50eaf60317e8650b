"""All keys of a sample that live on pixels move together, in every transform and in any order."""

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from depth.data_tools.rendering import KITTIRawStereoLayout, render_layout
from depth.datasets import KITTIRawDataset, SyntheticDataset
from depth.datasets.transforms import (
    SPATIAL_KEYS,
    DepthStripMix,
    KBCrop,
    LoadDepth,
    LoadDepthHint,
    LoadImage,
    LoadNormals,
    LoadPair,
    LoadStereoDepth,
    LoadVelodyneDepth,
    NYUCrop,
    PackDepthInputs,
    PackStereoInputs,
    PairFromScene,
    RandomCrop,
    RandomFlip,
    RandomRotate,
    Resize,
    SpatialRule,
)
from depth.models.layers import synthesize_view
from depth.registry import TRANSFORMS

HEIGHT, WIDTH = 120, 160
K = np.array([[150.0, 0, 83.0], [0, 150.0, 57.0], [0, 0, 1]])
NORMAL = np.array([0.3, -0.2, -0.933])  # of the plane; (0.3, -0.2, -0.933) . X = -4
IMAGE_KEYS = ('img', 'other_img', 'clean_img', 'clean_other_img', 'img_right')
GROUND_TRUTH_KEYS = (
    'gt_depth',
    'gt_depth_right',
    'semantic',
    'normals',
    'gt_sky',
    'gt_planes',
)
MOVES = dict(
    flip=RandomFlip(prob=1.0),
    crop=RandomCrop((70, 90)),
    kb_crop=KBCrop(100, 120),
    rotate=RandomRotate(prob=1.0, degree=(5.0, 5.0)),
    resize=Resize((120, 90)),
    enlarge=Resize((320, 240)),
    stretch=Resize((200, 90)),
    resize_image=Resize((96, 72), resize_depth=False),
    lanczos=Resize((96, 72), resize_depth=False, interpolation='lanczos'),
    keep_ratio=Resize((100, 300), keep_ratio=True),
)


def plane_depth(matrix, normal, shape):
    """Return the depth (H, W) of the plane normal . X = -4 at the pixels of a camera."""
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    rays = np.stack([columns, rows, np.ones(shape)], axis=-1) @ np.linalg.inv(matrix).T
    return -4 / (rays @ normal)


def full_sample(with_right=True):
    """Return a sample in which every map of one kind holds the same values, so that all must end up equal."""
    rng = np.random.RandomState(0)
    img = cv2.GaussianBlur(rng.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), (5, 5), 0)
    depth = plane_depth(K, NORMAL, (HEIGHT, WIDTH)).astype(np.float32)
    extrinsics = np.eye(4)
    extrinsics[0, 3] = -0.5
    results = dict(
        img=img, img_shape=img.shape[:2], ori_shape=img.shape[:2], rng=np.random.RandomState(0)
    )
    results.update(
        other_img=img.copy(),
        clean_img=img.copy(),
        clean_other_img=img.copy(),
        depth_hint=depth.copy(),
    )
    results.update(sparse_depth=np.where(rng.rand(HEIGHT, WIDTH) < 0.05, depth, 0).astype('f4'))
    results.update(gt_depth=depth, semantic=np.rint(depth * 1000).astype(np.int64))
    results.update(gt_sky=depth.copy(), gt_planes=np.rint(depth * 1000).astype(np.int64))
    results.update(normals=np.broadcast_to(NORMAL, (HEIGHT, WIDTH, 3)).astype(np.float32))
    results.update(cam_intrinsic=K.copy(), other_cam_intrinsic=K.copy(), ori_cam_intrinsic=K.copy())
    results.update(stereo_extrinsics=extrinsics)
    if with_right:
        results.update(img_right=img.copy(), gt_depth_right=depth.copy())
    return results


def apply(names, results):
    for name in names:
        results = MOVES[name](results)
    return results


def test_the_sample_of_these_tests_holds_every_key():
    assert full_sample().keys() >= SPATIAL_KEYS.keys()


@pytest.mark.parametrize('name', MOVES)
def test_no_key_is_left_behind(name):
    before = full_sample(with_right=name != 'rotate')
    results = apply([name], dict(before))
    for key in set(IMAGE_KEYS) & results.keys():
        assert np.array_equal(results[key], results['img']), key
        assert results[key].shape != before[key].shape or not np.array_equal(
            results[key], before[key]
        ), key
    if 'gt_depth_right' in results:
        assert np.array_equal(results['gt_depth_right'], results['gt_depth'])
    assert np.array_equal(results['semantic'], np.rint(results['gt_depth'] * 1000))
    assert results['semantic'].dtype == np.int64
    assert np.array_equal(results['gt_sky'], results['gt_depth'])
    assert np.array_equal(results['gt_planes'], results['semantic'])
    assert np.array_equal(results['other_cam_intrinsic'], results['cam_intrinsic'])
    assert results['img'].shape[:2] == results['img_shape'] == results['depth_hint'].shape
    assert results['sparse_depth'].shape == results['img_shape']
    assert results['sparse_depth'].any()
    for key in set(GROUND_TRUTH_KEYS) & results.keys():
        assert results[key].shape[:2] == results['ori_shape'], key


CHAINS = [
    ['flip'],
    ['crop'],
    ['rotate'],
    ['resize'],
    ['stretch', 'flip'],
    ['enlarge', 'crop', 'flip', 'rotate'],
    # Pixels that are not square: the resize keeps no ratio.
    ['stretch', 'rotate'],
    ['stretch', 'flip', 'rotate', 'resize_image'],
    ['resize_image', 'flip'],
    ['resize_image', 'rotate'],
    ['lanczos', 'flip', 'rotate'],
    ['crop', 'resize_image', 'flip'],
    ['kb_crop', 'flip', 'rotate', 'resize_image', 'flip'],
    ['resize_image', 'flip', 'resize'],
    ['rotate', 'keep_ratio', 'resize_image', 'flip'],
]


@pytest.mark.parametrize('names', CHAINS, ids='-'.join)
def test_ground_truth_stays_that_of_its_camera(names):
    """After any chain the depth map is the plane that its camera and its normals describe."""
    results = apply(names, full_sample(with_right=False))
    depth, normals = results['gt_depth'], results['normals']
    inside = depth > 0
    normal = np.median(normals[inside], axis=0)
    assert np.allclose(normals[inside], normal, atol=1e-5)
    expected = plane_depth(results['ori_cam_intrinsic'], normal, depth.shape)
    # Nearest pixels are up to 0.71 of one away, in each of the steps that resample.
    resamplings = sum(
        name in ('rotate', 'resize', 'stretch', 'enlarge', 'keep_ratio') for name in names
    )
    slope = max(np.abs(np.gradient(expected, axis=axis)).max() for axis in (0, 1))
    largest = max(1.0, WIDTH / depth.shape[1] * 1.4)
    assert np.abs(depth - expected)[inside].max() <= 1.5 * slope * largest * resamplings + 1e-4
    assert abs(np.mean((depth - expected)[inside])) <= 0.25 * slope + 1e-4
    # Image and ground truth show the same view: their cameras differ by the resize between their
    # sizes alone.
    (height, width), (full_height, full_width) = results['img_shape'], results['ori_shape']
    sx, sy = width / full_width, height / full_height
    scaling = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
    assert np.allclose(scaling @ results['ori_cam_intrinsic'], results['cam_intrinsic'], atol=1e-6)


@pytest.mark.parametrize('size', [(40, 30), (53, 41), (120, 90), (200, 190), (640, 480)])
def test_depth_is_resized_by_the_half_pixel_rule(size):
    """A ramp of depth stays at the image's place: at most half an input pixel off, nothing on average."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    for ramp, axis, length in ((columns, 1, WIDTH), (rows, 0, HEIGHT)):
        results = Resize(size)(
            dict(img=np.zeros((HEIGHT, WIDTH, 3), np.uint8), gt_depth=ramp + 1, semantic=ramp)
        )
        new = size[0] if axis == 1 else size[1]
        centers = np.clip((np.arange(new) + 0.5) * length / new - 0.5, 0, length - 1)
        difference = np.moveaxis(results['gt_depth'] - 1, axis, 0) - centers[:, None]
        assert np.abs(difference).max() <= 0.5 + 1e-6
        # No shift on average, but for centres in the middle between two pixels, which go up.
        middles = np.mean(np.isclose(centers % 1, 0.5))
        assert difference.mean() == pytest.approx(0.5 * middles, abs=0.02)
        assert np.array_equal(results['semantic'], results['gt_depth'] - 1)


@pytest.mark.parametrize('name', MOVES)
@pytest.mark.parametrize(
    ('value', 'label'),
    [
        (np.zeros((HEIGHT, WIDTH), bool), 'mask'),
        (np.zeros((3, HEIGHT, WIDTH)), 'channels_first'),
        (torch.zeros(1, HEIGHT, WIDTH), 'tensor'),
        ([np.zeros((HEIGHT, WIDTH, 3), np.uint8)], 'list'),
    ],
)
def test_an_unknown_map_is_refused_by_every_transform(name, value, label):
    results = full_sample(with_right=False) | {label: value}
    with pytest.raises(
        ValueError, match=rf"(?s){type(MOVES[name]).__name__}: '{label}'.*spatial_keys"
    ):
        apply([name], results)


def test_an_unknown_map_of_the_size_of_ground_truth_is_refused():
    results = apply(['resize_image'], full_sample()) | dict(mask=np.zeros((HEIGHT, WIDTH), bool))
    with pytest.raises(ValueError, match="RandomFlip: 'mask'"):
        apply(['flip'], results)


def test_other_arrays_are_left_alone():
    other = dict(
        points=np.zeros((500, 4)), pose=np.eye(4), names=['a', 'b'], histogram=np.zeros(HEIGHT)
    )
    results = apply(['flip', 'crop', 'resize'], full_sample() | other)
    assert all(results[key] is other[key] for key in other)


def test_a_sample_brings_its_own_rules():
    """A mask and a third camera follow; a rule of the sample rules before the table's."""
    mask = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 7 == 0
    rules = dict(
        mask=dict(kind='nearest', grid='ground_truth'), third_intrinsic=dict(kind='camera')
    )
    results = full_sample(with_right=False) | dict(
        mask=mask, third_intrinsic=K.copy(), spatial_keys=rules
    )
    results = apply(['flip', 'rotate', 'crop', 'resize'], results)
    assert results['mask'].shape == results['gt_depth'].shape and results['mask'].dtype == bool
    assert np.array_equal(results['third_intrinsic'], results['cam_intrinsic'])
    with pytest.raises(ValueError, match='kind is one of'):
        SpatialRule('bilinear')
    with pytest.raises(ValueError, match='grid is one of'):
        SpatialRule('image', 'depth')


def test_a_map_of_the_wrong_size_is_named():
    for name in ('flip', 'crop', 'rotate', 'resize'):
        results = full_sample(with_right=False) | dict(
            other_img=np.zeros((60, 80, 3), np.uint8), img_path='a.png'
        )
        with pytest.raises(ValueError, match=r'other_img of a\.png is 60x80, expected 120x160'):
            apply([name], results)


def test_one_window_does_not_fit_two_sizes():
    with pytest.raises(
        ValueError, match=r'(?s)RandomCrop: .* was resized to 72x96.*120x160.*resize_depth=True'
    ):
        apply(['resize_image', 'crop'], full_sample())
    with pytest.raises(ValueError, match=r'depth_hint of .* is 30x40, the image 120x160'):
        apply(['crop'], full_sample() | dict(depth_hint=np.zeros((30, 40), np.float32)))


def test_without_ground_truth_a_crop_may_follow_a_resize():
    results = {key: value for key, value in full_sample().items() if key not in GROUND_TRUTH_KEYS}
    results = apply(['resize_image', 'crop'], results)
    assert results['ori_shape'] == results['img_shape'] == (70, 90)
    assert np.array_equal(results['ori_cam_intrinsic'], results['cam_intrinsic'])


def test_a_hint_of_its_own_size_is_mirrored_and_resized():
    hint = np.arange(30 * 40, dtype=np.float32).reshape(30, 40)
    results = apply(['flip', 'lanczos'], full_sample() | dict(depth_hint=hint))
    expected = cv2.resize(
        np.ascontiguousarray(hint[:, ::-1]), (96, 72), interpolation=cv2.INTER_NEAREST
    )
    assert np.array_equal(results['depth_hint'], expected)


def test_mirrored_twice_is_not_mirrored():
    results = full_sample()
    before = results['img'].copy()
    results = apply(['flip', 'flip'], results)
    assert results['flip'] is False
    assert np.array_equal(results['img'], before)


@pytest.mark.parametrize('names', CHAINS, ids='-'.join)
def test_the_way_to_the_other_view_follows(names):
    """A point of the plane is still seen by both moved cameras where both moved images show it."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    # Of the first image, (x, y, inside).
    places = np.stack([columns, rows, np.ones_like(rows)], axis=-1)
    rules = dict(places=SpatialRule('image'))
    extrinsics = np.eye(4)
    extrinsics[:3, 3] = [-0.4, 0.15, 0.05]
    names = [dict(lanczos='resize_image').get(name, name) for name in names]
    start = full_sample(with_right=False) | dict(
        places=places, spatial_keys=rules, stereo_extrinsics=extrinsics
    )
    results = apply(names, start)
    moved = results['places']
    v, u = np.mgrid[4 : moved.shape[0] - 4 : 3, 4 : moved.shape[1] - 4 : 3].reshape(2, -1)
    visible = moved[v, u, 2] > 0.999
    u, v = u[visible], v[visible]
    # A rotation mixes the border's zeros into all three maps alike: the quotient is the position.
    first = moved[v, u] / moved[v, u, 2:]
    depth = -4 / (first @ np.linalg.inv(K).T @ NORMAL)
    in_other = (first @ np.linalg.inv(K).T * depth[:, None] + extrinsics[:3, 3]) @ K.T
    expected = in_other[:, :2] / in_other[:, 2:]
    rays = np.stack([u, v, np.ones_like(u)], axis=1) @ np.linalg.inv(results['cam_intrinsic']).T
    pose = results['stereo_extrinsics']
    pixels = (rays * depth[:, None] @ pose[:3, :3].T + pose[:3, 3]) @ results[
        'other_cam_intrinsic'
    ].T
    pixels = (pixels[:, :2] / pixels[:, 2:]).astype(np.float32)
    actual = cv2.remap(moved, pixels[None], None, cv2.INTER_LINEAR)[0]
    height, width = moved.shape[:2]
    from_border = np.minimum(pixels, [width - 1, height - 1] - pixels).min(axis=1)
    inside = (actual[:, 2] > 0.999) & (from_border > 2)  # a resize repeats the outermost pixels
    assert inside.mean() > 0.3
    positions = actual[inside, :2] / actual[inside, 2:]
    # OpenCV's rotation cuts each of both positions to 1/32 pixel.
    assert np.abs(positions - expected[inside]).max() < 2 / 32


def warp_error(sample, sign=1.0):
    """Return the mean colour difference of the other view, warped by the ground truth, from the image."""
    depth = sample.gt_depth[None, None]
    transform = sample.stereo_extrinsics[None].clone()
    transform[0, 0, 3] *= sign
    geometry = sample.intrinsics[None], transform, sample.other_intrinsics[None]
    warped = synthesize_view(sample.clean_other_img[None].float(), depth, *geometry)
    difference = (warped - sample.clean_img[None].float()).abs().mean(dim=1, keepdim=True)
    return difference[depth > 0].mean().item()


@pytest.mark.parametrize('side', ['left', 'right'])
@pytest.mark.parametrize('moves', [['flip'], ['kb_crop', 'flip'], ['resize', 'flip']], ids='-'.join)
def test_a_scene_moved_before_it_became_a_pair_is_a_pair(side, moves):
    pipeline = [MOVES[name] for name in moves] + [
        PairFromScene(right_prob=float(side == 'right')),
        PackStereoInputs(),
    ]
    dataset = SyntheticDataset(
        'rooms', 3, image_size=(112, 144), stereo=True, noise=0.0, pipeline=pipeline
    )
    for index in range(3):
        sample = dataset[index]['data_samples']
        right, wrong, none = (warp_error(sample, sign) for sign in (1.0, -1.0, 0.0))
        assert right < 0.5 * none < none < wrong


def test_what_cannot_be_rotated_says_so():
    with pytest.raises(ValueError, match=r'img_right of .* cannot be rotated; PairFromScene'):
        apply(['rotate'], full_sample())


@pytest.mark.parametrize(
    'loader',
    [
        LoadDepth(),
        LoadNormals(),
        LoadVelodyneDepth(),
        LoadDepthHint(),
        LoadPair(),
        LoadStereoDepth(),
        dict(type='ComputeDepthHint'),
    ],
    ids=lambda loader: loader['type'] if isinstance(loader, dict) else type(loader).__name__,
)
@pytest.mark.parametrize('move', ['flip', 'crop', 'rotate'])
def test_maps_are_loaded_in_front_of_what_moves_the_image(loader, move):
    import projects.EPCDepth.depth_hints  # noqa: F401  registers ComputeDepthHint

    loader = TRANSFORMS.build(loader) if isinstance(loader, dict) else loader
    results = dict(
        img=np.zeros((120, 160, 3), np.uint8),
        img_path='a.png',
        side='left',
        rng=np.random.RandomState(0),
    )
    results.update(disparity_path='a.npy')
    mover = type(MOVES[move]).__name__
    with pytest.raises(ValueError, match=f'put {type(loader).__name__} in front of {mover}'):
        loader(apply([move], results))


@pytest.mark.parametrize(
    'transform', [RandomFlip(1.0), RandomRotate(1.0), RandomCrop((4, 4)), KBCrop(), NYUCrop()]
)
def test_an_image_that_is_not_loaded_yet_is_named(transform):
    with pytest.raises(ValueError, match=rf'{type(transform).__name__}: a.png is not loaded yet'):
        transform(dict(img_path='a.png', rng=np.random.RandomState(0)))


@pytest.mark.parametrize('size', [(0, 4), (4,), 4, (4, 2.5), '44', (4, -1)])
def test_impossible_sizes_are_refused_at_once(size):
    for build in (RandomCrop, Resize):
        with pytest.raises(
            ValueError, match=rf'{build.__name__}\.\w+ is \(\w+, \w+\), two whole numbers'
        ):
            build(size)


def test_depth_loaded_after_a_resize_is_the_resized_images(tmp_path):
    path = tmp_path / 'depth.npy'
    np.save(path, np.full((60, 80), 2.0, np.float32))
    results = dict(
        img=np.zeros((120, 160, 3), np.uint8),
        img_path='a.png',
        cam_intrinsic=K,
        depth_path=str(path),
    )
    pipeline = [LoadImage(), Resize((80, 60)), LoadDepth(), PackDepthInputs()]
    for step in pipeline[:-1]:
        results = step(results | dict(depth_scale=1000.0))
    assert results['ori_shape'] == (60, 80)
    assert np.allclose(results['ori_cam_intrinsic'], results['cam_intrinsic'])


def test_a_strip_of_ground_truth_of_another_size_is_refused():
    results = apply(['resize_image'], full_sample()) | dict(depth_scale=1000.0)
    with pytest.raises(ValueError, match=r'DepthStripMix: gt_depth is 120x160, the image 72x96'):
        DepthStripMix(prob=1.0)(results)


def test_ground_truth_that_another_transform_forgot_is_refused_when_packing():
    results = full_sample() | dict(img_path='a.png')
    results['gt_depth'] = results['gt_depth'][:-4]
    with pytest.raises(
        ValueError, match=r'PackDepthInputs: gt_depth of a.png is 116x160, expected 120x160'
    ):
        PackDepthInputs()(results)


@pytest.fixture(scope='module')
def rendered_kitti(tmp_path_factory):
    root = tmp_path_factory.mktemp('kitti_raw')
    layout = KITTIRawStereoLayout(image_size=(96, 320))
    render_layout(layout, root, dict(test=2))
    return root, layout


def kitti_samples(rendered_kitti, *pipeline):
    """Return the two samples with the camera of their images; the data set has that of KITTI's own size."""
    root, layout = rendered_kitti
    steps = [lambda results: results | dict(cam_intrinsic=layout.intrinsic), LoadImage(), *pipeline]
    dataset = KITTIRawDataset(data_root=str(root), ann_file='splits/eigen_test.txt', pipeline=steps)
    return [dataset[index] for index in range(2)]


def test_laser_depth_along_the_axis_lies_where_the_image_and_its_camera_are(rendered_kitti):
    layout = rendered_kitti[1]
    for index, results in enumerate(
        kitti_samples(rendered_kitti, LoadVelodyneDepth('camera', None))
    ):
        actual, expected = results['gt_depth'], layout.render('test', index)['gt_depth']
        measured = actual > 0
        assert measured.sum() > 1000
        assert np.abs(actual - expected)[measured].max() < 1e-3


def test_published_laser_depth_stays_one_pixel_up_and_left(rendered_kitti):
    layout = rendered_kitti[1]
    for index, results in enumerate(
        kitti_samples(rendered_kitti, LoadVelodyneDepth('forward', None))
    ):
        actual, expected = (
            results['gt_depth'][:-1, :-1],
            layout.render('test', index)['gt_depth'][1:, 1:],
        )
        measured = actual > 0
        # The scanner stands behind.
        assert np.median((actual - expected)[measured]) == pytest.approx(0.27, abs=0.05)


@pytest.mark.parametrize('mirrored', [False, True])
@pytest.mark.parametrize('size', [None, (200, 701)])
def test_the_camera_of_laser_depth_follows_its_size(rendered_kitti, size, mirrored):
    layout = rendered_kitti[1]
    pipeline = [
        Resize((160, 64), resize_depth=False),
        LoadVelodyneDepth('camera', size),
        RandomFlip(float(mirrored)),
    ]
    for index, results in enumerate(kitti_samples(rendered_kitti, *pipeline)):
        depth = results['gt_depth']
        assert depth.shape == results['ori_shape'] == (size or (96, 320))
        # Each measured pixel, seen by the camera of the loaded image, has the depth that was
        # rendered there.
        rows, columns = np.nonzero(depth)
        rays = (
            np.stack([columns, rows, np.ones_like(rows)], axis=1)
            @ np.linalg.inv(results['ori_cam_intrinsic']).T
        )
        rays[:, 0] *= -1 if mirrored else 1
        pixels = rays @ layout.intrinsic.T
        u, v = np.rint(pixels[:, 0]).astype(int), np.rint(pixels[:, 1]).astype(int)
        inside = (u >= 0) & (v >= 0) & (u < 320) & (v < 96)
        assert inside.mean() > 0.98
        rendered = layout.render('test', index)['gt_depth'][v[inside], u[inside]]
        assert np.isclose(rendered, depth[rows, columns][inside], rtol=1e-3).mean() > 0.99


@pytest.mark.parametrize(
    'value',
    [
        dict(left=np.zeros((HEIGHT, WIDTH))),
        [[np.zeros((HEIGHT, WIDTH))]],
        torch.zeros(2, HEIGHT, WIDTH, 5),
        np.zeros((2, 3, HEIGHT, WIDTH)),
        Image.new('L', (WIDTH, HEIGHT)),
    ],
    ids=['dict', 'lists', 'channels_last', 'channels_first', 'picture'],
)
def test_maps_are_found_wherever_they_are(value):
    with pytest.raises(ValueError, match=r"'views' of the image has shape .*as large as the image"):
        RandomFlip(prob=1.0)(full_sample() | dict(views=value))


@pytest.mark.parametrize(
    ('rules', 'words'),
    [
        (dict(extra='nearest'), 'it should be rules by key'),
        (dict(extra=dict(kind='nearest', size=3)), 'it should be rules by key'),
        (['extra'], 'it should be rules by key'),
        (dict(extra=dict(kind='vectors')), r"'vectors', which is an array \(H, W, 3\)"),
        (dict(extra=dict(kind='camera')), r"'camera', which is a matrix \(3, 3\)"),
        (dict(extra=dict(kind='image')), "'image', which is uint8.* but it is ndarray .* int64"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(rules, words):
    extra = np.ones((HEIGHT, WIDTH), np.int64)
    with pytest.raises(ValueError, match=f'^RandomFlip: .*{words}'):
        RandomFlip(prob=1.0)(full_sample() | dict(extra=extra, spatial_keys=rules))
