"""Faults of predictions, ground truth and outputs in scoring."""

import errno
import functools
import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from depth.apis import score_predictions
from depth.evaluation import DepthMetric

from .bench import Bench, Fault, check_fault

SCORE = 'score {root}/predictions --dataset-config {config} --protocol folder --out {root}/scores/a.json'
ARCHIVE = (
    'score {root}/all.npz --dataset-config {config} --protocol folder --out {root}/scores/a.json'
)


def write_predictions(bench: Bench, change=lambda depth: depth, suffix='.npy') -> None:
    """Write the true depth of both test images, changed, as one file each."""
    folder = bench.root / 'predictions'
    folder.mkdir()
    for path in sorted((bench.val / 'depth').glob('*.png')):
        depth = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        stored = change(depth)
        if suffix == '.png':
            cv2.imwrite(str(folder / f'{path.stem}.png'), stored)
        elif suffix == '.npz':
            np.savez(folder / f'{path.stem}.npz', stored)
        else:
            np.save(folder / f'{path.stem}.npy', stored)


def with_predictions(break_it, suffix='.npy', change=lambda depth: depth):
    """Return a function that writes good predictions and then damages something."""

    def damage(bench: Bench) -> None:
        write_predictions(bench, change, suffix)
        break_it(bench)

    return damage


def changed(change, suffix='.npy'):
    """Return a function that writes predictions that are wrong as a whole."""
    return functools.partial(write_predictions, change=change, suffix=suffix)


def put(depth: np.ndarray, value: float) -> np.ndarray:
    """Set a part of a map."""
    depth = depth.copy()
    depth[30:34, 10:20] = value  # inside every crop
    return depth


def halve(path) -> None:
    """Cut a file off."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def rot(path) -> None:
    """Change a byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def add_line(bench: Bench, text: str) -> None:
    """Add to the config."""
    bench.config.write_text(bench.config.read_text() + text + '\n')


def use_split_file(bench: Bench, content: bytes) -> None:
    """Make the test set one that reads a split file."""
    (bench.root / 'list.txt').write_bytes(content)
    dataset = f"dict(_delete_=True, type='NYUDataset', data_root='{bench.root}', ann_file='list.txt', pipeline=[])"
    add_line(bench, f'test_dataloader = dict(num_workers=0, dataset={dataset})')


def crop_the_test_images(bench: Bench) -> None:
    """Put a crop into the test pipeline."""
    crop = dict(type='RandomCrop', crop_size=(32, 48))
    steps = [dict(type='LoadImage'), dict(type='LoadDepth'), crop, dict(type='PackDepthInputs')]
    dataset = dict(data_root=str(bench.val), pipeline=steps)
    add_line(bench, f'test_dataloader = dict(num_workers=0, dataset={dataset})')


def write_archive(bench: Bench, content: bytes) -> None:
    """Write one file for all predictions."""
    (bench.root / 'all.npz').write_bytes(content)


CASES = [
    Fault(
        'prediction_missing',
        with_predictions(lambda bench: (bench.root / 'predictions/001.npy').unlink()),
        SCORE,
        says=('1 of 2 images have no prediction: {val}/images/001.png', '--force'),
    ),
    Fault(
        'prediction_cut_off',
        with_predictions(lambda bench: halve(bench.root / 'predictions/001.npy')),
        SCORE,
        says=('{root}/predictions/001.npy cannot be read', 'save it again'),
    ),
    Fault(
        'prediction_empty',
        with_predictions(lambda bench: (bench.root / 'predictions/000.npy').write_bytes(b'')),
        SCORE,
        says=('{root}/predictions/000.npy cannot be read', 'save it again'),
    ),
    Fault(
        'prediction_npz_cut_off',
        with_predictions(lambda bench: halve(bench.root / 'predictions/000.npz'), suffix='.npz'),
        SCORE,
        says=('{root}/predictions/000.npz cannot be read', 'save it again'),
    ),
    Fault(
        'prediction_png_rotten',
        with_predictions(
            lambda bench: rot(bench.root / 'predictions/001.png'),
            '.png',
            lambda depth: (depth * 1000).astype(np.uint16),
        ),
        SCORE + ' --depth-scale 1000',
        says=('{root}/predictions/001.png cannot be decoded', 'checksum', 'write it again'),
    ),
    Fault(
        'prediction_integers_without_scale',
        changed(lambda depth: (depth * 1000).astype(np.int32)),
        SCORE,
        says=('{root}/predictions/000.npy holds integers', '000.json', '--depth-scale'),
    ),
    Fault(
        'prediction_complex',
        changed(lambda depth: depth.astype(np.complex64)),
        SCORE,
        says=('{root}/predictions/000.npy holds values of type complex64', 'save float32'),
    ),
    Fault(
        'prediction_texts',
        changed(lambda depth: depth.astype('U5')),
        SCORE,
        says=('{root}/predictions/000.npy holds values of type <U5', 'save float32'),
    ),
    Fault(
        'prediction_objects',
        changed(lambda depth: depth.astype(object)),
        SCORE,
        says=(
            '{root}/predictions/000.npy cannot be read',
            'Python objects, which are never loaded',
        ),
    ),
    Fault(
        'prediction_in_decimetres',
        changed(lambda depth: depth * 10),
        SCORE,
        says=('10 times the ground truth', 'near 10', '--depth-scale'),
    ),
    Fault(
        'prediction_in_centimetres',
        changed(lambda depth: depth * 100),
        SCORE,
        says=('100 times the ground truth', 'near 100', '--depth-scale'),
    ),
    Fault(
        'prediction_negative',
        changed(lambda depth: put(depth, -1.0)),
        SCORE,
        says=(
            '{val}/images/000.png: 40 of 3072 scored predictions are not finite and positive under '
            'folder',
        ),
    ),
    Fault(
        'prediction_not_finite',
        changed(lambda depth: put(depth, np.nan)),
        SCORE + ' --all-protocols',
        says=(
            '{val}/images/000.png: 40 of 3072 scored predictions are not finite and positive under '
            'folder',
        ),
    ),
    Fault(
        'prediction_zero_under_a_clamp',
        changed(lambda depth: put(depth, 0.0)),
        SCORE.replace('folder', 'zoedepth_diml_outdoor'),
        says=('000.png', 'not finite and positive under zoedepth_diml_outdoor'),
    ),
    Fault(
        'archive_cut_off',
        lambda bench: write_archive(bench, b'PK\x03\x04 nothing more'),
        ARCHIVE,
        says=('{root}/all.npz cannot be read', 'save it again'),
    ),
    Fault(
        'side_car_binary',
        with_predictions(
            lambda bench: (bench.root / 'predictions/000.json').write_bytes(b'\xff\xfe\x00'),
            '.png',
            lambda depth: (depth * 1000).astype(np.uint16),
        ),
        SCORE,
        says=('{root}/predictions/000.json should be {{"depth_scale": ...}}',),
    ),
    Fault(
        'split_file_binary',
        with_predictions(lambda bench: use_split_file(bench, bytes(range(256)))),
        SCORE,
        says=('split file {root}/list.txt is no text', 'was another file named?'),
    ),
    Fault(
        'focal_length_is_a_word',
        with_predictions(
            lambda bench: (bench.val / 'intrinsics.json').write_text(
                json.dumps(dict(fx='abc', fy=1, cx=1, cy=1))
            )
        ),
        SCORE,
        says=('{val}/intrinsics.json', 'fx', "'abc'"),
    ),
    Fault(
        'view_of_another_protocol',
        with_predictions(lambda bench: None),
        SCORE.replace('folder', 'kitti_eigen_garg_80'),
        says=('000.png', 'protocol kitti_eigen_garg_80 scores the KB crop', '--view any'),
    ),
    Fault(
        'full_frames_that_were_cropped',
        with_predictions(crop_the_test_images, change=lambda depth: depth[:32, :48]),
        SCORE.replace('folder', 'monodepth2_improved_median'),
        says=('000.png', 'rows ', 'protocol monodepth2_improved_median scores full frames'),
    ),
    Fault(
        'scale_of_nothing',
        with_predictions(lambda bench: None),
        SCORE + ' --depth-scale nan',
        says=('depth_scale must be above 0 and finite, got nan',),
    ),
    Fault(
        'output_is_a_folder',
        with_predictions(lambda bench: (bench.root / 'scores/a.json').mkdir(parents=True)),
        SCORE,
        says=('{root}/scores/a.json could not be written', 'free on the disk'),
        writes=('scores/a.*.json',),
    ),
]


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)


def no_space(*arguments):
    raise OSError(errno.ENOSPC, 'No space left on device')


FULL_DISK = {
    'score': Fault(
        'full_disk_when_scores_are_written',
        with_predictions(lambda bench: None),
        SCORE,
        says=(
            '{root}/scores/a.protocol.json could not be written: No space left on device',
            'MB free on the disk',
        ),
    ),
    'test': Fault(
        'full_disk_when_a_protocol_is_written',
        lambda bench: None,
        'test {config} {checkpoint} --work-dir {out}',
        says=('protocol.json could not be written: No space left on device', 'MB free on the disk'),
        writes=('out/**/*',),
    ),
}


@pytest.mark.parametrize('fault', FULL_DISK.values(), ids=FULL_DISK)
def test_a_full_disk_leaves_the_file_that_was_there(bench, monkeypatch, fault):
    replace = os.replace

    def replace_unless_protocol(temporary, path):
        # The config of the test is written before; the disk is full when the protocol comes.
        if 'protocol' in Path(path).name:
            no_space()
        replace(temporary, path)

    monkeypatch.setattr(os, 'replace', replace_unless_protocol)
    check_fault(bench, fault)
    assert not list(bench.root.rglob('protocol*.json'))
    assert not list(bench.root.rglob('.*.tmp'))


def test_scores_that_cannot_be_replaced_stay(bench, monkeypatch):
    write_predictions(bench)
    assert bench.call(SCORE).code == 0
    before = bench.files()
    monkeypatch.setattr(os, 'fsync', no_space)
    assert bench.call(SCORE).code == 1
    assert bench.files() == before


def test_forced_scores_say_what_is_odd(bench):
    write_predictions(bench, lambda depth: depth * 10)
    outcome = bench.call(SCORE + ' --force')
    assert outcome.code == 0
    assert 'near 10' in outcome.text
    metrics = json.loads((bench.root / 'scores/a.json').read_text(), parse_constant=pytest.fail)
    assert metrics['abs_rel'] == pytest.approx(9, rel=1e-3)


def test_a_prediction_that_fits_is_scored(bench):
    """The table's commands answer 0 where nothing is wrong, so that each case fails for its own reason."""
    write_predictions(bench)
    outcome = bench.call(SCORE + ' --all-protocols')
    assert outcome.code == 0, outcome.text
    names = {path.name for path in (bench.root / 'scores').iterdir()}
    assert names == {'a.json', 'a.protocol.json', 'a.per_image.json'}
    score = score_predictions(
        bench.root / 'predictions', str(bench.config), protocol='folder', report=pytest.fail
    )
    assert isinstance(score.metric, DepthMetric)
    assert score.metrics['abs_rel'] == pytest.approx(0, abs=1e-6)
