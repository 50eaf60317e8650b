import json

import numpy as np
import pytest
import torch

from depth.evaluation import DepthMetric
from depth.evaluation.per_image import check_comparable, find_file, paired_values, read_per_image


def write(folder, factor, order=(0, 1, 2), protocol='rooms_10', **options):
    metric = DepthMetric(protocol, **options)
    for index in order:
        gt = torch.full((4, 5), 1.0 + index)
        metric.process(
            {},
            [dict(pred_depth=gt * factor * (1 + index), gt_depth=gt, img_path=f'data/{index}.png')],
        )
    metric.evaluate(len(order))
    folder.mkdir(parents=True, exist_ok=True)
    metric.write_per_image(folder / 'per_image.json')
    return folder


def test_values_are_paired_by_image_whatever_the_order(tmp_path):
    first = read_per_image(write(tmp_path / 'a', 1.1))
    second = read_per_image(write(tmp_path / 'b', 1.2, order=(2, 0, 1)))
    check_comparable(first, second)
    a, b = paired_values(first, second, 'abs_rel')
    assert a == pytest.approx([0.1, 1.2, 2.3], rel=1e-5)
    assert b == pytest.approx([0.2, 1.4, 2.6], rel=1e-5)


def test_other_protocols_or_images_are_refused_in_words(tmp_path):
    first = read_per_image(write(tmp_path / 'a', 1.1))
    with pytest.raises(ValueError, match=r'different protocols.*max_depth: 10.0 / 80.0'):
        check_comparable(first, read_per_image(write(tmp_path / 'b', 1.1, max_depth=80.0)))
    with pytest.raises(ValueError, match=r"1 only in .*'2.png'.*same test set"):
        check_comparable(first, read_per_image(write(tmp_path / 'c', 1.1, order=(0, 1))))


def test_images_that_lack_a_metric_are_left_out_of_it(tmp_path):
    result = read_per_image(write(tmp_path, 1.1, distance_bins=(0, 1.5, 10)))
    assert len(paired_values(result, result, 'abs_rel_0-1.5m')[0]) == 1
    assert np.isnan(result.values['abs_rel_0-1.5m']).sum() == 2
    with pytest.raises(ValueError, match='no metric'):
        paired_values(result, result, 'abs')


def test_files_are_found_from_a_result_a_test_or_a_work_dir(tmp_path):
    test = write(tmp_path / 'work/20260102_030405', 1.1)
    write(tmp_path / 'work/20250102_030405', 1.1)
    for path in (tmp_path / 'work', test, test / '20260102_030405.json', test / 'per_image.json'):
        assert find_file(path) == test / 'per_image.json'
    (tmp_path / 'score.per_image.json').write_text(json.dumps(dict(results=[])))
    assert find_file(tmp_path / 'score.json') == tmp_path / 'score.per_image.json'
    (tmp_path / 'scores').mkdir()
    (tmp_path / 'score.per_image.json').rename(tmp_path / 'scores/one.per_image.json')
    assert find_file(tmp_path / 'scores') == tmp_path / 'scores/one.per_image.json'
    (tmp_path / 'scores/two.per_image.json').touch()
    # It is not clear which.
    with pytest.raises(FileNotFoundError, match='scores: no per-image values'):
        find_file(tmp_path / 'scores')
    with pytest.raises(FileNotFoundError, match=r'tools/test\.py'):
        find_file(tmp_path / 'nothing')


def test_a_protocol_is_chosen_by_name_and_damage_is_reported(tmp_path):
    test = write(tmp_path, 1.1, protocols=['folder'])
    assert read_per_image(test, 'folder').protocol['name'] == 'folder'
    with pytest.raises(ValueError, match='it has rooms_10, folder'):
        read_per_image(test, 'nyu_eigen_10')
    (tmp_path / 'per_image.json').write_text('[]')
    with pytest.raises(ValueError, match='no file of per-image values'):
        read_per_image(tmp_path)
