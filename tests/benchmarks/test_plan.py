"""The page of measurements: what was measured, and nothing else."""

import json

import pytest

from benchmarks import Case, interleave
from benchmarks.environment import environment
from benchmarks.plan import PLAN
from benchmarks.timing import paired_ratio, summary
from benchmarks.write_page import BEGIN, END, write_page
from tests.shared import REPO


def test_every_measurement_names_files_and_modes_that_exist():
    for measurements in PLAN.values():
        for measurement in measurements.values():
            modes = ('train', 'infer', 'data', 'ops', 'metrics', 'startup', 'graphs', 'presets')
            assert measurement.mode in modes
            for argument in measurement.command():
                if argument.endswith('.py'):
                    assert (REPO / argument).is_file()


def result():
    cases = [Case('default', lambda: sum(range(1000))), Case('published', lambda: sum(range(2000)))]
    times = interleave(cases, repeats=3)
    rows = [summary(case, seconds) for case, seconds in zip(cases, times, strict=True)]
    ratios = [dict(setting='published', base='default', speed=paired_ratio(*times), memory=0.5)]
    return dict(rows=rows, ratios=ratios, environment=environment('cpu'))


def test_the_page_holds_results_and_says_what_was_not_measured(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(f'before\n{BEGIN}\nold\n{END}\nafter\n')
    (tmp_path / 'results/cpu').mkdir(parents=True)
    (tmp_path / 'results/cpu/infer_depthformer.json').write_text(json.dumps(result()))
    write_page(page, tmp_path / 'results')
    text = page.read_text()
    assert text.startswith(f'before\n{BEGIN}')
    assert text.endswith(f'{END}\nafter\n')
    assert 'old' not in text
    total = sum(len(measurements) for measurements in PLAN.values())
    assert text.count('\nnot measured\n') == total - 1
    assert '| default |' in text
    assert '2.00 of its memory' in text  # a ratio of one half
    assert f'torch {result()["environment"]["versions"]["torch"]}' in text
    write_page(page, tmp_path / 'results')
    assert page.read_text() == text


def test_a_page_without_marks_is_not_touched(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('text\n')
    with pytest.raises(ValueError, match='needs the lines'):
        write_page(page, tmp_path)
    assert page.read_text() == 'text\n'


def test_the_shipped_page_is_the_one_of_the_shipped_results(tmp_path):
    page = tmp_path / 'page.md'
    page.write_text((REPO / 'docs/benchmarks.md').read_text())
    write_page(page, REPO / 'docs/benchmarks')
    assert page.read_text() == (REPO / 'docs/benchmarks.md').read_text()
