"""Training on a GPU: gradients, switches, synchronisations, resume, several processes."""

import copy
import signal
import sys

import pytest
import torch

from benchmarks import Setting, Spec, train
from benchmarks.memory import count_synchronizations
from depth.cli.common import parse_cfg_options
from depth.engine.checkpoint import find_latest_checkpoint
from depth.engine.runner import DepthRunner
from tests.shared import REPO

from .shared import (
    CONFIG,
    DEVICE,
    GPU,
    METHODS,
    SCALEDEPTH,
    config_path,
    cuda_alone,
    read_to_end,
    relative_difference,
    rooms_batch,
    run,
    start,
    tiny_model,
    total_loss,
    train_command,
    wait_for,
    weights,
)

pytestmark = GPU
AMP = 'optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype='


@pytest.fixture
def exact_products():
    """Forbid TF32."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def losses_and_gradients(model, batch, device, dtype=torch.float32):
    """Return the total loss in a list, and the gradients."""
    model = copy.deepcopy(model).to(device).eval()  # no dropout: its random numbers differ
    batch = model.data_preprocessor(copy.deepcopy(batch), training=True)
    model.to(dtype)
    batch['inputs'] = batch['inputs'].to(dtype)
    for sample in batch['data_samples']:
        for name, value in sample.items():
            if torch.is_tensor(value) and value.is_floating_point():
                sample.set_data({name: value.to(dtype)})
    losses = model(**batch, mode='loss')
    total_loss(losses).backward()
    gradients = []
    for parameter in model.parameters():
        if parameter.grad is not None:
            gradients.append(parameter.grad)
    return [total_loss(losses)], gradients


@pytest.mark.parametrize('method', METHODS)
def test_loss_and_gradients_are_those_of_the_cpu(method, exact_products):
    """The GPU is as near to float64 as the CPU is, whose rounding DepthFormer's Swin amplifies."""
    model, cfg = tiny_model(method)
    batch = rooms_batch(cfg)
    actual = losses_and_gradients(model, batch, DEVICE)
    rounded = losses_and_gradients(model, batch, 'cpu')
    exact = losses_and_gradients(model, batch, 'cpu', torch.float64)
    for values, values_on_cpu, expected in zip(actual, rounded, exact, strict=True):
        assert len(values) == len(expected)
        allowed = max(1e-4, 5 * relative_difference(values_on_cpu, expected))
        assert allowed < 2e-3
        assert relative_difference(values, expected) < allowed


def stepped(text, config=CONFIG, steps=3, batch_size=2):
    """Return the losses of some iterations of the runner under a setting, and its runner."""
    spec = Spec(config=str(REPO / config), shape=(64, 64), batch_size=batch_size, device=DEVICE)
    setting = Setting('switch', parse_cfg_options(text.split()))
    with setting.surroundings(DEVICE):
        case, runner = train.build_with_runner(spec, setting)
        for _ in range(steps):
            case.step()
    torch.compiler.reset()
    history = runner.message_hub.get_scalar('train/loss').data[0]
    return [float(loss) for loss in history][:steps], case, runner


@pytest.mark.parametrize(
    ('text', 'tolerance'),
    [
        (f'{AMP}bfloat16', 0.05),
        (f'{AMP}float16', 0.15),  # the scaler may leave out the first steps
        ('optim_wrapper.optimizer.fused=True channels_last=True', 5e-3),
        pytest.param('compile=True', 5e-3, marks=cuda_alone),
    ],
)
def test_switches_change_losses_by_rounding(text, tolerance):
    expected, _, _ = stepped('')
    actual, _, _ = stepped(text)
    assert actual == pytest.approx(expected, rel=tolerance)


@cuda_alone
@pytest.mark.parametrize('config', [*(str(config_path(name)) for name in METHODS), SCALEDEPTH])
def test_a_step_does_not_wait_for_the_gpu(config):
    _, case, _ = stepped('', config)
    assert count_synchronizations(case.step) == 0


def test_deferred_log_values_are_the_losses():
    """The history, fetched at once, holds what a read in every step would have seen."""
    _, _, runner = stepped('', steps=1)
    loop, hub = runner.train_loop, runner.message_hub
    read = []
    parse = runner.model.parse_losses

    def parse_and_read(losses):
        total, values = parse(losses)
        read.append(float(total))
        return total, values

    object.__setattr__(runner.model, 'parse_losses', parse_and_read)
    for _ in range(4):
        loop.step()
    history = [float(loss) for loss in hub.get_scalar('train/loss').data[0]]
    assert history[-4:] == pytest.approx(read[-4:])


@cuda_alone
def test_batches_of_the_runner_are_page_locked():
    _, cfg = tiny_model('depthformer')
    loader = DepthRunner.build_dataloader(dict(cfg.train_dataloader, batch_size=2, num_workers=0))
    batch = next(iter(loader))
    assert all(image.is_pinned() for image in batch['inputs'])


def test_a_killed_deterministic_run_resumes_to_the_bit(tmp_path):
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    run(*train_command(whole, '--deterministic'))
    process = start(*train_command(cut, '--deterministic'))
    wait_for(process, 'Iter(train) [5/6]')
    process.kill()
    process.wait()
    run(*train_command(cut, '--deterministic', '--resume', 'auto'))
    expected, actual = weights(whole, 6)['state_dict'], weights(cut, 6)['state_dict']
    for name in expected:
        torch.testing.assert_close(actual[name], expected[name], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('dtype', ['bfloat16', pytest.param('float16', marks=cuda_alone)])
def test_mixed_precision_resumes_with_the_state_of_the_scaler(tmp_path, dtype):
    options = [f'optim_wrapper.dtype={dtype}']
    arguments = ('--amp', '--deterministic')
    run(*train_command(tmp_path, *arguments, iterations=4, options=options))
    run(*train_command(tmp_path, *arguments, '--resume', 'auto', iterations=6, options=options))
    before, after = weights(tmp_path, 4)['optimizer'], weights(tmp_path, 6)['optimizer']
    if dtype == 'float16':
        steps = [state['loss_scaler']['_growth_tracker'] for state in (before, after)]
        assert steps[1] - steps[0] == 2 or after['loss_scaler']['scale'] < 65536


def test_sigterm_saves_and_a_resume_continues(tmp_path):
    options = ['default_hooks.checkpoint.interval=900']
    process = start(*train_command(tmp_path, iterations=1000, options=options))
    wait_for(process, '   2/1000]')
    process.send_signal(signal.SIGTERM)
    output = read_to_end(process)
    assert process.returncode == 143, output
    latest = find_latest_checkpoint(tmp_path)
    last = int(latest.stem[5:])
    run(*train_command(tmp_path, '--resume', 'auto', iterations=last + 2))
    assert (tmp_path / f'iter_{last + 2}.pth').exists()


def test_nccl_with_one_process_trains_and_synchronises_batch_norm(tmp_path):
    command = train_command(tmp_path, iterations=2, options=['sync_bn=torch'])
    arguments = command[3:]  # without interpreter, tool and config
    config = 'configs/synthetic/adabins_tiny_rooms.py'
    output = run('bash', 'tools/dist_train.sh', config, '1', *arguments)
    assert (tmp_path / 'iter_2.pth').exists(), output


@pytest.mark.parametrize('method', ['newcrfs', 'adabins', 'dpt'])
def test_deterministic_training_runs(method, tmp_path):
    command = train_command(tmp_path, '--deterministic', iterations=2)
    command[2] = str(config_path(method))
    run(*command)


@cuda_alone
def test_the_log_names_the_attention_backend(tmp_path):
    output = run(*train_command(tmp_path, iterations=1))
    assert 'deformable attention: backend triton, on CUDA' in output
    command = train_command(tmp_path / 'other', '--deform-attn-backend', 'torch', iterations=1)
    assert 'deformable attention: backend torch, as DEPTH_DEFORM' in run(*command)
    assert sys.executable in command
