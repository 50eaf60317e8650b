"""Faults of pipelines: steps in the wrong order, sizes that do not fit, keys that no rule covers."""

import cv2
import numpy as np
import pytest

from depth.datasets import FolderDepthDataset
from depth.registry import TRANSFORMS

from .bench import Fault, check_fault

TRAIN = 'train {config} --work-dir {out}'
LOAD = (dict(type='LoadImage'), dict(type='LoadDepth'))
FLIP = dict(type='RandomFlip', prob=1.0)
CROP = dict(type='RandomCrop', crop_size=(32, 64))
PACK = dict(type='PackDepthInputs')
RESIZE_IMAGE = dict(type='Resize', scale=(32, 24), resize_depth=False)


def train_with(*steps):
    """Return a function that gives the bench's config another training pipeline."""

    def break_it(bench):
        with bench.config.open('a') as file:
            file.write(f"train_dataloader['dataset']['pipeline'] = {list(steps)!r}\n")

    return break_it


def run_pipeline(*steps, **extra):
    """Return a function that runs steps on the first training image with further keys in its sample."""

    def call(bench):
        def add_keys(results):
            return results | {key: make(bench) for key, make in extra.items()}

        pipeline = [add_keys, *(TRANSFORMS.build(dict(step)) for step in steps)]
        return FolderDepthDataset(data_root=str(bench.train), pipeline=pipeline)[0]

    return call


def save_array(name, array):
    """Return a function that saves an array on the bench."""
    return lambda bench: np.save(bench.train / name, array)


def nothing(bench):
    """Leave the bench as it is; the command itself is wrong."""


def refused_in_training(name, *steps, says):
    return Fault(
        name,
        train_with(*steps),
        TRAIN,
        says=says,
        writes=('out/**/*',),
        lacks=('Saving checkpoint',),
    )


def refused_in_python(name, *steps, says, break_it=nothing, **extra):
    return Fault(name, break_it, run_pipeline(*steps, **extra), says=says)


CASES = [
    refused_in_training(
        'depth_loaded_after_a_flip',
        LOAD[0],
        FLIP,
        LOAD[1],
        PACK,
        says=('LoadDepth', '{train}/images/', 'put LoadDepth in front of RandomFlip'),
    ),
    refused_in_training(
        'flip_in_front_of_the_loader',
        FLIP,
        *LOAD,
        PACK,
        says=('RandomFlip', '{train}/images/', 'is not loaded yet', 'behind LoadImage'),
    ),
    refused_in_training(
        'crop_after_a_resize_of_the_image_alone',
        *LOAD,
        RESIZE_IMAGE,
        dict(type='RandomCrop', crop_size=(16, 16)),
        PACK,
        says=('RandomCrop', '{train}/images/', '24x32', '48x64', 'resize_depth=True'),
    ),
    refused_in_training(
        'training_on_full_size_ground_truth',
        *LOAD,
        RESIZE_IMAGE,
        PACK,
        says=('{train}/images/', 'gt_depth is (48, 64)', '(24, 32)', 'resize_depth=True'),
    ),
    refused_in_python(
        'kb_crop_of_a_small_image',
        *LOAD,
        dict(type='KBCrop'),
        PACK,
        says=('{train}/images/', '48x64', '352x1216', 'without KBCrop'),
    ),
    refused_in_python(
        'nyu_crop_of_another_size',
        *LOAD,
        dict(type='NYUCrop'),
        PACK,
        says=('{train}/images/', '48x64', '480x640'),
    ),
    refused_in_training(
        'crop_of_no_rows',
        *LOAD,
        dict(type='RandomCrop', crop_size=(0, 64)),
        PACK,
        says=('RandomCrop.crop_size is (height, width)', 'at least 1', '(0, 64)'),
    ),
    refused_in_training(
        'scale_of_three_numbers',
        *LOAD,
        dict(type='Resize', scale=(64, 48, 3)),
        PACK,
        says=('Resize.scale is (width, height)', '(64, 48, 3)'),
    ),
    refused_in_training(
        'unknown_interpolation',
        *LOAD,
        dict(type='Resize', scale=(64, 48), interpolation='cubic'),
        PACK,
        says=('Resize.interpolation is one of bilinear, lanczos', "'cubic'"),
    ),
    refused_in_python(
        'pair_from_a_single_view',
        *LOAD,
        dict(type='PairFromScene'),
        PACK,
        says=('PairFromScene', 'no second view', 'stereo=True'),
    ),
    refused_in_training(
        'a_step_of_mmcv',
        *LOAD,
        dict(type='Pad', size=(64, 80)),
        PACK,
        says=("Pad is mmcv's", 'leave depth and camera behind', 'docs/customize.md'),
    ),
    refused_in_python(
        'mask_without_a_rule',
        *LOAD,
        FLIP,
        says=("RandomFlip: 'mask' of {train}/images/", '(48, 64)', "results['spatial_keys']"),
        mask=lambda bench: np.ones((48, 64), bool),
    ),
    refused_in_python(
        'channels_first_features_without_a_rule',
        *LOAD,
        CROP,
        says=("RandomCrop: 'features' of {train}/images/", '(8, 48, 64)', 'remove the key'),
        features=lambda bench: np.zeros((8, 48, 64), np.float32),
    ),
    refused_in_python(
        'rule_of_an_unknown_kind',
        *LOAD,
        FLIP,
        says=('SpatialRule: kind is one of image, nearest', "'bilinear'"),
        mask=lambda bench: np.ones((48, 64), bool),
        spatial_keys=lambda bench: dict(mask=dict(kind='bilinear')),
    ),
    refused_in_python(
        'crop_of_a_hint_of_another_size',
        LOAD[0],
        dict(type='LoadDepthHint'),
        CROP,
        says=(
            'RandomCrop: depth_hint of {train}/images/',
            '24x32',
            '48x64',
            'resize in front of RandomCrop',
        ),
        break_it=save_array('hint.npy', np.ones((1, 24, 32), np.float32)),
        depth_hint_path=lambda bench: str(bench.train / 'hint.npy'),
    ),
    refused_in_python(
        'hint_loaded_after_a_crop',
        LOAD[0],
        CROP,
        dict(type='LoadDepthHint'),
        says=('LoadDepthHint', '{train}/images/', 'put LoadDepthHint in front of RandomCrop'),
        depth_hint_path=lambda bench: str(bench.train / 'hint.npy'),
    ),
    refused_in_python(
        'other_view_of_another_size',
        *LOAD,
        FLIP,
        says=('RandomFlip: other_img of {train}/images/', '24x32, expected 48x64'),
        other_img=lambda bench: np.zeros((24, 32, 3), np.uint8),
    ),
    refused_in_python(
        'semantic_map_of_another_size',
        *LOAD,
        dict(type='Resize', scale=(32, 24)),
        says=('Resize: semantic of {train}/images/', '48x60, expected 48x64'),
        semantic=lambda bench: np.zeros((48, 60), np.uint8),
    ),
    refused_in_python(
        'right_view_rotated',
        *LOAD,
        dict(type='RandomRotate', prob=1.0),
        says=('RandomRotate: img_right of {train}/images/', 'PairFromScene, in front of it'),
        img_right=lambda bench: np.zeros((48, 64, 3), np.uint8),
    ),
    refused_in_python(
        'disparity_after_a_resize',
        LOAD[0],
        RESIZE_IMAGE,
        dict(type='LoadStereoDepth'),
        says=(
            'disparity {train}/disparity.npy is 48x64',
            '24x32',
            'LoadStereoDepth comes in front of Resize',
        ),
        break_it=save_array('disparity.npy', np.ones((48, 64), np.float32)),
        disparity_path=lambda bench: str(bench.train / 'disparity.npy'),
        depth_path=lambda bench: None,
    ),
    refused_in_python(
        'strip_of_ground_truth_of_another_size',
        *LOAD,
        RESIZE_IMAGE,
        dict(type='DepthStripMix', prob=1.0),
        says=('DepthStripMix: gt_depth is 48x64, the image 24x32', 'in front of a Resize'),
    ),
    refused_in_python(
        'ground_truth_that_a_foreign_step_cut',
        *LOAD,
        FLIP,
        dict(type='CutDepth'),
        PACK,
        says=('PackDepthInputs: gt_depth of {train}/images/', '44x64, expected 48x64 (ori_shape)'),
    ),
    refused_in_python(
        'laser_axis_unknown',
        LOAD[0],
        dict(type='LoadVelodyneDepth', depth_axis='z'),
        says=('LoadVelodyneDepth', "'camera' or 'forward'", "'z'"),
    ),
]


@pytest.fixture(scope='module', autouse=True)
def cut_depth():
    """Register a transform that cuts ground truth and forgets the image."""

    class CutDepth:
        def __call__(self, results):
            return results | dict(gt_depth=results['gt_depth'][:-4])

    TRANSFORMS.register_module('CutDepth', module=CutDepth)
    yield
    TRANSFORMS.module_dict.pop('CutDepth')


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)


def test_a_crop_larger_than_the_image_keeps_it_whole(bench):
    """A window that is larger is no fault: the image stays as it is along that axis."""
    packed = run_pipeline(*LOAD, dict(type='RandomCrop', crop_size=(500, 32)), PACK)(bench)
    assert packed['inputs'].shape == (3, 48, 32)


def test_a_pipeline_of_an_older_checkpoint_still_runs(bench):
    """The names of former versions, which the configs inside older checkpoints carry, stay understood."""
    steps = [dict(type='RandomFlipPair', prob=0.0), dict(type='CropPair', crop_size=(40, 60))]
    packed = run_pipeline(LOAD[0], *steps, dict(type='ResizePair', scale=(32, 24)), PACK)(bench)
    assert packed['inputs'].shape == (3, 24, 32)
    assert packed['data_samples'].ori_shape == (40, 60)


def test_a_resize_of_the_image_alone_does_not_fail_validation(bench):
    depth = cv2.imread(str(bench.train / 'depth' / '000.png'), cv2.IMREAD_UNCHANGED) / 1000
    packed = run_pipeline(*LOAD, RESIZE_IMAGE, FLIP, PACK)(bench)
    assert packed['data_samples'].ori_shape == (48, 64)
    assert np.allclose(packed['data_samples'].gt_depth, depth[:, ::-1], atol=1e-3)
