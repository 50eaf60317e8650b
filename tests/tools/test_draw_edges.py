import runpy

import numpy as np
import torch

from tests.shared import REPO

tool = runpy.run_path(str(REPO / 'tools/analysis_tools/draw_edges.py'))


def _colors(pred, target):
    picture = tool['draw_edges'](pred, target, 1.05)
    names = {tool[name]: name for name in ('SHARED', 'FALSE', 'MISSED', 'NONE')}
    return np.array([[names[tuple(color)] for color in row] for row in picture.tolist()])


def test_edges_are_coloured_by_what_the_truth_has_there():
    target = torch.full((3, 6), 2.0)
    target[:, 2:4] = 1.0  # edges behind columns 1 and 3
    pred = torch.full((3, 6), 2.0)
    pred[:, 2:5] = 1.0  # the second one column too late
    colors = _colors(pred, target)
    assert (colors == [['NONE', 'SHARED', 'NONE', 'MISSED', 'FALSE', 'NONE']] * 3).all()


def test_an_edge_with_the_wrong_side_in_front_is_false():
    target = torch.tensor([[1.0, 2.0, 2.0], [1.0, 2.0, 2.0]])
    assert _colors(3 - target, target)[0, 0] == 'FALSE'
