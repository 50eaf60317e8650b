"""The page of measurements: what was measured, and nothing else."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import Case, interleave, parse_setting
from benchmarks import environment as environments
from benchmarks.compare import cuda_columns
from benchmarks.environment import environment
from benchmarks.plan import PLAN, REHEARSED_OPTIONS, rehearse
from benchmarks.results import join_results, load_results
from benchmarks.timing import paired_ratio, summary
from benchmarks.write_page import BEGIN, END, SUMMARY_BEGIN, SUMMARY_END, write_page
from tests.shared import REPO, child_environment


def test_every_measurement_names_files_and_modes_that_exist():
    for measurements in PLAN.values():
        for measurement in measurements.values():
            modes = ('train', 'infer', 'data', 'ops', 'metrics', 'startup', 'graphs', 'presets')
            assert measurement.mode in modes
            for command in measurement.commands():
                for argument in command:
                    if argument.endswith('.py'):
                        assert (REPO / argument).is_file()


def test_the_plan_for_a_gpu_is_in_four_steps_of_single_settings():
    assert {measurement.step for measurement in PLAN['cuda'].values()} == {1, 2, 3, 4}
    settings = PLAN['cuda']['train_depthformer'].settings
    assert settings[0] == 'published'
    for text in settings:
        parse_setting(text)
    assert parse_setting('published_tf32').tf32
    assert any(parse_setting(text).backend == 'triton' for text in settings)
    assert len(PLAN['cuda']['train_depthformer'].commands()) == len(settings)


def test_the_check_on_a_gpu_names_steps_and_tests_that_exist():
    script = REPO / 'benchmarks/gpu_check.sh'
    process = subprocess.run(['bash', script, '5', 'out'], capture_output=True, text=True)
    assert process.returncode == 2
    assert 'STEP is 1, 2, 3 or 4' in process.stderr
    for word in script.read_text().split():
        if word.startswith(('tests/', 'tools/')):
            assert (REPO / word).exists(), word


@pytest.fixture
def check(tmp_path):
    """Return a function that runs gpu_check.sh with an interpreter that only writes down its calls."""
    python, calls = tmp_path / 'python', tmp_path / 'calls'
    python.write_text(f'#!/bin/sh\necho "$*" >>{calls}\necho "$PYTHONPATH" >{tmp_path}/path\n')
    python.chmod(0o755)

    def run_step(*arguments, **variables):
        command = ['bash', 'benchmarks/gpu_check.sh', *arguments]
        environment = child_environment(PYTHON=str(python), **variables)
        process = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True)
        return process.returncode, process.stdout, calls.read_text()

    return run_step


@pytest.mark.parametrize('step', ['1', '2', '3', '4'])
def test_a_step_measures_on_the_gpu_and_its_rehearsal_on_the_cpu(step, check, tmp_path):
    out = tmp_path / 'out'
    code, _, calls = check(step, str(out), CUDA_VISIBLE_DEVICES='')
    assert f'--device cuda --step {step} --results {out} --no-page' in calls
    assert ('-m pytest -m gpu' in calls) == (step == '1')
    code, output, calls = check('--rehearse', step, str(out))
    assert calls.rstrip().endswith(f'--rehearse --step {step} --results {out} --no-page')
    assert code == 0
    assert (out / f'step{step}.log').read_text() == output
    assert output.splitlines()[-1].startswith(f'== step {step}: failed: 0')


def test_a_step_finds_carried_wheels_and_no_transformers(check, tmp_path):
    wheels = tmp_path / 'wheels'
    wheels.mkdir()
    (wheels / 'a.whl').touch()
    _, _, calls = check('--rehearse', '2', str(tmp_path / 'out'), str(wheels))
    assert calls.startswith('-m pip install -q --no-index --no-deps')
    assert f'{wheels}/a.whl' in calls
    folders = (tmp_path / 'path').read_text().strip().split(':')
    assert folders[0] == str(REPO)
    assert [Path(folder).name for folder in folders[-2:]] == ['absent', 'site']


def test_a_step_names_what_it_has_no_time_for(check, tmp_path):
    code, output, _ = check('2', str(tmp_path / 'out'), LIMIT='12')
    assert code == 1
    assert '== no time left:' in output


@pytest.fixture(scope='module')
def tools():
    """Return the modules of the tools that the plan calls, by path."""
    modules = {}
    for name in ('benchmark', 'benchmark_all', 'compare_presets'):
        path = f'tools/analysis_tools/{name}.py'
        spec = importlib.util.spec_from_file_location(name, REPO / path)
        modules[path] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[path])
    return modules


@pytest.mark.parametrize('name', PLAN['cuda'])
def test_the_tools_take_every_command_for_a_gpu_and_of_its_rehearsal(name, tools, monkeypatch):
    measurement = PLAN['cuda'][name]
    assert measurement.timeout < 300
    whole = measurement.commands('pictures')
    rehearsal = rehearse(measurement).commands('pictures')
    assert len(rehearsal) == len(whole)
    for device, commands, extra in (
        ('cuda', whole, ()),
        ('cpu', rehearsal, REHEARSED_OPTIONS[measurement.mode]),
    ):
        for tool, *arguments in commands:
            options = [*arguments, '--device', device, '--out', 'out.json', *extra]
            monkeypatch.setattr(sys, 'argv', [tool, *options])
            args = tools[tool].parse_args()
            assert (args.device, args.out) == (device, Path('out.json'))
            words = (getattr(args, 'setting', None) or '').split()
            assert parse_setting(' '.join(words)).name == ' '.join(words)
            if device == 'cpu':
                assert not {'compile=True', 'backend=triton', '--scan'} & {*words, *arguments}
                assert 'swinl' not in (args.config or '')
        assert not {'', 'None'} & {*options}


@pytest.mark.parametrize(
    ('device', 'folder'), [(('--device', 'cuda'), 'cuda'), (('--rehearse',), 'rehearsal')]
)
def test_a_step_of_the_plan_is_written_into_one_file(device, folder, tools, monkeypatch, tmp_path):
    tool = tools['tools/analysis_tools/benchmark_all.py']
    commands = []

    def run_command(command, out, timeout, extra):
        commands.append([*command, *extra])
        rows = [dict(setting='x', median_ms=1.0, min_ms=1.0, max_ms=1.0)]
        out.write_text(json.dumps(dict(rows=rows, ratios=[], environment={})))
        return True

    monkeypatch.setattr(tool, 'run_command', run_command)
    options = ['--step', '4', '--results', str(tmp_path), '--no-page']
    monkeypatch.setattr(sys, 'argv', ['benchmark_all.py', *device, *options])
    assert tool.main() == 0
    written = json.loads((tmp_path / folder / 'step4.json').read_text())['results']
    assert set(written) == {name for name, plan in PLAN['cuda'].items() if plan.step == 4}
    on = 'cpu' if folder == 'rehearsal' else 'cuda'
    assert all(f'--device {on}' in ' '.join(command) for command in commands)
    assert f'{tmp_path}/{folder}/presets_cuda.png' in commands[0]
    assert 'docs/images/presets_cuda.png' in written['presets']['environment']['command']


def test_pictures_of_a_step_lie_beside_its_results():
    presets = PLAN['cuda']['presets']
    assert presets.commands('/out/cuda')[0][-1] == '/out/cuda/presets_cuda.png'
    assert (presets.commands()[0][-1], presets.picture) == (
        'docs/images/presets_cuda.png',
        'images/presets_cuda.png',
    )


def test_a_figure_that_cannot_be_read_does_not_lose_the_times():
    def fail():
        raise ValueError('no count')

    notes = []
    columns, kernels = cuda_columns(Case('eager', lambda: None, details=fail), 0, notes)
    assert notes[-1] == '`eager`, other columns left out: ValueError: no count'
    case = Case('eager', lambda: None, details=lambda: dict(gflop=1.0))
    columns, kernels = cuda_columns(case, 0, notes)
    assert columns['gflop'] == 1.0
    assert kernels == []


def test_the_commit_is_named_where_git_cannot_say(monkeypatch):
    monkeypatch.setattr(environments, '_git', lambda *arguments: None)
    assert environments.commit() is None
    monkeypatch.setenv('COMMIT', 'abc1234')
    assert environments.commit() == 'abc1234'


def test_processes_of_tests_find_carried_packages(monkeypatch):
    monkeypatch.setenv('PYTHONPATH', '/carried')
    assert child_environment(A='b')['PYTHONPATH'] == f'{REPO}:/carried'
    assert child_environment(A='b')['A'] == 'b'


def result():
    cases = [Case('default', lambda: sum(range(1000))), Case('published', lambda: sum(range(2000)))]
    times = interleave(cases, repeats=3)
    rows = [summary(case, seconds) for case, seconds in zip(cases, times, strict=True)]
    ratios = [dict(setting='published', base='default', speed=paired_ratio(*times), memory=0.5)]
    return dict(rows=rows, ratios=ratios, environment=environment('cpu'))


def test_the_page_holds_what_was_measured_alone(tmp_path):
    page = tmp_path / 'page.md'
    marks = f'{SUMMARY_BEGIN}\n{SUMMARY_END}\n'
    page.write_text(f'before\n{marks}{BEGIN}\nold\n{END}\nafter\n')
    (tmp_path / 'results/cpu').mkdir(parents=True)
    (tmp_path / 'results/cpu/infer_depthformer.json').write_text(json.dumps(result()))
    write_page(page, tmp_path / 'results')
    text = page.read_text()
    assert text.startswith(f'before\n{SUMMARY_BEGIN}')
    assert text.endswith(f'{END}\nafter\n')
    assert 'old' not in text
    assert text.count('### ') == 1  # one was measured
    assert 'GPU' not in text
    assert '| default |' in text
    assert '2.00 of its memory' in text  # a ratio of one half
    assert f'torch {result()["environment"]["versions"]["torch"]}' in text
    write_page(page, tmp_path / 'results')
    assert page.read_text() == text


def test_processes_of_single_settings_are_joined_and_read_from_a_bundle(tmp_path):
    results = []
    for setting, milliseconds in (('published', 8.0), ('backend=triton', 2.0)):
        row = dict(setting=setting, median_ms=milliseconds, peak_memory_mb=milliseconds * 50)
        row |= dict(min_ms=milliseconds - 1, max_ms=milliseconds + 1, launches=7)
        kernels = {setting: [dict(name='gemm', calls=1, ms=1.0)]}
        results.append(dict(rows=[row], ratios=[], kernels=kernels, environment=environment('cpu')))
    results[1]['notes'] = ['a note']
    joined = join_results(results)
    (ratio,) = joined['ratios']
    assert ratio['speed'] == dict(median=4.0, min=7 / 3, max=9.0)
    assert ratio['memory'] == 4.0
    assert joined['notes'] == ['a note']
    assert set(joined['kernels']) == {'published', 'backend=triton'}
    (tmp_path / 'results/cuda').mkdir(parents=True)
    bundle = dict(results=dict(train_depthformer=joined))
    (tmp_path / 'results/cuda/step2.json').write_text(json.dumps(bundle))
    assert load_results(tmp_path / 'results/cuda') == bundle['results']
    page = tmp_path / 'page.md'
    page.write_text(f'{SUMMARY_BEGIN}\n{SUMMARY_END}\n{BEGIN}\n{END}\n')
    write_page(page, tmp_path / 'results')
    line = (
        '| Training step, DepthFormer Swin-L, 2 x 352x704 | GPU | `backend=triton` | 4.00 | 0.25 |'
    )
    assert line in page.read_text()
    assert page.read_text().rstrip().endswith(END)


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
