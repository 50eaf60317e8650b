"""The notebook runs from top to bottom and its last cell finds what the first ones made."""

import pytest

from tests.shared import REPO

NOTEBOOK = REPO / 'docs/quickstart.ipynb'


def read_notebook():
    nbformat = pytest.importorskip('nbformat', reason='nbformat is not installed')
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_has_ten_cells_without_outputs():
    notebook = read_notebook()
    assert len(notebook.cells) == 10
    for cell in notebook.cells:
        assert not cell.get('outputs')


@pytest.mark.long
def test_the_notebook_runs(tmp_path, monkeypatch):
    nbclient = pytest.importorskip('nbclient', reason='nbclient is not installed')
    monkeypatch.setenv('QUICKSTART_ITERATIONS', '2')
    monkeypatch.setenv('PYTHONPATH', str(REPO))
    notebook = read_notebook()
    resources = dict(metadata=dict(path=str(tmp_path)))
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    outputs = []
    for cell in notebook.cells:
        if cell.cell_type == 'code' and cell.outputs:
            outputs.append(cell.outputs[-1])
    assert outputs[-1]['data']['text/plain'] == 'True'
    assert any('image/png' in output.get('data', {}) for output in outputs)
    assert "'dpt_tiny_rooms'" in outputs[0]['data']['text/plain']
