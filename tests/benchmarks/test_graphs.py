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


def spec_of(method):
    return Spec(config=str(REPO / f'configs/synthetic/{method}_tiny_rooms.py'), shape=(64, 96))


@pytest.mark.slow
def test_a_method_is_one_graph_and_a_step_reads_nothing(monkeypatch):
    monkeypatch.setattr(graphs, 'SIZE_OFFSETS', ((0, 0), (32, 0)))
    rows = {row['setting']: row for row in graphs.run(spec_of('dpt'), Setting())['rows']}
    for name in ('prediction', 'losses'):
        assert rows[name] == dict(setting=name, graphs=1, breaks=0, reads=0)
    assert rows['training step']['reads'] == 0
    assert rows['prediction, 2 sizes twice']['compilations'] == 2


@pytest.mark.slow
@pytest.mark.parametrize('method', ['depthformer', 'binsformer', 'newcrfs'])
def test_methods_are_one_graph(method, monkeypatch):
    """That none of their steps and predictions reads is shown by tests/test_fake_cuda.py."""
    monkeypatch.setattr(graphs, 'SIZE_OFFSETS', ((0, 0), (32, 0)))
    model, inputs, samples = graphs.build_model(spec_of(method), Setting())
    counts = graphs.count_graphs(lambda images: model.train().loss(images, samples), inputs)
    assert counts == dict(graphs=1, breaks=0)
    # A break would split each of the two.
    assert graphs.count_sizes(model, inputs) == 2
