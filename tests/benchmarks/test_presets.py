"""Presets against float32: the arithmetic of the report, and one short comparison."""

import pytest
import torch

from benchmarks import Spec, quality
from benchmarks.curves import draw_curves, moving_average
from benchmarks.environment import environment
from benchmarks.preset_runs import Run
from benchmarks.presets import PRESETS, choose
from benchmarks.results import format_result
from benchmarks.settings import Setting
from tests.shared import REPO

SPEC = Spec(
    config=str(REPO / 'configs/synthetic/depthformer_tiny_rooms.py'), shape=(32, 64), batch_size=1
)


def run(abs_rel, losses=(1.0,)):
    return Run(list(losses), dict(abs_rel=abs_rel, rmse=1.0, d1=0.5), {})


def test_a_mean_inside_the_spread_is_told_from_one_outside():
    base = [run(0.1), run(0.2), run(0.3)]
    row = quality.training_row('bf16', [run(0.25), run(0.29), run(0.33)], base)
    assert row['abs_rel'] == pytest.approx(0.29)
    assert (row['min_abs_rel'], row['max_abs_rel']) == (0.25, 0.33)
    assert row['outside_fp32_spread'] == 'none'
    assert quality.training_row('bf16', [run(0.31)], base)['outside_fp32_spread'] == 'abs_rel'


def test_the_final_loss_is_that_of_the_last_iterations():
    row = quality.training_row('x', [run(0.1, [9.0] * 100 + [2.0] * 50)], [run(0.1)])
    assert row['final_loss'] == 2.0


def test_depth_is_compared_scene_by_scene():
    truth = torch.tensor([[[1.0, 2.0]], [[4.0, 4.0]]])
    other = torch.tensor([[[1.01, 2.0]], [[4.0, 4.0]]])
    figures = quality.difference([truth, truth], [other, truth])
    assert figures['mean_abs_rel_to_fp32'] == pytest.approx(0.00125)  # 0.5 % of one scene of four
    assert figures['worst_scene_abs_rel_to_fp32'] == pytest.approx(0.005, rel=1e-4)
    assert figures['below_half_a_percent'] == 'yes'
    assert quality.difference([truth], [truth * 1.01])['below_half_a_percent'] == 'no'


def test_presets_are_chosen_by_name_and_device(monkeypatch):
    assert list(choose(['bf16'], 'cpu')[0]) == ['fp32', 'bf16']
    assert not any(preset.cuda for preset in choose(None, 'cpu')[0].values())
    assert list(choose(None, 'cuda')[0]) == list(PRESETS)
    for name, message in (('fast', "no preset 'fast'"), ('tf32', "'tf32' needs a CUDA device")):
        with pytest.raises(ValueError, match=message):
            choose([name], 'cpu')
    monkeypatch.setattr('shutil.which', lambda name: None)
    chosen, left_out = choose(None, 'cpu')
    assert 'compile' not in chosen
    assert 'needs a C++ compiler' in left_out['compile']


def test_tf32_is_as_before_afterwards():
    before = torch.backends.cuda.matmul.allow_tf32
    setting = Setting(options={'env_cfg.tf32': not before})
    with setting.surroundings('cpu'):
        assert (
            torch.backends.cuda.matmul.allow_tf32 is torch.backends.cudnn.allow_tf32 is not before
        )
    assert torch.backends.cuda.matmul.allow_tf32 is before


def test_bf16_sees_new_weights_inside_of_the_surroundings():
    layer = torch.nn.Linear(1, 1, bias=False)
    outputs = []
    with Setting().surroundings('cpu'):
        for weight in (1.0, 2.0):
            with torch.no_grad():
                layer.weight.fill_(weight)
            with torch.autocast('cpu', torch.bfloat16):  # as in a step of training
                outputs.append(layer(torch.ones(1, 1)).item())
    assert outputs == [1.0, 2.0]


def test_curves_are_drawn(tmp_path):
    assert moving_average([1, 2, 3, 6], 2).tolist() == [1.5, 2.5, 4.5]
    path = tmp_path / 'new/curves.png'
    draw_curves(dict(fp32=[[1, 2], [3, 4]], bf16=[[1, 2], [3, 4]]), [0, 1], path)
    assert path.read_bytes().startswith(b'\x89PNG')


@pytest.mark.slow
def test_a_comparison_trains_and_predicts_under_every_preset(tmp_path, monkeypatch):
    presets, left_out = choose(['bf16'], 'cpu')
    options = dict(iterations=1, scenes=2, keep=tmp_path, full_size=(96, 160))
    result = quality.run(SPEC, presets, [0], **options)
    assert [row['setting'] for row in result['rows']] == ['fp32', 'bf16']
    depths = result['depths'][0]
    for column in ('mean_abs_rel_to_fp32', 'abs_rel_to_fp32_at_96x160'):
        assert 0 < depths[column] < quality.MAX_DEPTH_DIFFERENCE
    # The same seed.
    assert result['curves']['bf16'][0] == pytest.approx(result['curves']['fp32'][0], rel=0.01)
    assert result['left_out'] == left_out == {}
    text = format_result(dict(result, config='c', mode='presets', environment=environment('cpu')))
    assert 'Depth of the same checkpoints against fp32' in text
    monkeypatch.setattr(quality, 'train', None)  # a command that was stopped does not train again
    assert quality.run(SPEC, presets, [0], **options) == result


def test_a_preset_that_fails_or_comes_too_late_leaves_the_others(monkeypatch):
    seconds = iter((0.0, 1.0, 5.0))  # at the start, then before every preset but the first
    monkeypatch.setattr(quality.time, 'monotonic', lambda: next(seconds))

    def train(spec, setting, *options):
        if setting.name == 'bf16':
            raise RuntimeError('no such type')
        return run(0.1)

    def predict(spec, setting, states, scenes):
        if setting.name == 'channels_last':
            raise RuntimeError('no such layout')
        return [torch.ones(1, 2, 2)]

    monkeypatch.setattr(quality, 'train', train)
    monkeypatch.setattr(quality, 'predict', predict)
    presets = {name: PRESETS[name] for name in ('fp32', 'bf16', 'channels_last')}
    result = quality.run(SPEC, presets, [0], 1, 1, seconds=3)
    assert [row['setting'] for row in result['rows']] == ['fp32']
    assert [row['setting'] for row in result['depths']] == ['bf16']
    assert result['left_out'] == {
        'bf16': 'RuntimeError: no such type',
        'channels_last': 'TimeoutError: 3 s were over',
        'channels_last in inference': 'RuntimeError: no such layout',
    }


def test_other_data_than_synthetic_scenes_is_refused():
    spec = Spec(config=str(REPO / 'configs/depthformer/depthformer_swint_w7_nyu.py'))
    with pytest.raises(ValueError, match='on synthetic scenes, train_dataloader has NYUDataset'):
        quality.run(spec, choose(['fused'], 'cpu')[0], [0], iterations=1, scenes=1)
