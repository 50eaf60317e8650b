"""``depth reproduce``: facts, verdict, and a run to the end on a synthetic entry."""

import json

import pytest

from depth.apis import reproduce as reproduction
from depth.apis.reproduce import describe, find_entry, judge
from depth.cli.reproduce import main
from depth.engine.errors import ConfigError
from depth.model_zoo import expected_result, zoo_rows, zoo_table
from depth.shipped_configs import config_paths

NAME = 'depthformer_swint_w7_nyu'


def test_every_row_of_the_table_can_be_read_and_fits_its_config():
    names = [cells['entry'] for cells in zoo_table('entry')]
    assert names[-1] == '*'
    for name in names[:-1]:
        assert name in config_paths()
        entry = find_entry(name)  # its options fit the config
        assert 0 < entry.expected_numbers()[''] < 0.5
        assert entry.is_trainable
    for name, row in zoo_rows().items():
        expected = expected_result(name)
        assert (expected is None) == (not row.published_numbers())
    assert sum(expected_result(name) is not None for name in zoo_rows()) > 30


def test_published_numbers_are_read_with_their_remarks():
    rows = zoo_rows()
    assert rows[NAME].published_numbers() == {'': 0.12}
    assert rows['scaledepth_clip_NYU_KITTI_352x512'].published_numbers() == {
        'NYU': 0.083,
        'KITTI': 0.049,
    }
    assert rows['metric3dv1_convlarge'].published_numbers() == {
        'zero-shot, protocol not stated': 0.083
    }
    assert rows['metric3dv2_vits'].published_numbers() == {}  # "none; 318.2 GMACs"


def test_facts_of_an_entry(tmp_path):
    lines = list(describe(find_entry(NAME, [f'data_root={tmp_path / "none"}']), 'out'))
    text = '\n'.join(lines)
    assert 'abs_rel 0.12, tolerance 0.0036; published numbers' in text
    assert (
        f'data, train: NYUDataset, missing: train_dataloader.dataset.data_root: {tmp_path}' in text
    )
    assert 'test: nyu_eigen_10, with the mirrored image' in text
    assert 'recipe: 38400 iterations of 16 images: 2 processes of 8' in text
    assert f'depth train {NAME} --work-dir out --seed 0 --auto-scale-lr' in text
    text = '\n'.join(describe(find_entry('depthformer_swinl_22k_w7_nyu'), 'out'))
    # 38400 iterations of 0.645 s.
    assert '6.9 hours at that rate' in text


def test_data_that_is_there_is_called_so(tmp_path):
    for name in ('nyu_train.txt', 'nyu_test.txt'):
        (tmp_path / name).touch()
    cfg = find_entry(NAME, [f'data_root={tmp_path}']).cfg
    split = cfg.train_dataloader.dataset.ann_file
    (tmp_path / split).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / split).touch()
    assert reproduction.describe_data(cfg, 'train_dataloader').endswith(f'in {tmp_path}, there')


@pytest.mark.parametrize(
    ('value', 'verdict'),
    [(0.1236, 'reproduced'), (0.1164, 'reproduced'), (0.124, 'worse'), (0.116, 'better')],
)
def test_the_verdict_is_that_of_the_tolerance(value, verdict):
    (judgement,) = judge(find_entry(NAME), dict(abs_rel=value))
    assert judgement.verdict == verdict


def test_no_number_and_nan_are_no_success():
    (judgement,) = judge(find_entry(NAME), dict(abs_rel=float('nan')))
    assert judgement.verdict == 'worse'
    with pytest.raises(ValueError, match='was not measured'):
        judge(find_entry(NAME), dict(rmse=0.4))


def test_numbers_of_mixed_tests_are_judged_by_data_set():
    entry = find_entry('scaledepth_clip_NYU_KITTI_352x512')
    metrics = {'nyu/abs_rel': 0.083, 'kitti/abs_rel': 0.06}
    verdicts = {item.metric: item.verdict for item in judge(entry, metrics)}
    assert verdicts == {'nyu/abs_rel': 'reproduced', 'kitti/abs_rel': 'worse'}
    with pytest.raises(ValueError, match='was not measured'):
        judge(entry, {'nyu/abs_rel': 0.083, 'abs_rel': 0.05})


def test_an_entry_without_a_recipe_needs_a_checkpoint(tmp_path):
    with pytest.raises(ConfigError, match='give --checkpoint'):
        reproduction.reproduce(find_entry('depth_anything_v2_vits_relative'), tmp_path)


@pytest.mark.slow
def test_a_synthetic_entry_runs_to_its_end(tmp_path, capsys):
    arguments = ['dinov3_dpt_micro_rooms', '--run', '--work-dir', str(tmp_path)]
    assert main(arguments) == 0
    assert 'reproduced: abs_rel 0.' in capsys.readouterr().out
    report = json.loads((tmp_path / 'reproduce.json').read_text())
    assert report['judgements'][0]['value'] == report['metrics']['abs_rel']
    assert report['checkpoint'] == str(tmp_path / 'iter_120.pth')


def test_a_checkpoint_is_tested_in_place_of_a_training(tmp_path, monkeypatch, capsys):
    calls = []

    def test(cfg, checkpoint, **options):
        calls.append((checkpoint.name, options['work_dir']))
        return dict(abs_rel=0.13)

    monkeypatch.setattr(reproduction, 'test', test)
    arguments = [NAME, '--run', '--checkpoint', 'weights.pth', '--work-dir', str(tmp_path)]
    assert main(arguments) == 1
    assert calls == [('weights.pth', tmp_path / 'test')]
    assert 'worse: abs_rel 0.1300, expected 0.12 ± 0.0036' in capsys.readouterr().out
