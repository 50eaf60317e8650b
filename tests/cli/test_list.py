"""``depth list``: facts from the configs and from the model zoo."""

import pytest

from depth.cli.list import main
from depth.model_zoo import zoo_rows
from depth.shipped_configs import config_paths


def test_facts_of_a_config_are_those_of_config_and_zoo(capsys):
    assert main(['depthformer_swint_w7_nyu*']) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ['config', 'method', 'data']
    assert (
        first.split() == 'depthformer_swint_w7_nyu DepthFormer NYU 416x544 47.6 0.120 3e-7'.split()
    )


def test_mixtures_projects_and_inherited_parity(capsys):
    main(['scaledepth_clip_NYU_KITTI_352x512_corrected'])
    row = capsys.readouterr().out.splitlines()[1]
    assert row.split()[1:5] == ['ScaleDepth', 'NYU+KITTI', '352x512', '216.5']
    assert row.endswith('names; 9e-7 with Swin-T')  # "as above" in the table


def test_every_row_names_a_config():
    assert len(zoo_rows()) > 100
    assert set(zoo_rows()) <= set(config_paths())


def test_no_match_gives_similar_names():
    with pytest.raises(ValueError, match='did you mean depthformer_swin'):
        main(['depthformer_swin_nyu'])


@pytest.mark.parametrize(
    ('pattern', 'start'),
    [
        ('scalee*', 'scaledepth'),
        ('*depht_anything*', 'depth_anything'),
        ('binformer*', 'binsformer'),
    ],
)
def test_a_wrong_letter_in_a_pattern_gives_the_method(pattern, start):
    with pytest.raises(ValueError, match=f'did you mean {start}'):
        main([pattern])


def test_what_resembles_nothing_gives_no_name():
    with pytest.raises(ValueError, match=r"no shipped config is called 'qqqqzzzz\*'$"):
        main(['qqqqzzzz*'])
