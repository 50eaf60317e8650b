"""The three commands of docs/your_data.md, run one after the other on a small rendered folder."""

import glob
import json
import re
import shlex

import pytest

from depth.cli.main import dispatch
from tests.shared import REPO

TINY = (
    'max_iters=2 train_cfg.val_interval=2 model.backbone.pretrained=False '
    'train_dataloader.batch_size=2 train_dataloader.num_workers=0 val_dataloader.num_workers=0 '
    'test_dataloader.num_workers=0'
).split()


def commands():
    page = (REPO / 'docs/your_data.md').read_text(encoding='utf-8')
    block = re.search(r'\n\n((?:    depth .*\n){3})\n', page)[1]
    return [shlex.split(line)[1:] for line in block.splitlines()]


@pytest.mark.long
def test_three_commands_lead_from_a_folder_to_point_clouds(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    render = ['render', '--split', 'train', '--num-scenes', '8', '--out', 'my_rooms']
    assert dispatch([*render, '--image-size', '32', '64']) == 0
    for words in commands():
        expanded = []
        for word in words:
            expanded += sorted(glob.glob(word)) if '*' in word else [word]
        if words[0] in ('train', 'test'):
            expanded += ['--cfg-options', *TINY]
        assert dispatch(expanded) == 0
    output = capsys.readouterr().out
    assert 'taken as millimetres' in output
    assert 'next: depth infer' in output
    assert len(list((tmp_path / 'work_dirs/my_rooms/pictures').rglob('*.png'))) == 2
    assert len(list((tmp_path / 'depth_maps').rglob('*.ply'))) == 8
    results = (tmp_path / 'work_dirs/my_rooms').glob('2*/2*.json')
    scores = [json.loads(path.read_text()) for path in results if 'protocol' not in path.name]
    assert any('abs_rel' in score for score in scores)
