"""The measuring itself: order, ratios, what settings change, memory; on a tiny model."""

import json
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import (
    Case,
    Setting,
    Spec,
    compare,
    interleave,
    metrics,
    ops,
    parse_setting,
    train,
)
from benchmarks.memory import process_peak
from benchmarks.results import format_result
from benchmarks.scenes import BenchmarkScenes, image_size, network_size_steps, scene_batch
from benchmarks.timing import paired_ratio, summary
from depth.engine.config import load_config
from depth.ops import use_backend
from tests.shared import REPO
from tests.shared_process import SERVER, run_python

TINY = str(REPO / 'configs/synthetic/depthformer_tiny_rooms.py')
SPEC = Spec(config=TINY, shape=(32, 64), options={'train_dataloader.batch_size': 2})
MODE = 'benchmarks'


def test_cases_run_in_turn_and_warm_up_rounds_do_not_count():
    order = []
    cases = [Case(name, lambda name=name: order.append(name)) for name in 'ab']
    times = interleave(cases, repeats=3, warmup=2)
    assert order == ['a', 'b'] * 5
    assert [len(seconds) for seconds in times] == [3, 3]


def test_the_time_of_the_clock_is_measured():
    # Seconds before and after each of three steps.
    readings = iter([0.0, 0.03, 1.0, 1.02, 2.0, 2.05])
    case = Case('step', lambda: None, images=4)
    row = summary(case, interleave([case], repeats=3, clock=lambda: next(readings))[0])
    assert [row[key] for key in ('min_ms', 'median_ms', 'max_ms')] == pytest.approx([20, 30, 50])
    assert row['images_per_s'] == pytest.approx(4 / 0.03)


def test_processor_time_leaves_out_what_others_take():
    case = Case('waits', lambda: time.sleep(0.1))
    assert interleave([case], 1, clock=time.process_time)[0][0] < 0.05
    assert interleave([case], 1)[0][0] >= 0.1


def test_a_ratio_is_that_of_neighbours():
    # The machine became three times slower; each pair still says 2.
    assert paired_ratio([2.0, 6.0, 2.0], [1.0, 3.0, 1.0]) == dict(median=2.0, min=2.0, max=2.0)


def test_settings_are_read():
    setting = parse_setting('backend=reference model.decode_head.channels=8 flip=True')
    assert setting.options == {'model.decode_head.channels': 8}
    assert (setting.backend, setting.flip, setting.published) == ('reference', True, False)
    assert parse_setting('published').published
    assert parse_setting('default') == Setting('default')
    for text in ('flip=yes', 'autocast=int8'):
        with pytest.raises(ValueError, match=text.partition('=')[0]):
            parse_setting(text)


def test_published_takes_out_what_makes_a_config_faster():
    options = {
        'optim_wrapper.type': 'AmpOptimWrapper',
        'optim_wrapper.optimizer.fused': True,
        'compile': True,
    }
    cfg = Setting(published=True).load(Spec(config=TINY, options=options))
    assert cfg.optim_wrapper.type == 'OptimWrapper'
    assert 'fused' not in cfg.optim_wrapper.optimizer
    assert 'compile' not in cfg


def test_the_backend_is_the_one_asked_for(monkeypatch):
    def refuse(*args):
        raise RuntimeError('the torch backend was called')

    monkeypatch.setattr(sys.modules['depth.ops.ms_deform_attn'], 'ms_deform_attn_torch', refuse)
    spec = Spec(shape=(32, 32))
    setting = Setting(options=dict(size='scaledepth', backward=True))
    with use_backend('reference'):
        ops.build(spec, setting).step()
    with pytest.raises(RuntimeError, match='torch backend'):
        ops.build(spec, setting).step()
    with pytest.raises(ValueError, match="'fast'"), use_backend('fast'):
        pass


@pytest.mark.parametrize(
    ('config', 'loader', 'size'),
    [
        ('configs/_base_/datasets/kitti_eigen.py', 'train_dataloader', (352, 704)),
        ('configs/_base_/datasets/kitti_eigen.py', 'test_dataloader', (352, 1216)),
        ('configs/_base_/datasets/nyu.py', 'train_dataloader', (416, 544)),
        ('configs/_base_/datasets/nyu.py', 'test_dataloader', (480, 640)),
        ('configs/synthetic/depthformer_tiny_rooms.py', 'train_dataloader', (96, 128)),
    ],
)
def test_image_sizes_are_the_pipelines(config, loader, size):
    assert image_size(load_config(REPO / config), loader) == size


def test_images_have_the_size_that_the_network_asks_for():
    path = REPO / 'configs/depth_anything/depth_anything_v2_vits_relative.py'
    cfg = load_config(path, {'input_size': 56})
    batch = scene_batch(cfg, (48, 64), 1, resizing=network_size_steps(cfg))
    assert batch['inputs'][0].shape == (3, 56, 70)  # 74.7 in whole patches of 14
    assert batch['inputs'][0].dtype == torch.float32
    tiny = load_config(TINY)
    assert scene_batch(tiny, (48, 64), 1, resizing=network_size_steps(tiny))['inputs'][0].shape == (
        (3, 48, 64)
    )


def test_scenes_are_long_realistic_and_independent():
    dataset = BenchmarkScenes((32, 48), max_depth=80.0, scene_class=1)
    first, again = dataset[0], dataset[2]
    assert len(dataset) > 1e6
    assert torch.equal(first['inputs'], again['inputs'])
    again['data_samples'].gt_depth = None
    share = (first['data_samples'].gt_depth > 0).float().mean()
    assert 0 < share < 1  # lidar
    assert first['data_samples'].scene_class == 1
    assert first['inputs'].float().std() > 5


def test_inference_compares_settings():
    settings = [Setting(), parse_setting('flip=True'), parse_setting('published')]
    result = compare.compare(f'{MODE}.infer', SPEC, settings, repeats=2, memory=False)
    assert [row['setting'] for row in result['rows']] == ['default', 'flip=True', 'published']
    single, flipped = result['rows'][:2]
    assert flipped['gflop'] == pytest.approx(2 * single['gflop'], rel=1e-3)
    assert result['ratios'][0]['speed']['median'] > 0


def test_training_goes_through_the_runner():
    result = compare.compare(f'{MODE}.train', SPEC, [Setting()], repeats=2, memory=False)
    row = result['rows'][0]
    shares = [row[f'{name}_share'] for name in ('preprocess', 'update', 'loss', 'hooks')]
    assert all(0 < share < 1 for share in shares)
    assert sum(shares) < 1


def test_metrics_are_compared_with_the_forward_pass():
    result = metrics.run(SPEC, Setting(), repeats=2)
    assert [row['setting'] for row in result['rows']] == ['prediction', 'metric']
    assert 0 < result['share'] < 1


@pytest.mark.slow
def test_memory_of_a_fresh_process_is_at_least_what_must_be_there():
    spec = Spec(shape=(256, 256))
    peaks = []
    for backend in ('reference', 'torch'):
        setting = Setting(options=dict(size='hahi_swint', backward=True), backend=backend)
        peaks.append(process_peak(f'{MODE}.ops', spec, setting, steps=1))
    tokens = 64**2 + 32**2 + 16**2 + 8**2
    sampled = tokens * 8 * 32 * 8 * 4 * 4  # every sample of every level as float32
    assert peaks[0] > sampled
    assert peaks[1] < peaks[0] / 3


def test_the_tool_prints_a_table_and_writes_json(tmp_path):
    out = tmp_path / 'sub/ops.json'
    command = [
        sys.executable,
        'tools/analysis_tools/benchmark.py',
        'ops',
        '--sizes',
        'scaledepth',
        '--shape',
        '64',
    ]
    command += ['64', '--repeats', '2', '--no-memory', '--device', 'cpu', '--out', str(out)]
    process = run_python(command, cwd=REPO, timeout=120)
    assert process.returncode == 0, process.stderr
    result = json.loads(out.read_text())
    assert len(result['rows']) == 4
    assert result['environment']['versions']['torch'] == torch.__version__
    assert 'benchmark.py ops' in result['environment']['command']
    assert format_result(result) in process.stdout


def test_a_mode_that_needs_a_config_says_so():
    command = [sys.executable, 'tools/analysis_tools/benchmark.py', 'train']
    process = run_python(command, cwd=REPO, timeout=60)
    assert process.returncode == 2
    assert 'needs a config' in process.stderr


def _build_training(folder):
    tempfile.tempdir = folder
    _, runner = train.build_with_runner(SPEC, Setting())
    assert Path(runner.work_dir).parent == Path(folder)


def test_the_folder_of_a_training_is_removed_with_its_process(tmp_path):
    process = SERVER.Process(target=_build_training, args=(str(tmp_path),))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(('compiled', 'stages'), [(None, 4), (True, 3)])
def test_the_losses_of_a_compiled_step_are_left_alone(compiled, stages):
    head = SimpleNamespace(loss=None)
    model = SimpleNamespace(data_preprocessor=None, decode_head=head)
    runner = SimpleNamespace(model=model, optim_wrapper=None, cfg=dict(compile=compiled))
    owners = [owner for owner, _, _ in train.profiled_stages(runner)]
    assert len(owners) == stages
    assert (head in owners) == (compiled is None)
