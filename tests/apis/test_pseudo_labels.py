"""Pseudo-labels: written by a teacher, resumed, and read as a data set."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from depth.apis.pseudo_labels import PseudoLabeler, flip_agreement
from depth.datasets import PseudoLabelDataset
from depth.models.data_preprocessor import DepthDataPreprocessor
from depth.models.estimators import DepthEstimator

PIPELINE = [dict(type='LoadImage'), dict(type='LoadDepth'), dict(type='PackDepthInputs')]


class BrightnessTeacher(DepthEstimator):
    """Depth in metres is the red channel / 20 plus a slope over columns."""

    def __init__(self, prediction_type='metric', slope=0.0):
        nn.Module.__init__(self)
        self.data_preprocessor = DepthDataPreprocessor(mean=(0, 0, 0), std=(1, 1, 1))
        self.decode_head = nn.Module()
        self.decode_head.min_depth, self.decode_head.max_depth = 1e-3, 10.0
        self.canonical_camera = None
        self.prediction_type, self.slope = prediction_type, slope
        self.test_cfg = dict(mode='whole', flip=False)
        self.cfg = Config(dict(model=dict(type='DepthEstimator')))
        self.source = 'brightness'
        self.calls = 0

    def predict_depth(self, inputs, data_samples=None):
        self.calls += 1
        columns = torch.linspace(0, self.slope, inputs.shape[-1])
        return (inputs[:, :1] / 20 + columns).clamp(1e-3, 10)

    def predict_maps(self, inputs, data_samples=None):
        return dict(depth=self.predict_depth(inputs))


@pytest.fixture
def images(tmp_path):
    """Three images, one of them in a sub-folder; red is 0 to 255."""
    folder = tmp_path / 'images'
    for index, name in enumerate(('a.png', 'b.png', 'sub/a.png')):
        red = np.random.RandomState(index).randint(20, 256, (12, 16))
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.stack([0 * red, 0 * red, red], axis=2).astype(np.uint8))
    return folder


def red_of(path):
    return cv2.imread(str(path))[..., 2].astype(np.float32)


def samples_of(labels, **options):
    dataset = PseudoLabelDataset(str(labels), pipeline=PIPELINE, **options)
    return {
        item['data_samples'].img_path: item['data_samples']
        for item in map(dataset.__getitem__, range(len(dataset)))
    }


def test_metric_labels_are_the_teachers_depth_inside_of_its_range(images, tmp_path):
    result = PseudoLabeler(BrightnessTeacher(), tmp_path / 'labels').label(images)
    assert result == dict(labelled=3, already_labelled=0, errors={})
    manifest = json.loads((tmp_path / 'labels/pseudo_labels.json').read_text())
    assert manifest['teacher']['checkpoint'] == 'brightness'
    assert (manifest['min_depth'], manifest['max_depth'], manifest['label_type']) == (
        1e-3,
        10.0,
        'metric',
    )
    dataset = PseudoLabelDataset(str(tmp_path / 'labels'), pipeline=PIPELINE)
    assert dataset.metainfo['max_depth'] == 10.0
    samples = samples_of(tmp_path / 'labels')
    assert len(samples) == 3
    for path, sample in samples.items():
        expected = red_of(path) / 20
        expected[expected >= 10] = 0  # the teacher only says "at least"
        assert np.allclose(sample.gt_depth.numpy(), expected, atol=6e-4)  # stored as millimetres
        assert (expected == 0).any()


def test_a_stopped_run_goes_on_where_it_was(images, tmp_path):
    teacher = BrightnessTeacher()

    def stop_after_one(pending):
        yield pending[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        PseudoLabeler(teacher, tmp_path / 'labels').label(images, stop_after_one)
    with pytest.raises(ValueError, match='2 of 3 images'):
        PseudoLabelDataset(str(tmp_path / 'labels'), pipeline=PIPELINE)
    first = next((tmp_path / 'labels/depth').rglob('*.png'))
    written = first.stat().st_mtime_ns
    (tmp_path / 'labels/depth/.b.png.999999999.tmp').write_bytes(b'cut')
    result = PseudoLabeler(teacher, tmp_path / 'labels').label(images)
    assert result == dict(labelled=2, already_labelled=1, errors={})
    assert teacher.calls == 2 * 3  # image and mirror image
    assert first.stat().st_mtime_ns == written
    assert not list(tmp_path.rglob('*.tmp'))
    assert len(samples_of(tmp_path / 'labels')) == 3


def test_labels_of_another_teacher_are_not_mixed(images, tmp_path):
    PseudoLabeler(BrightnessTeacher(), tmp_path / 'labels').label(images)
    other = BrightnessTeacher()
    other.source = 'another'
    with pytest.raises(ValueError, match='another teacher'):
        PseudoLabeler(other, tmp_path / 'labels').label(images)
    with pytest.raises(ValueError, match='another confidence'):
        PseudoLabeler(BrightnessTeacher(), tmp_path / 'labels', 'none').label(images)


def test_where_the_mirror_image_disagrees_there_is_no_label(images, tmp_path):
    """The slope adds up to 4 m at the right; its mirror image at the left, so the middle agrees."""
    PseudoLabeler(BrightnessTeacher(slope=4.0), tmp_path / 'labels').label(images)
    strict = samples_of(tmp_path / 'labels', min_confidence=0.9)
    lenient = samples_of(tmp_path / 'labels', min_confidence=0.0)
    for path, sample in strict.items():
        columns = np.linspace(0, 4, 16)
        values = red_of(path) / 20 + columns
        mirrored = red_of(path) / 20 + columns[::-1]
        agreement = np.minimum(values, mirrored.clip(max=10)) / np.maximum(
            values, mirrored.clip(max=10)
        )
        inside = values < 9.99
        assert np.array_equal(lenient[path].gt_depth.numpy() > 0, values < 10)
        clear = inside & (np.abs(agreement - 0.9) > 0.01)  # 8 bits of confidence
        assert np.array_equal((sample.gt_depth.numpy() > 0)[clear], (agreement > 0.9)[clear])


def test_a_relative_teacher_gives_relative_labels(images, tmp_path):
    PseudoLabeler(BrightnessTeacher('affine_invariant_disparity'), tmp_path / 'labels').label(
        images
    )
    for path, sample in samples_of(tmp_path / 'labels').items():
        labels, red = sample.gt_relative_inverse_depth.numpy(), red_of(path).clip(max=200)
        assert not sample.gt_depth.any()
        assert np.allclose(labels, 0.01 + 0.99 * (red - red.min()) / np.ptp(red), atol=2e-5)


def test_an_unreadable_image_does_not_stop_the_others(images, tmp_path):
    (images / 'broken.png').write_bytes(b'no image')
    result = PseudoLabeler(BrightnessTeacher(), tmp_path / 'labels').label(images)
    assert result['labelled'] == 3
    assert list(result['errors']) == [str(images / 'broken.png')]


def test_the_range_of_the_teacher_is_known(images, tmp_path):
    PseudoLabeler(BrightnessTeacher(), tmp_path / 'labels', 'none').label(images)
    with pytest.raises(ValueError, match='predicts up to 10 m'):
        PseudoLabelDataset(str(tmp_path / 'labels'), max_depth=80.0)
    assert PseudoLabelDataset(str(tmp_path / 'labels'), max_depth=5.0).max_depth == 5.0
    with pytest.raises(FileNotFoundError, match=r'tools/pseudo_label\.py'):
        PseudoLabelDataset(str(images))
    (images / 'pseudo_labels.json').write_text('{}')
    with pytest.raises(ValueError, match='no manifest'):
        PseudoLabelDataset(str(images))


def test_agreement_is_a_ratio_where_the_quantity_has_a_zero():
    values, mirrored = np.array([[2.0, 4.0, 8.0]]), np.array([[2.0, 5.0, 4.0]])
    valid = np.ones((1, 3), bool)
    assert flip_agreement(values, mirrored, valid, True) == pytest.approx(np.array([[1, 0.8, 0.5]]))
    expected = np.array([[1, 5 / 6, 1 / 3]])
    assert flip_agreement(values, mirrored, valid, False) == pytest.approx(expected)
    assert not flip_agreement(values, mirrored, ~valid, True).any()
