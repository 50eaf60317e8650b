"""The look at a folder of one's own: what it sees, what it assumes, and what it refuses."""

import cv2
import numpy as np
import pytest

from depth.data_tools.own_data import examine_folder, split_by_scene, write_config
from depth.engine.config import load_config
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
    assert (plan.train_stems, plan.val_stems) == (FLAT[:8], FLAT[8:])
    assert any('taken as millimetres: 5 m' in note for note in plan.notes)


def test_metres_in_float_files_need_no_scale(tmp_path):
    plan = examine_folder(make_folder(tmp_path, FLAT, value=37.5, suffix='.npy'))
    assert (plan.depth_scale, plan.max_depth) == (1.0, 40.0)


def test_scenes_are_held_out_whole(tmp_path):
    plan = examine_folder(make_folder(tmp_path, SCENES))
    assert {stem.split('/')[0] for stem in plan.val_stems} == {'office'}
    assert 'office' not in {stem.split('/')[0] for stem in plan.train_stems}
    assert len(plan.train_stems) + len(plan.val_stems) == len(SCENES)
    # One scene that holds nearly everything stays in the training.
    train_stems, val_stems = split_by_scene(
        [f'big/{index}' for index in range(90)] + ['small/0'], []
    )
    assert (len(train_stems), val_stems) == (90, ['small/0'])


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


def test_the_config_that_is_written_is_short_and_gives_the_split(tmp_path):
    folder = make_folder(tmp_path / 'rooms', SCENES)
    (folder / 'depth/attic/0.png').unlink()
    plan = examine_folder(folder)
    path = tmp_path / 'run/own_data/rooms.py'
    write_config(plan, path)
    assert len(path.read_text().splitlines()) < 35
    cfg = load_config(path)
    assert cfg.model.decode_head.max_depth == 5.0
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(dataset) == len(plan.train_stems) == 14
    sample = dataset[0]['data_samples']
    assert sample.gt_depth.max() == 5.0
    assert len(DATASETS.build(cfg.val_dataloader.dataset)) == 5
    with pytest.raises(ValueError, match='is not made for folders'):
        write_config(plan, path, 'depthformer_swint_w7_nyu')


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
