"""Building of models from configs or checkpoints, and depth prediction for images."""

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.logging import print_log
from mmengine.registry import init_default_scope
from torch import nn

from depth.calibration import stored_calibration
from depth.cameras import check_camera
from depth.datasets.transforms.loading import read_image
from depth.engine.acceleration import (
    set_attention_backend,
    speed_up_inference,
    use_channels_last,
)
from depth.engine.checkpoint import load_checkpoint_file, load_model_state
from depth.engine.config import open_config, skip_pretrained
from depth.engine.errors import ConfigError
from depth.engine.published_weights import weights_for_model
from depth.engine.stored_config import config_from_data
from depth.integrity import check_predictions
from depth.registry import MODELS, TRANSFORMS
from depth.structures import DepthDataSample

from .exported_model import is_exported, model_config, stored_config
from .image_cameras import camera_from_exif
from .image_types import ImageInput, to_bgr_array
from .sparse_inputs import SparseInput, check_takes_sparse_depth, largest_depth, load_points

CHECKPOINT_SUFFIXES = ('.pth', '.pt', '.ckpt')


def init_model(
    config: str | Path | Config | None,
    checkpoint: str | Path | None = None,
    device: str | torch.device = 'cpu',
    cfg_options: dict | None = None,
    trusted_modules: Sequence[str] = (),
) -> nn.Module:
    """Build a model, load its weights strictly, and put it into eval mode.

    Args:
        config: Config file (executed as Python), the name of a shipped one, or object; or a
            checkpoint of this toolbox, which carries its config. None takes the config of
            ``checkpoint``. A config inside a checkpoint is read as data and never executed.
        checkpoint: Weights; random ones without it. An exported file (``.onnx``) runs in place of
            a network, through ONNX Runtime. A published file of the method that the
            config's ``load_published`` names is converted. Pretrained weights that a config names
            are for the start of a training and are not fetched here.
        device: Device of the model.
        cfg_options: Values by dotted key that replace those of the config.
        trusted_modules: Modules and packages outside the toolbox and its projects that a
            checkpoint's config may import and name.

    Returns:
        The model; ``model.cfg`` is its config, ``model.source`` the file of its weights.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or the weights do not fit the model.
    """
    if config is None and checkpoint is None:
        raise ValueError('init_model needs a config, a checkpoint or both')
    exported = checkpoint if checkpoint is not None else config
    if is_exported(exported):
        return _init_exported(exported, config, device, cfg_options, trusted_modules)
    state = None
    is_path = isinstance(config, str | Path)
    if config is None or (is_path and Path(config).suffix in CHECKPOINT_SUFFIXES):
        source = checkpoint if config is None else config
        checkpoint = checkpoint or source
        content = load_checkpoint_file(source)
        config = config_from_checkpoint(content, source, trusted_modules)
        # Read once where config and weights are in one file, which may have gigabytes.
        if Path(checkpoint) == Path(source):
            state = content
    cfg = open_config(config, cfg_options)
    if checkpoint is not None and state is None:
        state = load_checkpoint_file(checkpoint)
    skip_pretrained(cfg)
    _use_scope()
    model = MODELS.build(cfg.model)
    if checkpoint is not None:
        # Choices of published parts are for trainings; a checkpoint of ours has all of them.
        options = cfg.get('load_published')
        options = dict(options, parts=[]) if options else None
        weights = weights_for_model(state, options, model.state_dict(), str(checkpoint))
        load_model_state(model, weights, checkpoint)
    model.cfg = cfg
    model.calibration = None if state is None else stored_calibration(state, str(checkpoint))
    model.source = 'random weights' if checkpoint is None else str(checkpoint)
    model = model.to(device).eval()
    backend = set_attention_backend(model, cfg, device)
    if backend is not None:
        print_log(backend, logger='current')
    if cfg.get('channels_last'):
        use_channels_last(model)
    speed_up_inference(model, cfg.get('inference'))
    return model


def _init_exported(
    path: str | Path,
    config: str | Path | Config | None,
    device: str | torch.device,
    cfg_options: dict | None,
    trusted_modules: Sequence[str],
) -> nn.Module:
    """Return an exported file in place of a model, with the config inside it by default."""
    if config is None or is_exported(config):
        config = stored_config(path, trusted_modules)
    cfg = open_config(config, cfg_options)
    _use_scope()
    model = MODELS.build(model_config(path, cfg.model, device)).to(device).eval()
    model.cfg = cfg
    model.calibration = None
    model.source = str(path)
    return model


def config_from_checkpoint(
    checkpoint: dict, path: str | Path, trusted_modules: Sequence[str] = ()
) -> Config:
    """Return the config inside a checkpoint of this toolbox; nothing in it is executed.

    Args:
        checkpoint: Content of the file.
        path: The file, for messages.
        trusted_modules: See :func:`init_model`.

    Raises:
        ConfigError: If there is none, or it names classes that are not trusted.
    """
    meta = checkpoint.get('meta')
    content = meta.get('cfg') if isinstance(meta, dict) else None
    if content is None:
        raise ConfigError(
            f'{path} carries no config (it was not written by this toolbox); name one with --config'
        )
    return config_from_data(content, path, trusted_modules)


def inference_model(
    model: nn.Module,
    images: ImageInput | Sequence[ImageInput],
    intrinsics: np.ndarray | Sequence | None = None,
    name: str | None = None,
    color_order: str | None = None,
    sparse_depth: SparseInput | Sequence[SparseInput | None] | None = None,
    sparse_scale: float | None = None,
) -> DepthDataSample | list[DepthDataSample]:
    """Predict depth through the config's test pipeline.

    Args:
        model: From :func:`init_model`.
        images: Path, uint8 array (H, W, 3), tensor (3, H, W) or PIL image, one or a list.
        intrinsics: K (3, 3) of the images, in pixels, for methods that use the camera; by default
            ``default_intrinsics`` of the config, or the focal length in the EXIF data of a file.
        name: Name of an image given as an array, for messages.
        color_order: ``'bgr'`` or ``'rgb'``, of arrays and tensors; arrays are BGR by default, a
            tensor needs it (:func:`~depth.apis.image_types.to_bgr_array`).
        sparse_depth: Points of the image, (H, W) in metres with 0 = none, or their file; of several
            images a list, None for those without points.
        sparse_scale: Stored integers per metre, for files of integers.

    Returns:
        One sample per image, with ``pred_depth`` (H, W) float32 in metres on the CPU, at the size
        of the image. Where the test pipeline crops, it is the size of the crop, which ``crop_box``
        in the sample's meta gives.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If an image cannot be read or has another type, the predicted depth is not
            finite, or points do not fit their image or the model takes none.
    """
    is_single = isinstance(images, ImageInput)
    pipeline = inference_pipeline(model.cfg)
    samples = []
    images = [images] if is_single else images
    sources = [sparse_depth] if is_single else sparse_depth
    if sparse_depth is not None:
        check_takes_sparse_depth(model)
        if len(sources) != len(images):
            raise ValueError(
                f'sparse_depth has {len(sources)} entries for {len(images)} images; give one an '
                'image, None where there are no points'
            )
    # One by one, so that a list of any length needs the memory of one image.
    for index, image in enumerate(images):
        if not isinstance(image, str | Path):
            image = to_bgr_array(image, color_order)
        names = None if name is None else [name]
        points = None
        if sparse_depth is not None and sources[index] is not None:
            img = image if isinstance(image, np.ndarray) else read_image(image)
            size = img.shape[:2]
            points = load_points(sources[index], size, sparse_scale, largest_depth(model))
        samples += predict_batch(model, [image], pipeline, [intrinsics], names, [points])
    return samples[0] if is_single else samples


def predict_batch(
    model: nn.Module,
    images: Sequence[str | Path | np.ndarray],
    pipeline: Compose,
    intrinsics: Sequence[np.ndarray | Sequence | None],
    names: Sequence[str] | None = None,
    points: Sequence[np.ndarray | None] | None = None,
) -> list[DepthDataSample]:
    """Predict depth of several images; those of one size at the network are run as one batch.

    Images of different sizes are never padded to each other, because a model must not see padding.

    Args:
        model: From :func:`init_model`.
        images: Path or BGR uint8 array (H, W, 3) each.
        pipeline: From :func:`inference_pipeline`.
        intrinsics: K (3, 3) in pixels of each image, None as in :func:`prepare_image`.
        names: Names of the images for messages; by default their paths.
        points: Sparse depth (H, W) in metres of each image, None for those without.

    Returns:
        Samples on the CPU, in the order of the images.

    Raises:
        FileNotFoundError: If an image does not exist.
        ValueError: If an image cannot be read, or a predicted depth is not finite.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    items = []
    points = [None] * len(images) if points is None else points
    for index, (image, matrix) in enumerate(zip(images, intrinsics, strict=True)):
        name = None if names is None else names[index]
        items.append(_pipeline_output(model, image, pipeline, matrix, name, points[index]))
        groups.setdefault(tuple(items[index]['inputs'].shape), []).append(index)
    samples: list[DepthDataSample | None] = [None] * len(items)
    for members in groups.values():
        data = dict(
            inputs=[items[index]['inputs'] for index in members],
            data_samples=[items[index]['data_samples'] for index in members],
        )
        batch = model.data_preprocessor(data)
        with torch.inference_mode():
            predicted = model(batch['inputs'], batch['data_samples'], mode='predict')
        for index, sample in zip(members, predicted, strict=True):
            samples[index] = sample.to('cpu')
    if names is None:
        names = [sample.metainfo['img_path'] for sample in samples]
    check_predictions(samples, model.source, names)
    return samples


def prepare_image(
    model: nn.Module,
    image: str | Path | np.ndarray,
    pipeline: Compose | None = None,
    intrinsics: np.ndarray | Sequence | None = None,
) -> dict:
    """Return the batch of one image: ``inputs`` (1, 3, H, W), normalised, and ``data_samples``.

    Args:
        model: From :func:`init_model`.
        image: Path or BGR uint8 array (H, W, 3).
        pipeline: From :func:`inference_pipeline`, to build it once for many images.
        intrinsics: K (3, 3) in pixels; by default ``default_intrinsics`` of the config, or the
            focal length in the EXIF data of a file.

    Raises:
        FileNotFoundError: If the image does not exist.
        ValueError: If the image cannot be read, or the camera is impossible.
    """
    data = _pipeline_output(model, image, pipeline or inference_pipeline(model.cfg), intrinsics)
    return model.data_preprocessor(
        dict(inputs=[data['inputs']], data_samples=[data['data_samples']])
    )


def _pipeline_output(
    model: nn.Module,
    image: str | Path | np.ndarray,
    pipeline: Compose,
    intrinsics: np.ndarray | Sequence | None,
    name: str | None = None,
    points: np.ndarray | None = None,
) -> dict:
    """Return ``inputs`` (3, H, W) uint8 and ``data_samples`` of an image, its camera and points.

    Args:
        model: From :func:`init_model`.
        image: Path or BGR uint8 array (H, W, 3).
        pipeline: From :func:`inference_pipeline`.
        intrinsics: K (3, 3) in pixels, or None.
        name: Name of an array, for messages.
        points: Sparse depth (H, W) in metres, 0 = no point; None without.
    """
    results = _load_results(image, name or 'array')
    if points is not None:
        results['sparse_depth'] = points
    default = model.cfg.get('default_intrinsics')
    if intrinsics is not None:
        results['cam_intrinsic'] = check_camera(intrinsics, 'intrinsics')
    elif default is not None:
        results['cam_intrinsic'] = check_camera(default, 'default_intrinsics of the config')
    elif not isinstance(image, np.ndarray):
        camera = camera_from_exif(image)
        if camera is not None:
            results['cam_intrinsic'] = camera
    return pipeline(results)


def inference_pipeline(cfg: Config) -> Compose:
    """Return the config's test pipeline without the transforms that need ground truth.

    These are the ones whose class says ``needs_ground_truth = True``.
    """
    _use_scope()
    loader = cfg.get('test_dataloader') or {}
    steps = (loader.get('dataset') or {}).get('pipeline')
    if not steps:
        steps = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
    transforms = []
    for step in copy.deepcopy(list(steps)):
        transform_class = step['type']
        # None if the name is unknown, of which `build` says more.
        if isinstance(transform_class, str):
            transform_class = TRANSFORMS.get(transform_class)
        if not getattr(transform_class, 'needs_ground_truth', False):
            transforms.append(TRANSFORMS.build(step))
    return Compose(transforms)


def _load_results(image: str | Path | np.ndarray, name: str) -> dict:
    """Return the input of the pipeline for a path or a BGR array of a name."""
    if not isinstance(image, np.ndarray):
        return dict(img_path=str(image))
    return dict(img=to_bgr_array(image), img_path=name)


def _use_scope() -> None:
    """Make ``depth`` the default scope, whatever code ran before in the process."""
    init_default_scope('depth')
