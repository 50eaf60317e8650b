"""Faults of training data, packs and what the data doctor says of them."""

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from depth.data_tools.pack_writer import write_pack
from depth.datasets import FolderDepthDataset, NYUDataset
from depth.datasets.packs import read_index

from .bench import Fault, check_fault

TRAIN = 'train {config} --work-dir {root}/new'
CHECK = 'analysis_tools/check_dataset {config}'
WRITES = ('new/**/*',)


def depth(bench, number=1):
    return bench.train / 'depth' / f'{number:03d}.png'


def image(bench, number=1):
    return bench.train / 'images' / f'{number:03d}.png'


def rewrite(path, change):
    cv2.imwrite(str(path), change(cv2.imread(str(path), cv2.IMREAD_UNCHANGED)))


def every_depth(change):
    def break_it(bench):
        for path in sorted((bench.train / 'depth').iterdir()):
            rewrite(path, change)

    return break_it


def cut(path):
    path.write_bytes(path.read_bytes()[:200])


def damaged_jpeg(path):
    """Replace a PNG by a JPEG file whose second half is missing, with a right end mark."""
    content = cv2.imencode('.jpg', cv2.imread(str(path)))[1].tobytes()
    path.unlink()
    path.with_suffix('.jpg').write_bytes(content[: len(content) // 2] + b'\xff\xd9')


def damaged_jpegs(bench):
    for path in sorted((bench.train / 'images').iterdir()):
        damaged_jpeg(path)


def rotated_jpeg(bench):
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(image(bench)) as picture:
        picture.save(image(bench).with_suffix('.jpg'), exif=exif, quality=95)
    image(bench).unlink()


def write_list(bench, text):
    """Make the training set an NYU list of this text over the bench's frames."""
    (bench.train / 'list.txt').write_text(text)
    dataset = f"type='NYUDataset', ann_file='list.txt', data_root='{bench.train}'"
    with bench.config.open('a') as file:
        file.write(
            f"train_dataloader['dataset'] = dict(_delete_=True, {dataset}, "
            'pipeline=train_pipeline)\n'
        )


def write_train_pack(bench):
    """Pack a training list of frames, and write a test list of other ones beside it."""
    (bench.train / 'nyu_train.txt').write_text('images/000.png depth/000.png 518\n')
    (bench.train / 'nyu_test.txt').write_text('images/001.png depth/001.png 518\n')
    write_pack(
        NYUDataset(data_root=str(bench.train), ann_file='nyu_train.txt'), bench.root / 'pack'
    )


def train_pack_under_test_list(bench):
    return NYUDataset(
        data_root=str(bench.train), ann_file='nyu_test.txt', pack=str(bench.root / 'pack')
    )


def write_folder_pack(bench):
    write_pack(FolderDepthDataset(str(bench.train)), bench.root / 'pack')


def damage_pack(bench):
    write_folder_pack(bench)
    path = bench.root / 'pack' / 'shard-0000.bin'
    path.write_bytes(bytes(path.stat().st_size))


def cut_pack(bench):
    write_folder_pack(bench)
    path = bench.root / 'pack' / 'shard-0000.bin'
    path.write_bytes(path.read_bytes()[:-10])


def old_pack(bench):
    write_folder_pack(bench)
    index = read_index(bench.root / 'pack')
    (bench.root / 'pack' / 'index.json').write_text(json.dumps(index | dict(format=1)))


PACKED = f'{TRAIN} --cfg-options train_dataloader.dataset.pack={{root}}/pack'

CASES = [
    Fault(
        'depth_map_missing',
        lambda bench: depth(bench).unlink(),
        TRAIN,
        says=('1 of 6 images', '{train}/depth', 'the first: 001.png'),
        writes=WRITES,
    ),
    Fault(
        'depth_folder_missing',
        lambda bench: shutil.rmtree(bench.train / 'depth'),
        TRAIN,
        says=('{train}/depth does not exist',),
        writes=WRITES,
    ),
    Fault(
        'image_folder_empty',
        lambda bench: [path.unlink() for path in (bench.train / 'images').iterdir()],
        TRAIN,
        says=('{train}/images holds no image',),
        writes=WRITES,
    ),
    Fault(
        'root_missing',
        lambda bench: shutil.rmtree(bench.train),
        TRAIN,
        says=('{train} does not exist',),
        writes=WRITES,
    ),
    Fault(
        'depth_of_another_size',
        every_depth(lambda stored: stored[::2, ::2]),
        TRAIN,
        says=('{train}/depth/', 'has size 32x24', '64x48', 'must be equal'),
        writes=WRITES,
    ),
    Fault(
        'depth_of_8_bits',
        every_depth(lambda stored: (stored // 40).astype(np.uint8)),
        TRAIN,
        says=('{train}/depth/', 'has 8 bits', '16-bit PNG is needed'),
        writes=WRITES,
    ),
    Fault(
        'depth_cut_off',
        lambda bench: [cut(path) for path in (bench.train / 'depth').iterdir()],
        TRAIN,
        says=('depth map {train}/depth/', 'cut off'),
        writes=WRITES,
    ),
    Fault(
        'depth_scale_of_metres',
        lambda bench: None,
        f'{TRAIN} --cfg-options train_dataloader.dataset.depth_scale=1',
        says=('{train}/depth/', 'depth_scale=1 ', 'probably wrong', '1000 for millimetres'),
        writes=WRITES,
    ),
    Fault(
        'jpegs_decode_half_grey',
        damaged_jpegs,
        TRAIN,
        says=(
            '{train}/images/',
            'is a damaged JPEG file',
            'end before the last pixel',
            'copy or unpack it again',
        ),
        writes=WRITES,
    ),
    Fault(
        'list_line_of_one_field',
        lambda bench: write_list(bench, 'images/000.png\n'),
        TRAIN,
        says=('list.txt, line 1', 'IMAGE DEPTH', 'images/000.png'),
        writes=WRITES,
    ),
    Fault(
        'list_without_ground_truth',
        lambda bench: write_list(bench, 'images/000.png None 518\n'),
        TRAIN,
        says=('list.txt lists no image with ground truth',),
        writes=WRITES,
    ),
    Fault(
        'list_names_a_missing_file',
        lambda bench: write_list(bench, 'images/900.png depth/900.png 518\n'),
        TRAIN,
        says=('{train}/images/900.png', 'list.txt, line 1', 'does not exist'),
        writes=WRITES,
    ),
    Fault(
        'pack_of_the_training_list_under_the_test_list',
        write_train_pack,
        train_pack_under_test_list,
        says=(
            '{root}/pack lacks 1 of the 1 images',
            'nyu_test.txt',
            'the first: images/001',
            'pack this one',
        ),
    ),
    Fault(
        'pack_damaged',
        damage_pack,
        PACKED,
        says=('shard-0000.bin is damaged at byte', 'pack.py --verify'),
        writes=WRITES,
    ),
    Fault(
        'pack_cut_off',
        cut_pack,
        PACKED,
        says=('shard-0000.bin has', 'bytes', 'were written; copy it again'),
        writes=WRITES,
    ),
    Fault(
        'pack_of_an_older_format',
        old_pack,
        PACKED,
        says=('index.json has format 1', 'pack the data again'),
        writes=WRITES,
    ),
    Fault(
        'pack_read_with_another_scale',
        write_folder_pack,
        f'{PACKED} train_dataloader.dataset.depth_scale=1',
        says=('depth_scale=1 ', 'probably wrong'),
        writes=WRITES,
    ),
    Fault(
        'pack_exists',
        write_folder_pack,
        'dataset_converters/pack {config} --out {root}/pack',
        says=('{root}/pack exists already',),
    ),
    Fault(
        'jpeg_into_a_pack',
        lambda bench: damaged_jpeg(image(bench)),
        'dataset_converters/pack {config} --out {root}/pack',
        says=('001.jpg is a damaged JPEG file',),
        writes=('pack.part/*',),
    ),
    Fault(
        'doctor_jpeg_decodes_half_grey',
        lambda bench: damaged_jpeg(image(bench)),
        CHECK,
        says=('ERROR', 'unreadable: 1 of 6 images', '001.jpg', 'damaged JPEG file'),
    ),
    Fault(
        'doctor_exif_rotation',
        rotated_jpeg,
        CHECK,
        says=('WARNING rotation', 'not applied: 1 of 6 images', '001.jpg: orientation 6'),
        code=0,
    ),
    Fault(
        'doctor_training_image_in_the_test_set',
        lambda bench: shutil.copy(depth(bench), bench.val / 'depth' / '000.png'),
        CHECK,
        says=('ERROR   leak', 'depth maps of equal content: 1 images', '{val}/images/000.png'),
    ),
    Fault(
        'doctor_depth_without_values',
        every_depth(np.zeros_like),
        CHECK,
        says=('no valid pixel: 6 of 6 depth maps',),
    ),
    Fault(
        'doctor_report_cannot_be_written',
        lambda bench: (bench.root / 'file').write_text(''),
        f'{CHECK} --out {{root}}/file/report.json',
        says=('{root}/file/report.json',),
        lacks=('Errno',),
    ),
]


@pytest.mark.parametrize('fault', CASES, ids=lambda fault: fault.name)
@pytest.mark.filterwarnings('ignore:image .* has EXIF orientation')
def test_fault_is_answered(bench, fault):
    check_fault(bench, fault)
