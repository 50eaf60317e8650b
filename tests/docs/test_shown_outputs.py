"""Outputs that pages show are those of the commands: messages and tables, compared word by word."""

import re

import pytest

from depth.cli.main import dispatch
from depth.engine.batch_size import BatchSize
from tests.docs.page_blocks import load_script
from tests.shared import REPO


def page_words(page, start, end):
    """Return the words of a page from one phrase up to another one, without line breaks."""
    text = (REPO / page).read_text(encoding='utf-8')
    begin = text.index(start)
    return text[begin : text.index(end, begin)].split()


def test_a_dry_run_of_prepare(capsys):
    assert dispatch(['prepare', 'nyu', '--dry-run']) == 0
    shown = page_words('docs/dataset_tools.md', 'into data/nyu', '\n\n')
    assert capsys.readouterr().out.split() == shown


def test_a_folder_that_may_be_real_data_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'wrong').mkdir()
    (tmp_path / 'wrong/a.png').touch()
    with pytest.raises(FileExistsError) as error:
        dispatch(['render', '--layout', 'nyu', '--num-scenes', '2', '--out', 'wrong'])
    shown = page_words('docs/dataset_tools.md', 'error: wrong is not empty', '\n\n')
    assert str(error.value).split() == shown[1:]


def test_the_line_of_the_batch():
    text = BatchSize(processes=2, per_process=4, accumulated=2, published=16).describe()
    assert text in (REPO / 'docs/train.md').read_text(encoding='utf-8')


@pytest.mark.long
def test_the_table_of_aligned_scale(monkeypatch, capsys):
    script = load_script(REPO / 'tools/analysis_tools/temporal_stability.py')
    monkeypatch.setattr('sys.argv', ['temporal_stability.py', '--jitter', '0.05'])
    script.main()
    printed = re.findall(r'^mean +(as is|aligned) +(.*)$', capsys.readouterr().out, re.MULTILINE)
    page = (REPO / 'docs/inference.md').read_text(encoding='utf-8')
    assert len(printed) == 2
    for name, values in printed:
        row = re.search(rf'^\| {name} \| (.*) \|$', page, re.MULTILINE)[1]
        # The processor may change the last digit.
        assert [float(value) for value in row.split(' | ')] == pytest.approx(
            [float(value) for value in values.split()], abs=0.011, rel=1e-2
        )
