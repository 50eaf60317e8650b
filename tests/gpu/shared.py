"""What the GPU tests share: the skip without a GPU, tiny configs, and tools started on the GPU."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.models.layers import MultiScaleDeformableAttention
from depth.registry import DATASETS
from tests.shared import REPO, child_environment

# DEPTH_REHEARSE=1 runs on the CPU what can run there, to see that a test is sound before there is a GPU.
REHEARSED = os.environ.get('DEPTH_REHEARSE') == '1'
DEVICE = 'cpu' if REHEARSED else 'cuda'
# On every test of this folder: selected by `pytest -m gpu`, skipped with this reason elsewhere.
GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not REHEARSED and not torch.cuda.is_available(), reason='torch finds no CUDA device'
    ),
]
cuda_alone = pytest.mark.skipif(REHEARSED, reason='cannot be rehearsed on the CPU')
# Of a process, with the start of CUDA and the first compilation of kernels.
TIMEOUT = 3600 if REHEARSED else 120
CONFIG = 'configs/synthetic/depthformer_tiny_rooms.py'
METHODS = ['depthformer', 'binsformer', 'bts', 'adabins', 'dpt', 'newcrfs', 'simipu']
SCALEDEPTH = 'projects/ScaleDepth/configs/ScaleDepth/scaledepth_tiny_rooms_streets.py'
SMALL = [
    'train_cfg.val_interval=100',
    'train_dataloader.batch_size=2',
    'train_dataloader.dataset.num_scenes=7',
    'train_dataloader.dataset.image_size=(64,64)',
    'val_dataloader.dataset.image_size=(64,64)',
    'val_dataloader.dataset.num_scenes=3',
    'test_dataloader.dataset.image_size=(64,64)',
    'test_dataloader.dataset.num_scenes=5',
    'test_dataloader.num_workers=0',
    'default_hooks.logger.interval=1',
    'default_hooks.checkpoint.interval=2',
    'default_hooks.visualization.num_images=0',
]


def config_path(method: str) -> Path:
    return REPO / f'configs/synthetic/{method}_tiny_rooms.py'


def tiny_model(method: str):
    """Return a tiny model on the CPU with seeded random weights, and its config.

    At first deformable attention samples at the centres of pixels, where the gradients of its
    offsets jump: rounding alone decides on their side. Here it samples beside them.
    """
    torch.manual_seed(0)
    cfg = load_config(config_path(method))
    model = build_without_weights(cfg)
    for module in model.modules():
        if isinstance(module, MultiScaleDeformableAttention):
            bias = module.sampling_offsets.bias
            bias.data += torch.rand(bias.shape) - 0.5
    return model, cfg


def rooms_batch(cfg, count: int = 2) -> dict:
    """Return a batch of rendered rooms as a loader makes it, with images of noise.

    In the flat surfaces of rooms the maxima of max pooling are ties, which rounding decides.
    """
    options = dict(cfg.train_dataloader.dataset, num_scenes=count, image_size=(64, 64))
    rooms = DATASETS.build(options)
    samples = [rooms[index] for index in range(count)]
    batch = {key: [sample[key] for sample in samples] for key in ('inputs', 'data_samples')}
    generator = torch.Generator().manual_seed(0)
    noise = []
    for image in batch['inputs']:
        noise.append(torch.randint(0, 256, image.shape, generator=generator, dtype=torch.uint8))
    return dict(batch, inputs=noise)


def total_loss(losses: dict) -> torch.Tensor:
    return sum(value for name, value in losses.items() if 'loss' in name)


def start(*command: str, **kwargs) -> subprocess.Popen:
    """Start a command in the repository; it sees the GPU."""
    environment = child_environment(CUBLAS_WORKSPACE_CONFIG=':4096:8', PYTHON=sys.executable)
    return subprocess.Popen(
        [str(argument) for argument in command],
        cwd=REPO,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **kwargs,
    )


def run(*command: str) -> str:
    """Run a command to its end and return its output, which is shown if it fails."""
    process = start(*command)
    output = read_to_end(process)
    assert process.returncode == 0, output[-4000:]
    return output


def read_to_end(process: subprocess.Popen) -> str:
    """Return the rest of the output of a process; one that hangs is ended, with its children."""
    try:
        return process.communicate(timeout=TIMEOUT)[0]
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun passes it on
    try:
        return f'{process.communicate(timeout=15)[0]}\nended after {TIMEOUT} s'
    except subprocess.TimeoutExpired:
        process.kill()
        raise


def train_command(work_dir: Path, *extra: str, iterations: int = 6, options=()) -> list[str]:
    """Return the command of a tiny training."""
    return [
        sys.executable,
        'tools/train.py',
        CONFIG,
        '--work-dir',
        str(work_dir),
        *extra,
        '--cfg-options',
        f'train_cfg.max_iters={iterations}',
        *SMALL,
        *options,
    ]


def wait_for(process: subprocess.Popen, text: str) -> None:
    """Read the output of a process up to the first line that contains ``text``."""
    lines = []
    timer = threading.Timer(TIMEOUT, process.kill)
    timer.start()
    for line in process.stdout:
        lines.append(line)
        if text in line:
            timer.cancel()
            return
    timer.cancel()
    raise AssertionError(f'the process ended before it printed {text!r}: {"".join(lines)[-4000:]}')


def weights(work_dir: Path, iteration: int) -> dict:
    path = work_dir / f'iter_{iteration}.pth'
    return torch.load(path, weights_only=True, map_location='cpu')


def relative_difference(actual: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    """Return the norm of the difference by the norm of the expected tensors, on the CPU."""
    actual = torch.cat([tensor.detach().cpu().double().flatten() for tensor in actual])
    expected = torch.cat([tensor.detach().cpu().double().flatten() for tensor in expected])
    return float((actual - expected).norm() / expected.norm())
