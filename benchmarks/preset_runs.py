"""Short trainings on synthetic scenes under a preset, and predictions of their checkpoints."""

import gc
import multiprocessing
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from depth.engine.acceleration import speed_up_inference, use_channels_last
from depth.engine.runner import build_runner
from depth.registry import DATASETS, MODELS

from .settings import Setting, Spec

METRICS = ('abs_rel', 'rmse', 'd1')
PREDICTION_BATCH = 8  # scenes per forward pass


@dataclass
class Run:
    """Result of one training.

    Attributes:
        losses: Total loss of every iteration.
        metrics: On unseen scenes after the last one, predicted as the runner validates: float32,
            eager.
        state: Weights, on the CPU.
    """

    losses: list[float]
    metrics: dict[str, float]
    state: dict[str, Tensor]


def train(spec: Spec, setting: Setting, seed: int, iterations: int, scenes: int) -> Run:
    """Train a config on scenes of a size, from one seed.

    Args:
        spec: Config, size and batch.
        setting: How it is trained.
        seed: Of weights and data order.
        iterations: How long.
        scenes: How many it is scored on.
    """
    cfg = setting.load(spec)
    shorten(cfg, spec, iterations, scenes)
    cfg.randomness = dict(seed=seed)
    # Runners of one process with equal names would share their message hub and logger.
    cfg.experiment_name = f'{setting.name}_{seed}_{id(cfg)}'
    with (
        tempfile.TemporaryDirectory(prefix='presets_') as folder,
        setting.surroundings(spec.device),
    ):
        cfg.work_dir = folder
        runner = build_runner(cfg)
        model = runner.train()
    losses = [float(value) for value in runner.message_hub.get_scalar('train/loss').data[0]]
    metrics = {
        name: float(runner.message_hub.get_scalar(f'val/{name}').current()) for name in METRICS
    }
    state = {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}
    forget()
    return Run(losses, metrics, state)


def shorten(cfg: Config, spec: Spec, iterations: int, scenes: int) -> None:
    """Change a config to train briefly, validate once at the end and write no checkpoints.

    Raises:
        ValueError: If it does not train on synthetic scenes.
    """
    for loader in ('train_dataloader', 'val_dataloader'):
        dataset = cfg[loader].dataset.type
        if dataset != 'SyntheticDataset':
            raise ValueError(
                f'{spec.config}: presets are compared on synthetic scenes, {loader} has {dataset}',
            )
        cfg[loader].num_workers = 0
        if spec.shape:
            cfg[loader].dataset.image_size = spec.shape
    cfg.val_dataloader.dataset.num_scenes = scenes
    cfg.val_dataloader.batch_size = PREDICTION_BATCH
    if spec.batch_size:
        cfg.train_dataloader.batch_size = spec.batch_size
    cfg.train_cfg.max_iters = cfg.train_cfg.val_interval = iterations
    if 'total_steps' in cfg.param_scheduler:
        cfg.param_scheduler.total_steps = iterations
    cfg.default_hooks.checkpoint = None
    cfg.default_hooks.pop('visualization', None)
    cfg.default_hooks.logger.interval = iterations
    cfg.visualizer = dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')])
    cfg.custom_hooks = [
        hook for hook in cfg.get('custom_hooks', []) if hook['type'] == 'DepthBiasInitHook'
    ]
    cfg.env_cfg.mp_cfg = dict(
        mp_start_method=multiprocessing.get_start_method(),
        opencv_num_threads=0,
    )
    cfg.log_level = 'ERROR'


def predict(
    spec: Spec,
    setting: Setting,
    states: Sequence[dict[str, Tensor]],
    scenes: int,
) -> list[Tensor]:
    """Return the depth (scenes, H, W), metres, of unseen scenes for every checkpoint."""
    cfg = setting.load(spec)
    shorten(cfg, spec, 1, scenes)
    init_default_scope('depth')
    images = scene_images(cfg)
    model = MODELS.build(cfg.model).to(spec.device).eval()
    if cfg.get('channels_last'):
        use_channels_last(model)
    speed_up_inference(model, cfg.get('inference'))
    with setting.surroundings(spec.device):
        depths = [predict_scenes(model, state, images) for state in states]
    forget()
    return depths


def scene_images(cfg: Config) -> list[Tensor]:
    """Return the images (3, H, W) uint8 of the validation scenes."""
    dataset = DATASETS.build(cfg.val_dataloader.dataset)
    return [dataset[index]['inputs'] for index in range(len(dataset))]


def predict_scenes(model: nn.Module, state: dict[str, Tensor], images: Sequence[Tensor]) -> Tensor:
    """Return the depth (N, H, W) of images under the weights ``state``."""
    model.load_state_dict(state)
    depths = []
    with torch.inference_mode():
        for first in range(0, len(images), PREDICTION_BATCH):
            batch = list(images[first : first + PREDICTION_BATCH])
            inputs = model.data_preprocessor(dict(inputs=batch))['inputs']
            depths.append(model.predict_depth(inputs)[:, 0].float().cpu())
    return torch.cat(depths)


def forget() -> None:
    """Free compiled code and memory of the last run."""
    torch.compiler.reset()
    gc.collect()
