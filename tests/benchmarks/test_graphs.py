"""Counts of graph breaks and reads: known ones are found, and the methods have none."""

import pytest
import torch

from benchmarks import Setting, Spec, graphs
from tests.shared import REPO


def test_a_break_and_a_read_are_counted():
    def broken(images):
        doubled = images * 2
        torch._dynamo.graph_break()
        return doubled + 1

    assert graphs.count_graphs(lambda images: images * 2 + 1, torch.ones(2)) == dict(
        graphs=1, breaks=0
    )
    assert graphs.count_graphs(broken, torch.ones(2)) == dict(graphs=2, breaks=1)
    with graphs.CountReads() as reads:
        total = torch.ones(3).sum()
        float(total)
        torch.ones(3)[torch.ones(3) > 0]
        reads.without(float)(total)
    assert reads.count == 2


@pytest.mark.slow
@pytest.mark.parametrize('method', ['depthformer', 'binsformer', 'newcrfs', 'dpt'])
def test_methods_are_one_graph_and_a_step_reads_nothing(method, monkeypatch):
    monkeypatch.setattr(graphs, 'SIZE_OFFSETS', ((0, 0), (32, 0)))
    spec = Spec(config=str(REPO / f'configs/synthetic/{method}_tiny_rooms.py'), shape=(64, 96))
    rows = {row['setting']: row for row in graphs.run(spec, Setting())['rows']}
    for name in ('prediction', 'losses'):
        assert rows[name] == dict(setting=name, graphs=1, breaks=0, reads=0)
    assert rows['training step']['reads'] == 0
    assert rows['prediction, 2 sizes twice']['compilations'] == 2
