"""The look at a folder of one's own: what it sees, what it assumes, and what it refuses."""

import cv2
import numpy as np
import pytest

from depth.data_tools.own_data import examine_folder, split_by_scene
from depth.registry import DATASETS


def make_folder(root, stems, value=5000, suffix='.png', size=(64, 96), depth_size=None):
    for stem in stems:
        image, depth = root / 'images' / f'{stem}.jpg', root / 'depth' / f'{stem}{suffix}'
        image.parent.mkdir(parents=True, exist_ok=True)
        depth.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(image), np.full((*size, 3), 90, np.uint8))
        values = np.full(depth_size or size, value)
        if suffix == '.npy':
            np.save(depth, values.astype(np.float32))
        else:
            cv2.imwrite(str(depth), values.astype(np.uint16))
    return root


FLAT = [f'{index:03}' for index in range(10)]
SCENES = [
    f'{scene}/{index}' for scene in ('attic', 'hall', 'kitchen', 'office') for index in range(5)
]


def test_millimetres_range_and_split_are_seen(tmp_path):
    plan = examine_folder(make_folder(tmp_path, FLAT))
    assert (plan.depth_scale, plan.max_depth, plan.image_size) == (1000.0, 5.0, (64, 96))
    assert plan.has_one_size
    assert plan.stems == dict(train=FLAT[:7], val=FLAT[7:8], test=FLAT[8:])
    assert any('7 for training, 1 to choose' in note for note in plan.notes)
    assert any('taken as millimetres: 5 m' in note for note in plan.notes)


def test_metres_in_float_files_need_no_scale(tmp_path):
    plan = examine_folder(make_folder(tmp_path, FLAT, value=37.5, suffix='.npy'))
    assert (plan.depth_scale, plan.max_depth) == (1.0, 40.0)


def scenes_of(stems):
    return {stem.split('/')[0] for stem in stems}


def test_scenes_are_held_out_whole(tmp_path):
    plan = examine_folder(make_folder(tmp_path, SCENES))
    assert scenes_of(plan.stems['test']) == {'office'}
    assert scenes_of(plan.stems['val']) == {'kitchen'}
    assert scenes_of(plan.stems['train']) == {'attic', 'hall'}
    assert sum(map(len, plan.stems.values())) == len(SCENES)


def test_at_least_half_of_the_pairs_are_for_training():
    big = [f'big/{index:02}' for index in range(90)]
    notes = []
    stems = split_by_scene([*big, 'small/0'], notes)
    # One scene is for the test; the other one, which holds nearly everything, gives its last
    # frames.
    assert stems == dict(train=big[:81], val=big[81:], test=['small/0'])
    assert (
        '(the last by name, so that neighbouring frames are not in both), 1 for the test'
        in notes[0]
    )
    stems = split_by_scene([*big, 'zoo/0', 'zoo/1', 'apse/0'], [])
    assert (scenes_of(stems['val']), scenes_of(stems['test'])) == ({'big'}, {'apse', 'zoo'})


def test_few_pairs_share_validation_and_test(tmp_path):
    plan = examine_folder(make_folder(tmp_path, FLAT[:6]))
    assert plan.stems == dict(train=FLAT[:5], val=FLAT[5:6], test=FLAT[5:6])
    assert any('also choose the checkpoint: the numbers are optimistic' in n for n in plan.notes)


@pytest.mark.parametrize(
    ('folders', 'counts', 'note'),
    [
        (('train', 'val', 'test'), (10, 10, 10), 'as they are split: 10 in train/, 10 in val/'),
        (('train', 'validation'), (10, 10, 10), 'there is no test/, so the test is on the images'),
        (('train', 'test'), (9, 1, 10), '1 of train/ choose the checkpoint'),
    ],
)
def test_a_folder_that_is_split_stays_so(tmp_path, folders, counts, note):
    for name in folders:
        make_folder(tmp_path / name, FLAT)
    plan = examine_folder(tmp_path)
    assert tuple(len(plan.stems[split]) for split in ('train', 'val', 'test')) == counts
    assert plan.roots['test'].name == folders[-1]
    assert plan.roots['val'].name == ('train' if folders[1] == 'test' else folders[1])
    assert any(note in text for text in plan.notes)


def test_max_depth_decides_between_two_scales(tmp_path):
    folder = make_folder(tmp_path, FLAT, value=20480)
    with pytest.raises(ValueError, match=r'20.5 m, as KITTI stores them 80 m.*--depth-scale'):
        examine_folder(folder)
    assert examine_folder(folder, max_depth=80).depth_scale == 256.0
    assert examine_folder(folder, depth_scale=256).max_depth == 80.0


def test_ambiguous_or_unusable_folders_are_refused(tmp_path):
    folder = make_folder(tmp_path / 'sizes', FLAT, depth_size=(32, 48))
    with pytest.raises(ValueError, match=r'64x96 pixels, .* 32x48; resize'):
        examine_folder(folder)
    folder = make_folder(tmp_path / 'two', FLAT)
    (folder / 'rgb').mkdir()
    with pytest.raises(ValueError, match='images/ and rgb/'):
        examine_folder(folder)
    with pytest.raises(ValueError, match='4 pairs are too few'):
        examine_folder(make_folder(tmp_path / 'few', FLAT[:4]))
    with pytest.raises(ValueError, match='has a value above 0'):
        examine_folder(make_folder(tmp_path / 'empty', FLAT, value=0))
    with pytest.raises(FileNotFoundError, match='no such folder'):
        examine_folder(tmp_path / 'missing')
    with pytest.raises(FileNotFoundError, match='no folder of images'):
        examine_folder(tmp_path)


def test_a_list_that_names_no_image_is_refused(tmp_path):
    folder = make_folder(tmp_path / 'rooms', FLAT)
    (tmp_path / 'list.txt').write_text('000\n777\n')
    with pytest.raises(
        ValueError, match=r'list.txt names 1 stems without an image, the first: 777'
    ):
        DATASETS.build(
            dict(
                type='FolderDepthDataset',
                data_root=str(folder),
                ann_file=str(tmp_path / 'list.txt'),
                depth_scale=1000.0,
                pipeline=[],
            )
        )
