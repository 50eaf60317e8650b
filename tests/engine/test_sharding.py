"""FSDP2 in two gloo processes equals one process: losses, clipping, guard, checkpoints, evaluation."""

import json
import os
import random
import socket

import numpy as np
import pytest
import torch
import torch.distributed as dist
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper

from depth.apis import train
from depth.cli import convert_checkpoint
from depth.datasets import SampleIndex
from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.engine.errors import ConfigError
from depth.engine.plan import count_model
from depth.engine.sharded_checkpoint import shards_folder
from depth.engine.sharding import (
    ShardingOptions,
    compile_blocks,
    find_blocks,
    gathered,
    shard_model,
    sharding_options,
    whole_state,
)
from depth.engine.step_guard import StepGuard
from depth.registry import DATASETS
from depth.sharded_tensors import gather_tensors
from tests.faults.training import SECONDS, SERVER
from tests.shared import REPO

IN_CI = ['dinov3_dpt', 'depthformer']
ALL = [
    'adabins',
    'binsformer',
    'bts',
    'densedepth_r18',
    'depth_anything',
    'depth_anything_3',
    'depth_pro',
    'dinov3_light',
    'dpt',
    'metric3d',
    'moge',
    'newcrfs',
    'simipu',
    'zoedepth',
]


def tiny_config(name):
    """Return the config of a method on four small rooms."""
    special = dict(dinov3_dpt='dinov3_dpt_micro_rooms', densedepth_r18='densedepth_r18_rooms')
    file = special.get(name, f'{name}_tiny_rooms')
    folder = 'densedepth' if name == 'densedepth_r18' else 'synthetic'
    cfg = load_config(REPO / f'configs/{folder}/{file}.py')
    cfg.train_dataloader.dataset.update(num_scenes=8, image_size=(64, 64), cache=False)
    return cfg


def set_seed(number):
    """Seed what a loss or dropout may draw from."""
    torch.manual_seed(number)
    np.random.seed(number)
    random.seed(number)


class Training:
    """A model with its optimizer, fed with batches of two images.

    Args:
        name: Method.
        accumulated: Batches of one step: two in one process are those of two processes.
        options: Of the sharding; None for a whole model.
        bad_step: Step whose second batch is not finite.
        compiled: Compile the blocks.
        max_norm: Clip the gradients to this norm instead of the config's.
        disturbance: Relative change of the first weights at random.
    """

    def __init__(
        self,
        name,
        accumulated,
        options=None,
        bad_step=None,
        compiled=False,
        max_norm=None,
        disturbance=0.0,
    ):
        cfg = tiny_config(name)
        set_seed(0)
        self.model = build_without_weights(cfg)
        if hasattr(self.model.decode_head, 'init_depth_bias'):
            self.model.decode_head.init_depth_bias(3.0)
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter.mul_(1 + disturbance * torch.randn_like(parameter))
        if options is not None:
            shard_model(self.model, options)
        # The schedule of these configs begins at this part of the rate.
        optimizer = dict(cfg.optim_wrapper.optimizer, lr=cfg.optim_wrapper.optimizer.lr / 10)
        settings = dict(
            cfg.optim_wrapper,
            optimizer=optimizer,
            constructor='GroupingOptimWrapperConstructor',
            accumulative_counts=accumulated,
        )
        if max_norm is not None:
            settings['clip_grad'] = dict(max_norm=max_norm)
        self.wrapper = build_optim_wrapper(self.model, settings)
        self.wrapper.guard = StepGuard(self.model, limit=9)
        self.rooms = DATASETS.build(cfg.train_dataloader.dataset)
        self.bad_step, self.factor = bad_step, 1.0
        self.model.data_preprocessor.register_forward_hook(self.scale_images)
        self.accumulated = accumulated
        compile_blocks(self.model, compiled)
        self.model.train()

    def step(self, number, batch):
        """Train on batch 0 or 1 of a step, and return the loss."""
        first = 4 * number + 2 * batch
        samples = [self.rooms[SampleIndex(i % 8, (0, i))] for i in (first, first + 1)]
        data = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
        if batch == 1 and number == self.bad_step:
            self.factor = torch.nan
        if self.wrapper.inner_count % self.accumulated == 0:
            self.wrapper.guard.begin_window()
        set_seed(100 * number + batch)
        loss = self.model.train_step(data, self.wrapper)['loss'].item()
        self.factor = 1.0
        return loss

    def scale_images(self, module, args, output):
        """Make a bad batch: all of its normalised images are NaN."""
        output['inputs'] = output['inputs'] * self.factor


def train_whole(name, steps, accumulated=1, **options):
    """Train in this process; return the losses of both batches of each step, and the weights."""
    training = Training(name, 2 * accumulated, **options)
    losses = [[training.step(number, batch) for batch in (0, 1)] for number in range(steps)]
    return torch.tensor(losses), training.model.state_dict()


def train_sharded(rank, size, folder, name, steps, options, accumulated, others):
    """Train in one of several processes; store its losses and, from the first, the weights."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=size)
    training = Training(name, accumulated, options, **others)
    losses = [training.step(number, rank) for number in range(steps)]
    state = whole_state(training.model)
    with gathered(training.model):
        if rank == 0:  # alone: nothing may be communicated
            training.model.eval()(torch.zeros(1, 3, 64, 64), mode='tensor')
    assert training.model.training or rank == 0
    assert all(parameter.numel() for parameter in training.model.parameters())
    local = sum(p.to_local().numel() for p in training.model.parameters())
    moments = gather_tensors(training.wrapper.optimizer.state_dict()['state'])
    states = training.wrapper.optimizer.state.values()
    local_moments = 0
    for entry in states:
        for key in entry.keys() & {'exp_avg', 'exp_avg_sq'}:
            local_moments += entry[key].to_local().numel()
    content = dict(losses=losses, state=state, local=local, local_moments=local_moments)
    content['moments'] = moments
    torch.save(content, f'{folder}/{rank}.pth')
    dist.barrier()
    dist.destroy_process_group()


def start_processes(target, folder, size, *args):
    """Run a function in processes of rank 0 to size - 1, and return what they stored."""
    processes = [
        SERVER.Process(target=target, args=(rank, size, str(folder), *args)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(SECONDS)
        assert process.exitcode == 0
    return [torch.load(folder / f'{rank}.pth', weights_only=True) for rank in range(size)]


def compare(name, folder, steps, tolerance, options=None, accumulated=1, **others):
    """Compare two sharded processes with one whole; return the contents of the two."""
    options = options or ShardingOptions()
    arguments = (name, steps, options, accumulated, others)
    contents = start_processes(train_sharded, folder, 2, *arguments)
    settings = {key: value for key, value in others.items() if key != 'compiled'}
    expected, state = train_whole(name, steps, accumulated, **settings)
    losses = torch.tensor([content['losses'] for content in contents]).T
    error = ((losses - expected).abs() / expected.abs()).nan_to_num(nan=0.0)
    print(f'{name}: losses {expected[0, 0]:.4f} to {expected[-1, 0]:.4f}')
    print(f'{name}: largest relative difference of a loss {error.max():.2e}')
    assert error.max() < tolerance
    assert torch.equal(losses.isnan(), expected.isnan())
    distance = 0.0
    for key, value in contents[0]['state'].items():
        assert torch.equal(value.isnan(), state[key].isnan())
        distance = max(distance, float((value.double() - state[key].double()).abs().max()))
    print(f'{name}: largest difference of a weight {distance:.2e}')
    whole = sum(value.numel() for value in state.values() if value.is_floating_point())
    assert sum(content['local'] for content in contents) <= whole
    return contents, state


@pytest.mark.parametrize('name', IN_CI)
def test_two_sharded_processes_train_like_one(name, tmp_path):
    contents, state = compare(name, tmp_path, steps=2, tolerance=1e-6, max_norm=0.5)
    num_weights = num_apart = 0
    for key, value in contents[0]['state'].items():
        # Running statistics are of the batches that a process has seen itself.
        if 'running_' in key or key.endswith('num_batches_tracked'):
            continue
        difference = (value - state[key]).abs()
        assert difference.max() <= 2 * 1e-4, key
        num_weights += value.numel()
        num_apart += int((difference > 5e-6).sum())
    # Adam makes a step of up to 1e-4 also of a gradient that is rounding alone: few weights have
    # one.
    assert num_apart < 1e-3 * num_weights
    # What the first process holds is what depth plan counts.
    counts = count_model(tiny_config(name), (64, 64))
    pieces = sum(group.largest_piece(2) for group in counts.groups)
    assert contents[0]['local'] == pieces
    assert contents[0]['local_moments'] == 2 * pieces


# Steps of one process, batches that it accumulates, and the norm to which gradients are clipped.
GRADIENTS = dict(plain=(1, 1, 1e9), clipped=(1, 1, 0.01), accumulated=(2, 2, 1e9))


def moments_of(training):
    """Return Adam's first and second moments by number of the parameter, whole."""
    state = gather_tensors(training.wrapper.optimizer.state_dict()['state'])
    return {number: (entry['exp_avg'], entry['exp_avg_sq']) for number, entry in state.items()}


def collect_moments(rank, size, folder, name):
    """Train for one step of the optimizer in each way; the first process stores the moments."""
    torch.set_num_threads(1)
    dist.init_process_group('gloo', f'file://{folder}/store', rank=rank, world_size=size)
    moments = {}
    for way, (steps, accumulated, max_norm) in GRADIENTS.items():
        training = Training(name, accumulated, ShardingOptions(), max_norm=max_norm)
        for number in range(steps):
            training.step(number, rank)
        moments[way] = moments_of(training)
    torch.save(moments, f'{folder}/{rank}.pth')
    dist.destroy_process_group()


@pytest.mark.parametrize(
    'name', ['dinov3_dpt', pytest.param('depthformer', marks=pytest.mark.long)]
)
def test_gradients_are_those_of_one_process(name, tmp_path):
    """After one step Adam's moments are the gradient and its square, times constants.

    Adam's weights would not show a factor that all gradients have in common.
    """
    actual = start_processes(collect_moments, tmp_path, 2, name)[0]
    norms = {}
    for way, (steps, accumulated, max_norm) in GRADIENTS.items():
        training = Training(name, 2 * accumulated, max_norm=max_norm)
        for number in range(steps):
            for batch in (0, 1):
                training.step(number, batch)
        expected = moments_of(training)
        assert actual[way].keys() == expected.keys()
        for number in expected:
            for first, second in zip(actual[way][number], expected[number], strict=True):
                error = torch.linalg.vector_norm(first - second)
                assert error <= 1e-4 * torch.linalg.vector_norm(second) + 1e-12, (way, number)
        squares = [first.double().square().sum() for first, _ in expected.values()]
        beta = training.wrapper.optimizer.param_groups[0]['betas'][0]
        norms[way] = float(sum(squares).sqrt()) / (1 - beta)
    # The clipping had an effect, and the moments are indeed gradients.
    assert norms['plain'] > 0.02
    assert norms['clipped'] == pytest.approx(0.01, rel=1e-3)
    assert norms['accumulated'] != pytest.approx(norms['plain'], rel=1e-3)


def test_a_step_that_is_not_finite_in_one_process_is_skipped_by_both(tmp_path):
    contents, state = compare('dinov3_dpt', tmp_path, 3, 1e-6, bad_step=1)
    assert contents[1]['losses'][1] != contents[1]['losses'][1]  # NaN
    for key, value in contents[0]['state'].items():
        assert bool(value.isfinite().all())
        torch.testing.assert_close(value, state[key], rtol=1e-5, atol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize(
    ('options', 'settings', 'tolerance'),
    [
        (dict(), dict(accumulated=2), 1e-6),
        (dict(), dict(accumulated=2, bad_step=1), 1e-6),
        (dict(recompute_blocks=True), dict(), 1e-6),
        (dict(recompute_blocks=True), dict(compiled=True), 1e-4),
        (dict(cpu_offload=True), dict(), 1e-6),
        (dict(param_dtype='bfloat16'), dict(), 0.05),
        (dict(param_dtype='bfloat16', reduce_dtype='bfloat16'), dict(), 0.05),
    ],
    ids=['accumulated', 'accumulated-bad', 'recompute', 'compiled', 'offload', 'bf16', 'reduced'],
)
def test_options_of_sharding_train_like_one_process(options, settings, tolerance, tmp_path):
    compare('dinov3_dpt', tmp_path, 4, tolerance, ShardingOptions(**options), **settings)


@pytest.mark.parametrize(
    ('strategy', 'message'),
    [
        ('fsdp', "'ddp' or 'fsdp2', got 'fsdp'"),
        (dict(type='ddp', cpu_offload=True), "'ddp' has no options"),
        (dict(type='fsdp2', offload=True), 'strategy.offload: fsdp2 has param_dtype'),
        (dict(type='fsdp2', param_dtype='half'), "strategy.param_dtype is 'bfloat16'"),
        (dict(type='fsdp2', cpu_offload=1), 'strategy.cpu_offload is True or False'),
        (dict(type='fsdp2', checkpoint='both'), "'full' or 'sharded'"),
    ],
)
def test_a_wrong_strategy_is_refused(strategy, message):
    with pytest.raises(ConfigError, match=message):
        sharding_options(Config(dict(strategy=strategy)))


def test_strategies_without_options():
    assert sharding_options(Config(dict())) is None
    assert sharding_options(Config(dict(strategy='ddp'))) is None
    assert sharding_options(Config(dict(strategy='fsdp2'))) == ShardingOptions()


@pytest.mark.parametrize(('name', 'count'), [('dinov3_dpt', 4), ('depthformer', 8)])
def test_blocks_are_found_and_none_is_inside_of_another(name, count):
    names = find_blocks(build_without_weights(tiny_config(name)))
    assert len(names) == count
    for first in names:
        assert not any(second.startswith(f'{first}.') for second in names)


@pytest.mark.long
@pytest.mark.parametrize('name', IN_CI + ALL)
def test_twenty_steps_of_every_method(name, tmp_path):
    """Equal to 1e-6, or apart by no more than what one rounding of the first weights makes.

    Gathered weights lie at other addresses, where matrix products may be summed in another order. A
    network at its random start multiplies such a rounding in every step.
    """
    arguments = (name, 20, ShardingOptions(), 1, {})
    contents = start_processes(train_sharded, tmp_path, 2, *arguments)
    losses = torch.tensor([content['losses'] for content in contents]).T
    expected, _ = train_whole(name, 20)
    error = growth_of_difference(losses, expected)
    print(f'{name}: largest relative difference of a loss {error[-1]:.2e}')
    if error[-1] < 1e-6:
        return
    disturbed, _ = train_whole(name, 20, disturbance=1e-7)
    control = growth_of_difference(disturbed, expected)
    print(f'{name}: after a disturbance of 1e-7 {control[-1]:.2e}')
    assert error[0] < 1e-6
    assert (error <= 10 * control.clamp(min=1e-7)).all()


def growth_of_difference(losses, expected):
    """Return the largest relative difference up to each step, (steps,)."""
    difference = (losses - expected).abs() / expected.abs()
    return difference.amax(dim=1).cummax(dim=0).values


def train_with_runner(rank, size, folder, work_dir, port, cfg_options, resume):
    """Train the micro config by the runner, in one of several processes."""
    torch.set_num_threads(1)
    if size > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(size),
            MASTER_ADDR='127.0.0.1',
            MASTER_PORT=str(port),
        )
    cfg = load_config(REPO / 'configs/synthetic/dinov3_dpt_micro_rooms.py', RUN | cfg_options)
    launcher = 'pytorch' if size > 1 else 'none'
    train(cfg, work_dir=work_dir, launcher=launcher, resume=resume)
    if size > 1:
        dist.destroy_process_group()
    torch.save({}, f'{folder}/{rank}.pth')


RUN = {
    'train_cfg.max_iters': 4,
    'train_cfg.val_interval': 4,
    'param_scheduler.total_steps': 4,
    'train_dataloader.batch_size': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.dataset.num_scenes': 6,
    'train_dataloader.dataset.image_size': (64, 64),
    'train_dataloader.dataset.cache': False,
    'val_dataloader.dataset.image_size': (64, 64),
    'val_dataloader.dataset.num_scenes': 3,
    'val_dataloader.num_workers': 0,
    'default_hooks.checkpoint.interval': 2,
    'default_hooks.visualization.num_images': 1,
    'visualizer.vis_backends': [dict(type='LocalVisBackend')],
    'custom_hooks': [
        dict(type='FiniteWatchHook'),
        dict(type='DepthBiasInitHook', depth=3.0),
        dict(type='EMAHook', momentum=0.3),
        dict(type='TerminationHook'),
    ],
}


def run_training(folder, name, size, cfg_options, resume=False):
    """Train in some processes and return the work dir."""
    work_dir = folder / name
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    start_processes(train_with_runner, folder, size, str(work_dir), port, cfg_options, resume)
    return work_dir


def equal_states(first, second, tolerance):
    """Compare two nested states; both must have the same entries."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            equal_states(first[key], second[key], tolerance)
    elif isinstance(first, torch.Tensor) and first.is_floating_point():
        torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


def validation(work_dir):
    """Return the last abs_rel that a run has logged."""
    entries = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        entries += [json.loads(line) for line in path.read_text().splitlines()]
    return [entry['abs_rel'] for entry in entries if 'abs_rel' in entry][-1]


FSDP2 = {'strategy': dict(type='fsdp2')}
# Each process writes its pieces, while the training goes on.
SHARDS = {
    'strategy': dict(type='fsdp2', checkpoint='sharded', recompute_blocks=True),
    'default_hooks.checkpoint.asynchronous': True,
}


@pytest.mark.long
def test_a_sharded_run_equals_ddp_and_resumes_exactly(tmp_path):
    # Three validation images on two processes: one has two of them, the other one.
    reference = run_training(tmp_path, 'ddp', 2, {})
    whole = run_training(tmp_path, 'whole', 2, FSDP2)
    shards = run_training(tmp_path, 'shards', 2, SHARDS)
    expected = load_checkpoint_file(reference / 'iter_4.pth')
    for work_dir in (whole, shards):
        content = load_checkpoint_file(work_dir / 'iter_4.pth')
        for key in ('state_dict', 'ema_state_dict', 'optimizer'):
            equal_states(content[key], expected[key], 1e-6)
        assert validation(work_dir) == pytest.approx(validation(reference), rel=1e-5)
    head = torch.load(shards / 'iter_4.pth', weights_only=True)
    assert set(head['shards']) == {'.metadata', '__0_0.distcp', '__1_0.distcp'}
    # Both resume from the middle, and end with the weights of the uninterrupted runs to the bit.
    for options, source in ((FSDP2, whole), (SHARDS, shards)):
        name = f'{source.name}_resumed'
        resumed = run_training(tmp_path, name, 2, options, str(source / 'iter_2.pth'))
        content = load_checkpoint_file(resumed / 'iter_4.pth')
        before = load_checkpoint_file(source / 'iter_4.pth')
        for key in ('state_dict', 'ema_state_dict', 'optimizer'):
            equal_states(content[key], before[key], 0)
    # Checkpoints of two processes continue in one and in three, and those of one in three. Without
    # a learning rate the weights stay; with EMAHook these are the entries of the average.
    still = {'optim_wrapper.optimizer.lr': 1e-30}
    alone = run_training(tmp_path, 'alone', 1, still, str(shards / 'iter_2.pth'))
    longer = SHARDS | still | {'train_cfg.max_iters': 5}
    three = run_training(tmp_path, 'three', 3, longer, str(alone / 'iter_4.pth'))
    expected = load_checkpoint_file(shards / 'iter_2.pth')['ema_state_dict']
    for path, samples in ((alone / 'iter_4.pth', 2 * 2 + 2), (three / 'iter_5.pth', 6 + 3)):
        content = load_checkpoint_file(path)
        assert content['meta']['training']['samples'] == samples
        for key, value in expected.items():
            if key != 'steps':
                after = content['ema_state_dict'][key]
                torch.testing.assert_close(after, value, rtol=0, atol=1e-20)
    # One process loads the sharded file after conversion, and the sharded one the converted.
    assert convert_checkpoint.main([str(shards / 'iter_4.pth'), str(tmp_path / 'one.pth')]) == 0
    assert not shards_folder(tmp_path / 'one.pth').exists()
    arguments = [str(tmp_path / 'one.pth'), str(tmp_path / 'two.pth'), '--to', 'sharded']
    assert convert_checkpoint.main(arguments) == 0
    for name in ('one.pth', 'two.pth'):
        content = load_checkpoint_file(tmp_path / name)
        before = load_checkpoint_file(shards / 'iter_4.pth')
        for key in ('state_dict', 'ema_state_dict', 'optimizer'):
            equal_states(content[key], before[key], 0)
