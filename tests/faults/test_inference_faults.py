"""Faults of images, cameras and outputs in inference, and of every tool's output on a full disk."""

import errno
import json
import os
import shutil
import subprocess
import sys

import cv2
import numpy as np
import pytest

from depth.apis import DepthInferencer

from .bench import Fault, check_fault

INFER = 'infer {images} --checkpoint {checkpoint} --out-dir {out} --device cpu'
REPORT = 'out/report.json'


def write_camera(**changes):
    """Return what puts an ``intrinsics.json`` beside the images."""
    camera = dict(fx=60, fy=60, cx=32, cy=24) | changes
    return lambda bench: (bench.root / 'intrinsics.json').write_text(json.dumps(camera))


def put(relative_path, content=b'not yours'):
    """Return what writes a file below the bench."""

    def write(bench):
        path = bench.root / relative_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    return write


def nothing(bench):
    pass


def infer_in_python(**options):
    """Return a call of the Python API."""
    return lambda bench: DepthInferencer(bench.checkpoint, device='cpu')(
        bench.images, out_dir=bench.out, **options
    )


CASES = [
    Fault(
        'checkpoint_missing',
        lambda bench: bench.checkpoint.unlink(),
        INFER,
        says=('{checkpoint} does not exist',),
    ),
    Fault(
        'image_truncated',
        lambda bench: (bench.images / '000.png').write_bytes(
            (bench.images / '000.png').read_bytes()[:200]
        ),
        INFER,
        says=('{images}/000.png', '1 images done'),
        writes=('out/**/001*', REPORT),
    ),
    Fault(
        'image_of_one_row',
        lambda bench: cv2.imwrite(str(bench.images / '002.png'), np.zeros((1, 3000, 3), np.uint8)),
        INFER,
        code=0,
        says=('3 images done',),
        writes=('out/**/*',),
    ),
    Fault(
        'image_is_text',
        put('images/000.png', b'no image'),
        INFER,
        says=('{images}/000.png', 'not an image', '1 images done'),
        writes=('out/**/001*', REPORT),
    ),
    Fault(
        'image_is_a_link_to_itself',
        lambda bench: (bench.images / '002.png').symlink_to('002.png'),
        INFER,
        says=('{images}/002.png', '2 images done'),
        writes=('out/**/00[01]*', REPORT),
    ),
    Fault(
        'focal_length_is_a_large_negative_number',
        nothing,
        f'{INFER} --intrinsics -1e9 60 32 24',
        says=('--intrinsics: fx is -1e+09', 'above 0'),
    ),
    Fault(
        'focal_length_0',
        nothing,
        f'{INFER} --intrinsics 0 60 32 24',
        says=('--intrinsics: fx is 0',),
    ),
    Fault(
        'focal_length_negative',
        nothing,
        f'{INFER} --intrinsics 60 -60 32 24',
        says=('--intrinsics: fy is -60',),
    ),
    Fault(
        'principal_point_nan',
        nothing,
        f'{INFER} --intrinsics 60 60 nan 24',
        says=('--intrinsics: cx is nan',),
    ),
    Fault(
        'intrinsics_of_text',
        nothing,
        f'{INFER} --intrinsics 60 wide 32 24',
        code=2,
        says=('--intrinsics', "'wide'"),
    ),
    Fault(
        'intrinsics_of_three_numbers',
        nothing,
        infer_in_python(intrinsics=(60, 60, 32)),
        says=('--intrinsics takes four numbers, fx fy cx cy, got 3',),
    ),
    Fault(
        'camera_said_twice',
        nothing,
        infer_in_python(intrinsics=(60, 60, 32, 24), fov=60),
        says=('give one of',),
    ),
    Fault(
        'fov_180',
        nothing,
        f'{INFER} --fov 180',
        says=('--fov is an angle between 0 and 180 degrees, got 180',),
    ),
    Fault(
        'fov_nan',
        nothing,
        f'{INFER} --fov nan',
        says=('--fov is an angle between 0 and 180 degrees, got nan',),
    ),
    Fault('file_focal_length_0', write_camera(fx=0), INFER, says=('intrinsics.json: fx is 0',)),
    Fault(
        'file_focal_length_nan',
        write_camera(fy=float('nan')),
        INFER,
        says=('intrinsics.json: fy is nan',),
    ),
    Fault(
        'file_principal_point_text',
        write_camera(cx='left'),
        INFER,
        says=("intrinsics.json: cx is 'left'",),
    ),
    Fault(
        'file_cut_off',
        put('intrinsics.json', b'{"fx": 6'),
        INFER,
        says=('intrinsics.json cannot be read as JSON',),
    ),
    Fault(
        'principal_point_far_outside',
        nothing,
        f'{INFER} --intrinsics 60 60 640 24',
        says=(
            '--intrinsics: cx is 640 pixels, far outside of an image of 64x48',
            '{images}/001.png',
        ),
        writes=(REPORT,),
    ),
    Fault(
        'default_intrinsics_negative',
        nothing,
        f'{INFER} --cfg-options default_intrinsics=[[-60,0,32],[0,60,24],[0,0,1]]',
        says=('default_intrinsics of the config: fx is -60',),
    ),
    Fault(
        'out_dir_is_a_file', put('out'), INFER, says=('--out-dir {out} is a file; name a folder',)
    ),
    Fault(
        'depth_of_somebody_else_in_the_way',
        put('out/depth/001.png'),
        INFER,
        says=(
            '{out}/depth/001.png exists and was not written by inference',
            'choose another --out-dir',
        ),
    ),
    Fault(
        'report_of_something_else_in_the_way',
        put(REPORT, b'{"abs_rel": 0.1}'),
        INFER,
        says=('{out}/report.json is no report of inference', 'choose another --out-dir'),
    ),
    Fault(
        'images_in_the_folder_of_results',
        lambda bench: bench.images.rename(bench.root / 'depth'),
        'infer {root}/depth --checkpoint {checkpoint} --out-dir {root} --device cpu',
        says=('results of inference', 'name the images'),
    ),
    Fault(
        'no_image',
        lambda bench: (bench.root / 'none').mkdir(),
        INFER.replace('{images}', '{root}/none'),
        says=('names no image',),
    ),
    Fault(
        'out_dir_among_the_images',
        lambda bench: bench.call(INFER.replace('{out}', '{images}/out')),
        INFER.replace('{out}', '{images}/out'),
        code=0,
        says=('2 images done', '6 images below {images}/out were left out'),
        writes=('images/out/report.json',),
    ),
    Fault(
        'name_too_long_for_its_side_car',
        lambda bench: shutil.copy(bench.images / '000.png', bench.images / f'{"x" * 251}.png'),
        INFER,
        says=(f'out/depth/{"x" * 251}.json could not be written', 'too long', '2 images done'),
        writes=('out/**/*',),
    ),
    Fault(
        'inputs_of_another_kind',
        nothing,
        lambda bench: DepthInferencer(bench.checkpoint, device='cpu')(None),
        says=('inputs are paths, folders, globs', 'got a NoneType'),
    ),
    Fault(
        'two_images_of_one_prediction_name',
        nothing,
        lambda bench: test_into(bench, ['/x/1/2/3/4/5/a.png', '/y/1/2/3/4/5/a.png']),
        says=('would be the prediction of both', '/x/1/2/3/4/5/a.png', '/y/1/2/3/4/5/a.png'),
        writes=('out/*',),
    ),
]


def test_into(bench, paths):
    """Write predictions of images of these paths with the hook of ``tools/test.py --out``."""
    import torch

    from depth.engine.hooks.prediction_writer_hook import PredictionWriterHook
    from depth.structures import DepthDataSample

    hook = PredictionWriterHook(str(bench.out))
    hook.before_test_epoch(None)
    for path in paths:
        sample = DepthDataSample(metainfo=dict(img_path=path))
        sample.pred_depth = torch.ones(4, 4)
        hook.after_test_iter(None, 0, None, [sample])


test_into.__test__ = False


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)


TEST = 'test {config} {checkpoint} --work-dir {root}/tested --out {out}'
SCORE = 'score {root}/predictions --dataset-config {config} --out {root}/score.json'
PACK = 'dataset_converters/pack {config} --out {root}/pack'
FULL_DISK = [
    # Which sync of a file fails: 0 is the report before the first image; each depth PNG has its
    # side-car.
    ('infer_report', INFER, 0, 'out/report.json', ()),
    ('infer_depth', INFER, 1, 'out/depth/000.json', (REPORT,)),
    ('infer_array', INFER, 3, 'out/npy/000.npy', (REPORT, 'out/depth/000.*')),
    ('test_out', TEST, 0, '', ('tested/**/*',)),
    # The logger of the test before, in the same process, goes on with its file.
    ('score_out', SCORE, 2, 'score.json', ('score.*.json', 'tested/**/*.log')),
    ('score_protocol', SCORE, 0, 'score.protocol.json', ('tested/**/*.log',)),
    ('pack', PACK, 0, 'pack.part/', ()),
]


@pytest.mark.parametrize(
    ('name', 'command', 'number', 'relative_path', 'writes'),
    FULL_DISK,
    ids=lambda value: str(value)[:12],
)
def test_a_full_disk_is_named_and_leaves_nothing_half_written(
    bench, monkeypatch, name, command, number, relative_path, writes
):
    if name == 'pack':
        pytest.importorskip('zstandard')
    if name.startswith('score'):
        bench.call('test {config} {checkpoint} --work-dir {root}/tested --out {root}/predictions')
    synced, sync = [], os.fsync

    def full(file):
        synced.append(file)
        if number < len(synced) <= number + 1:
            raise OSError(errno.ENOSPC, 'No space left on device')
        sync(file)

    monkeypatch.setattr(os, 'fsync', full)
    says = (
        relative_path,
        'could not be written: No space left on device',
        'MB free on the disk of',
    )
    check_fault(bench, Fault(name, nothing, command, says=says, writes=writes))


def test_what_a_killed_inference_left_is_removed_and_done_again(bench):
    outcome = bench.call(INFER)
    assert outcome.code == 0, outcome.text
    ended = subprocess.run(
        [sys.executable, '-c', 'import os; print(os.getpid())'], capture_output=True, text=True
    )
    (bench.out / f'depth/.001.png.{ended.stdout.strip()}.tmp').write_bytes(b'half')
    for kind in ('npy', 'color', 'panel'):
        next((bench.out / kind).glob('001*')).unlink()
    outcome = bench.call(INFER)
    assert '2 images done' in outcome.text
    assert not list(bench.out.rglob('*.tmp'))
    assert len(list((bench.out / 'npy').iterdir())) == 2
