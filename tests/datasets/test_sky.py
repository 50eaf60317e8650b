"""Labels of the sky: reading them, and keeping them aligned with the image until they are packed."""

import cv2
import numpy as np
import pytest
import torch

from depth.datasets import SyntheticDataset
from depth.datasets.transforms import KBCrop, LoadSky, PackDepthInputs, RandomFlip, Resize
from depth.models.data_preprocessor import DepthDataPreprocessor

STORED = np.array([[65535, 300, 0], [65535, 0, 200]], np.uint16)


def results_of(tmp_path, stored, name='depth.png'):
    path = tmp_path / name
    assert cv2.imwrite(str(path), stored)
    image = np.zeros((2, 3, 3), np.uint8)
    return dict(img=image, img_path=str(tmp_path / 'image.jpg'), depth_path=str(path))


def test_the_sky_is_a_value_of_the_depth_map_or_a_mask(tmp_path):
    results = results_of(tmp_path, STORED)
    sky = LoadSky(value=65535).transform(dict(results))['gt_sky']
    assert sky.dtype == np.uint8
    assert sky.tolist() == [[1, 0, 0], [1, 0, 0]]
    results_of(tmp_path, np.array([[0, 255, 1], [0, 0, 0]], np.uint8), 'sky.png')
    mask = LoadSky(replace={'image': 'sky', '.jpg': '.png'})
    assert mask.transform(dict(results))['gt_sky'].tolist() == [[0, 1, 1], [0, 0, 0]]


def test_what_does_not_fit_is_named(tmp_path):
    with pytest.raises(ValueError, match='give value, which'):
        LoadSky()
    results = results_of(tmp_path, STORED[:, :2])
    with pytest.raises(ValueError, match=r'depth\.png has shape \(2, 2\)'):
        LoadSky(value=65535).transform(dict(results))
    with pytest.raises(FileNotFoundError, match=r'none\.png does not exist'):
        LoadSky(replace={'image.jpg': 'none.png'}).transform(dict(results))
    with pytest.raises(ValueError, match='put LoadSky in front of RandomFlip'):
        LoadSky(value=1).transform(dict(results, moved_by='RandomFlip'))


def test_labels_follow_the_image_and_are_packed():
    pipeline = [
        RandomFlip(prob=1.0),
        KBCrop(height=40, width=72),
        Resize(scale=(36, 20)),
        PackDepthInputs(with_sky=True, with_planes=True),
    ]
    for world, field in (('streets', 'gt_sky'), ('rooms', 'gt_planes')):
        plain = SyntheticDataset(world, image_size=(48, 80), pipeline=[])[1][field]
        sample = SyntheticDataset(world, image_size=(48, 80), pipeline=pipeline)[1]
        labels = sample['data_samples'].get(field)
        expected = plain[:, ::-1][8:, 4:76]
        assert labels.dtype == torch.uint8 and labels.shape == (20, 36)
        nearest = cv2.resize(expected, (36, 20), interpolation=cv2.INTER_NEAREST_EXACT)
        assert (labels.numpy() == nearest).mean() > 0.97  # at ties the nearest pixel is a choice
        # The batch pads labels as it pads the image, without any.
        batch = dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        padded = DepthDataPreprocessor(pad_size_divisor=32)(batch, training=True)['data_samples'][0]
        assert padded.get(field).shape == (32, 64)
        assert not padded.get(field)[20:].any() and not padded.get(field)[:, 36:].any()
    without = SyntheticDataset('rooms', image_size=(48, 80), pipeline=[PackDepthInputs()])[1]
    assert 'gt_sky' not in without['data_samples'] and 'gt_planes' not in without['data_samples']
