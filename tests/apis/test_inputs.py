import itertools
import json
import os

import numpy as np
import pytest

from depth.apis.inputs import REPORT_FORMAT, assign_names, list_inputs

ARRAY = np.zeros((2, 2, 3), np.uint8)


def named(inputs, out_dir=None, earlier=None):
    """Return the name of each input by its label relative to the working folder."""
    images, _ = list_inputs(inputs, out_dir)
    assign_names(images, earlier)
    return {
        image.label if image.path is None else os.path.relpath(image.label): image.name
        for image in images
    }


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def touch(*names):
    for name in names:
        os.makedirs(os.path.dirname(name) or '.', exist_ok=True)
        with open(name, 'wb'):
            pass


def test_every_order_of_files_gives_each_its_own_stem():
    for files in itertools.permutations(['a/000007.png', 'a/000000.png', 'a/000001.png']):
        assert named(files) == {file: file[2:8] for file in files}


def test_arrays_are_named_by_their_place():
    assert named(ARRAY) == {'inputs[0]': '000000'}
    assert named([ARRAY, ARRAY]) == {'inputs[0]': '000000', 'inputs[1]': '000001'}
    mixed = named([ARRAY, 'a/000000.png', [ARRAY]])
    assert mixed == {
        'inputs[0]': 'array_000000',
        'a/000000.png': '000000',
        'inputs[2]': 'array_000002',
    }
    assert len(set(named(['array_000001.png', ARRAY]).values())) == 2


def test_equal_stems_have_the_folders_in_front_that_tell_them_apart():
    files = ['left/0001.png', 'right/0001.png', 'left/0002.png']
    for order in itertools.permutations(files):
        assert named(order) == {
            'left/0001.png': 'left/0001',
            'right/0001.png': 'right/0001',
            'left/0002.png': '0002',
        }


def test_as_many_folders_as_needed_and_no_more():
    files = ['a/rgb/1.png', 'b/rgb/1.png', 'b/gray/1.png']
    for order in itertools.permutations(files):
        assert named(order) == {
            'a/rgb/1.png': 'a/rgb/1',
            'b/rgb/1.png': 'b/rgb/1',
            'b/gray/1.png': 'gray/1',
        }


def test_a_glob_and_folders_of_equal_content():
    touch('a/1.png', 'b/1.png', 'b/2.jpg')
    assert named('*/*') == {'a/1.png': 'a/1', 'b/1.png': 'b/1', 'b/2.jpg': '2'}
    assert named(['a', 'b']) == {'a/1.png': 'a/1', 'b/1.png': 'b/1', 'b/2.jpg': '2'}


def test_suffixes_tell_apart_what_folders_cannot():
    touch('in/a.png', 'in/a.jpg', 'in/b.png')
    assert named('in') == {'in/a.png': 'a_png', 'in/a.jpg': 'a_jpg', 'in/b.png': 'b'}


def test_case_alone_is_no_difference():
    files = ['in/A.png', 'in/a.png', 'in/Ä.png', 'in/a\u0308.png']
    for order in itertools.permutations(files):
        names = named(order)
        assert len({name.casefold() for name in names.values()}) == 4
        assert names == named(files)


def test_a_file_given_twice_is_written_twice():
    images, _ = list_inputs(['a.png', 'a.png'])
    assign_names(images)
    assert [image.name for image in images] == ['a', 'a_1']


def test_no_two_names_are_equal_whatever_the_stems():
    files = [
        'x/a.png',
        'x/a.jpg',
        'x/a_png.png',
        'y/a.png',
        'y/a_1.png',
        'x/A.bmp',
        'a.png',
        'a.png',
    ]
    images, _ = list_inputs([*files, ARRAY])
    assign_names(images)
    assert len({image.name.casefold() for image in images}) == len(files) + 1


def test_a_later_call_takes_no_name_of_an_earlier_one_and_keeps_its_own(here):
    earlier = {'1': str(here / 'a/1.png'), 'b/1': str(here / 'b/1.png')}
    assert named(['a/1.png'], earlier=earlier) == {'a/1.png': '1'}
    assert named(['b/1.png'], earlier=earlier) == {'b/1.png': 'b/1'}
    assert named(['c/1.png'], earlier=earlier) == {'c/1.png': 'c/1'}


@pytest.mark.parametrize('out_dir', ['in/out', 'in', 'link/out', 'link', '.'])
def test_results_below_the_input_folder_are_no_inputs(out_dir):
    touch('in/1.png', 'in/sub/2.png')
    os.symlink('in', 'link')
    for _ in range(2):
        images, notes = list_inputs('in', out_dir)
        assert sorted(os.path.relpath(image.label) for image in images) == [
            'in/1.png',
            'in/sub/2.png',
        ]
        for folder in ('depth', 'color', 'panel'):
            touch(f'{out_dir}/{folder}/1.png', f'{out_dir}/{folder}/sub/2.png')
    assert bool(notes) == (out_dir != '.')


def test_globs_and_links_to_results_are_no_inputs_either():
    touch('in/1.png', 'in/out/color/1.png')
    os.symlink('out/color/1.png', 'in/2.png')
    images, notes = list_inputs('in/**/*.png', 'in/out')
    assert [image.label for image in images] == [os.path.abspath('in/1.png')]
    assert '2 images below' in notes[0]


def test_results_of_another_inference_in_the_folder_are_no_inputs():
    touch('in/1.png', 'in/first/color/1.png', 'in/notes/color/3.png')
    with open('in/first/report.json', 'w') as file:
        json.dump(dict(format=REPORT_FORMAT, images=[]), file)
    images, notes = list_inputs('in', 'in/second')
    assert [os.path.relpath(image.label) for image in images] == [
        'in/1.png',
        'in/notes/color/3.png',
    ]
    assert 'in/first were left out' in notes[0]


def test_inputs_that_are_nothing_but_results_are_refused():
    touch('out/color/1.png')
    for inputs in ('out/color', 'out/color/1.png', 'out'):
        with pytest.raises(ValueError, match='results of inference in'):
            list_inputs(inputs, 'out')


def test_nothing_at_all_is_refused():
    os.mkdir('empty')
    for inputs in ([], 'empty', 'no*.png'):
        with pytest.raises(ValueError, match='names no image'):
            list_inputs(inputs)
