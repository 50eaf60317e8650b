"""A model from a config or a checkpoint, and depth from images."""

import copy
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch import nn

from depth.cameras import check_camera
from depth.engine.checkpoint import load_checkpoint_file, load_model_state
from depth.engine.config import import_custom_modules, load_config, make_projects_importable, skip_pretrained
from depth.engine.errors import ConfigError
from depth.engine.speed import speed_up_inference, use_channels_last
from depth.registry import MODELS, TRANSFORMS
from depth.structures import DepthDataSample

Image = str | Path | np.ndarray
GROUND_TRUTH_STEPS = ('LoadDepth', 'LoadStereoDepth', 'LoadVelodyneDepth')


def init_model(
    config: str | Path | Config,
    checkpoint: str | Path | None = None,
    device: str | torch.device = 'cpu',
    cfg_options: dict | None = None,
) -> nn.Module:
    """Build a model, load its weights strictly, put it into eval mode.

    Args:
        config: Config file or object; or a checkpoint of this toolbox alone, which carries its config.
        checkpoint: Weights; without them the model has random ones. The pretrained weights that a config names are
            where training starts, they are not fetched here.
        device: Where it runs.
        cfg_options: Values by dotted key that replace those of the config.

    Returns:
        The model; ``model.cfg`` is its config.

    Raises:
        FileNotFoundError, ValueError: If a file is missing, damaged or does not fit.
    """
    state = None
    if isinstance(config, str | Path) and Path(config).suffix in ('.pth', '.pt', '.ckpt'):
        checkpoint = checkpoint or config
        state = load_checkpoint_file(config)
        config = config_from_checkpoint(state, config)
    cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config(config)
    if cfg_options:
        cfg.merge_from_dict(cfg_options)
    if checkpoint is not None:
        state = load_checkpoint_file(checkpoint) if state is None else state
    skip_pretrained(cfg)
    _use_scope()
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        load_model_state(model, state.get('state_dict', state), checkpoint)
    model.cfg = cfg
    model = model.to(device).eval()
    if cfg.get('channels_last'):
        use_channels_last(model)
    speed_up_inference(model, cfg.get('inference'))
    return model


def config_from_checkpoint(checkpoint: dict, path: str | Path) -> Config:
    """Return the config that a checkpoint of this toolbox carries.

    Raises:
        ConfigError: If it carries none.
    """
    text = (checkpoint.get('meta') or {}).get('cfg') if isinstance(checkpoint.get('meta'), dict) else None
    if not isinstance(text, str):
        raise ConfigError(f'{path} carries no config (it was not written by this toolbox); name one with --config')
    make_projects_importable(Path.cwd() / 'config.py')
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, 'config.py')
        file.write_text(text, encoding='utf-8')
        cfg = Config.fromfile(str(file), import_custom_modules=False)
    import_custom_modules(cfg)
    return cfg


def inference_model(
    model: nn.Module, images: Image | Sequence[Image], intrinsics: np.ndarray | Sequence | None = None
) -> DepthDataSample | list[DepthDataSample]:
    """Predict depth through the config's test pipeline.

    Args:
        model: From :func:`init_model`.
        images: Path or BGR uint8 array (H, W, 3), one or a list.
        intrinsics: K (3, 3) of the images, in pixels, for methods that use the camera; the config's
            ``default_intrinsics`` without it.

    Returns:
        One sample an image, with ``pred_depth`` (H, W) float32 in metres on the CPU, at the size of the image (of the
        crop, where the test pipeline crops: ``crop_box`` in its meta says which).

    Raises:
        FileNotFoundError, ValueError: If an image cannot be read or has another type.
    """
    single = isinstance(images, str | Path | np.ndarray)
    pipeline = inference_pipeline(model.cfg)
    samples = []
    for image in [images] if single else images:
        batch = prepare_image(model, image, pipeline, intrinsics)
        with torch.inference_mode():
            sample = model(batch['inputs'], batch['data_samples'], mode='predict')[0]
        samples.append(sample.to('cpu'))
    return samples[0] if single else samples


def prepare_image(
    model: nn.Module,
    image: Image,
    pipeline: Compose | None = None,
    intrinsics: np.ndarray | Sequence | None = None,
) -> dict:
    """Return what the model takes: ``inputs`` (1, 3, H, W) normalised on its device, and ``data_samples``.

    Args:
        model: From :func:`init_model`.
        image: Path or BGR uint8 array (H, W, 3).
        pipeline: From :func:`inference_pipeline`, to build it once for many images.
        intrinsics: K (3, 3) in pixels; the config's ``default_intrinsics`` without it.

    Raises:
        FileNotFoundError, ValueError: If the image cannot be read, or the camera is impossible.
    """
    described = _describe(image)
    default = model.cfg.get('default_intrinsics')
    if intrinsics is not None:
        described['cam_intrinsic'] = check_camera(intrinsics, 'intrinsics')
    elif default is not None:
        described['cam_intrinsic'] = check_camera(default, 'default_intrinsics of the config')
    data = (pipeline or inference_pipeline(model.cfg))(described)
    return model.data_preprocessor(dict(inputs=[data['inputs']], data_samples=[data['data_samples']]))


def inference_pipeline(cfg: Config) -> Compose:
    """Return the config's test pipeline without what needs ground truth."""
    _use_scope()
    loader = cfg.get('test_dataloader') or {}
    steps = (loader.get('dataset') or {}).get('pipeline') or [dict(type='LoadImage'), dict(type='PackDepthInputs')]
    kept = [step for step in copy.deepcopy(list(steps)) if step['type'] not in GROUND_TRUTH_STEPS]
    return Compose([TRANSFORMS.build(step) for step in kept])


def _describe(image: Image) -> dict:
    if not isinstance(image, np.ndarray):
        return dict(img_path=str(image))
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f'an image array must be BGR uint8 of shape (H, W, 3), got {image.dtype} {image.shape}')
    return dict(img=image, img_path='array')


def _use_scope() -> None:
    """Look names up in this toolbox first, whatever ran before in the process."""
    init_default_scope('depth')
