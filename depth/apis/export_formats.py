"""File formats of exported models: writing with metadata inside, and running what was written."""

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from torch import Tensor, nn

import depth
from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.converters.state import find_source
from depth.engine.stored_config import config_to_data
from depth.evaluation import get_prediction_type
from depth.evaluation.protocols import get_protocol
from depth.export_mode import exporting
from depth.integrity import sha256_of
from depth.models.estimators import DepthEstimator
from depth.registry import DATASETS

from .export_network import ExportedNetwork
from .exported_model import FORMAT, METADATA_PREFIX, open_session

FORMATS = dict(onnx='.onnx', torch_export='.pt2', torchscript='.ts')
METADATA_FILE = 'depth.json'  # inside files of PyTorch

Run = Callable[[tuple[Tensor, ...]], list[np.ndarray]]


def write_model(
    file_format: str,
    network: ExportedNetwork,
    arguments: tuple[Tensor, ...],
    is_dynamic: bool,
    opset: int,
    metadata: dict[str, Any],
) -> bytes:
    """Return the content of an exported file.

    Args:
        file_format: Key of :data:`FORMATS`.
        network: What is exported; it has been called once with ``arguments``.
        arguments: Inputs with which it is traced.
        is_dynamic: Whether images of any size fit; ONNX and TorchScript alone.
        opset: ONNX operator set.
        metadata: From :func:`file_metadata`.
    """
    file = io.BytesIO()
    extra_files = {METADATA_FILE: json.dumps(metadata)}
    with _quiet_tracing(), exporting():
        if file_format == 'onnx':
            _trace_to_onnx(network, arguments, is_dynamic, opset, file)
        elif file_format == 'torchscript':
            traced = torch.jit.trace(network, arguments, check_trace=False)
            torch.jit.save(traced, file, _extra_files=extra_files)
        else:
            program = torch.export.export(network, arguments, strict=False)
            torch.export.save(program, file, extra_files=extra_files)
    content = file.getvalue()
    return _with_onnx_metadata(content, metadata) if file_format == 'onnx' else content


def _trace_to_onnx(
    network: ExportedNetwork,
    arguments: tuple[Tensor, ...],
    is_dynamic: bool,
    opset: int,
    buffer: io.BytesIO,
) -> None:
    """Write an ONNX file without metadata.

    The exporter by torch.export took 23 to 44 s for three tiny models, tracing 1 to 4 s. Parity at
    five sizes shows what a trace has fixed by mistake.
    """
    axes = {}
    if is_dynamic:
        first = 2 if network.inputs == 'normalized' else 1
        axes['image'] = {first: 'height', first + 1: 'width'}
        for name in network.output_names:
            if name != 'intrinsics':
                axes[name] = {2: 'height', 3: 'width'}
    torch.onnx.export(
        network,
        arguments,
        buffer,
        dynamo=False,
        opset_version=opset,
        input_names=['image', 'intrinsics'][: len(arguments)],
        output_names=network.output_names,
        dynamic_axes=axes,
    )


def _with_onnx_metadata(content: bytes, metadata: dict[str, Any]) -> bytes:
    import onnx

    proto = onnx.load_from_string(content)
    properties = {f'{METADATA_PREFIX}{key}': json.dumps(value) for key, value in metadata.items()}
    onnx.helper.set_model_props(proto, properties)
    return proto.SerializeToString()


@contextlib.contextmanager
def _quiet_tracing() -> Iterator[None]:
    """Silence the notes of PyTorch's tracers on every Python number, and on their own age."""
    logger = logging.getLogger('torch.onnx')
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)


def open_model(file_format: str, content: bytes, output_names: list[str]) -> Run:
    """Return a function that runs an exported file: inputs to the arrays of ``output_names``."""
    if file_format == 'onnx':
        return _open_onnx(content, output_names)
    if file_format == 'torchscript':
        module = torch.jit.load(io.BytesIO(content))
    else:
        module = torch.export.load(io.BytesIO(content)).module()

    def run(arguments: tuple[Tensor, ...]) -> list[np.ndarray]:
        return [value.numpy() for value in module(*arguments)]

    return run


def _open_onnx(content: bytes, output_names: list[str]) -> Run:
    session = open_session(content)
    names = [entry.name for entry in session.get_inputs()]

    def run(arguments: tuple[Tensor, ...]) -> list[np.ndarray]:
        values = [argument.numpy() for argument in arguments]
        return session.run(output_names, dict(zip(names, values, strict=True)))

    return run


def file_metadata(
    model: DepthEstimator,
    network: ExportedNetwork,
    checkpoint: str | Path | None,
    size: tuple[int, int],
    is_dynamic: bool,
    multiple: int,
) -> dict[str, Any]:
    """Return what a file says about itself, plain values by name."""
    cfg = model.cfg
    meta = None if checkpoint is None else _checkpoint_meta(checkpoint)
    near, far = model.depth_range
    quantity = get_prediction_type(model.prediction_type)
    return dict(
        format=FORMAT,
        toolbox_version=depth.__version__,
        config_name=_config_name(cfg, meta),
        method=type(model).__name__,
        prediction_type=quantity.value,
        unit=quantity.meaning,
        min_depth=near,
        max_depth=far,
        protocol=_protocol(cfg),
        scene_classes=_scene_classes(cfg, model.decode_head),
        calibration=None if model.calibration is None else model.calibration.describe(),
        weights_licence=_licence(cfg, meta),
        checkpoint_sha256=None if checkpoint is None else sha256_of(checkpoint),
        input=network.inputs,
        input_layout=_input_layout(network),
        takes_intrinsics=network.takes_intrinsics,
        outputs=network.output_names,
        size=list(size),
        dynamic=is_dynamic,
        size_multiple=multiple,
        resize=None if network.resize is None else list(network.resize),
        config=config_to_data(cfg),
    )


def _input_layout(network: ExportedNetwork) -> str:
    """Return type, shape, channel order and normalisation of the input, in words."""
    if network.inputs != 'normalized':
        return f'uint8 (1, H, W, 3), channels {network.inputs.upper()}'
    preprocessor = network.model.data_preprocessor
    order = 'RGB' if preprocessor.bgr_to_rgb else 'BGR'
    mean = [round(value, 4) for value in preprocessor.mean.flatten().tolist()]
    std = [round(value, 4) for value in preprocessor.std.flatten().tolist()]
    return f'float32 (1, 3, H, W), channels {order}, (0..255 - {mean}) / {std}'


def _scene_classes(cfg: Config, head: nn.Module) -> list[str] | None:
    """Return the names of a head's scene classes by number; None where it has none."""
    count = getattr(head, 'num_classes', 0)
    if not count:
        return None
    names = getattr(head, 'scene_classes', None)
    if names is None:
        # Without names of its own, a head counts as the data set that it is tested on.
        dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
        names = getattr(DATASETS.get(dataset.get('type', '')), 'SCENE_CLASSES', ())
    if len(names) < count:
        return [f'class {number}' for number in range(count)]
    return list(names[:count])


def _protocol(cfg: Config) -> dict[str, str] | None:
    """Return name and fingerprint of the protocol that tests of a config use."""
    evaluator = cfg.get('test_evaluator')
    if isinstance(evaluator, list | tuple):
        evaluator = evaluator[0] if evaluator else None
    name = (evaluator or {}).get('protocol')
    if name is None:
        return None
    return dict(name=name, fingerprint=get_protocol(name).describe()['fingerprint'])


def _checkpoint_meta(checkpoint: str | Path) -> dict:
    """Return the meta information of a checkpoint; published ones have none."""
    meta = load_checkpoint_file(checkpoint).get('meta')
    return meta if isinstance(meta, dict) else {}


def _config_name(cfg: Config, meta: dict | None) -> str:
    """Return the name of a config's file; one inside a checkpoint is that of its training."""
    if cfg.filename:
        return Path(cfg.filename).stem
    # mmengine appends the time of the start.
    return re.sub(r'_\d{8}_\d{6}$', '', str((meta or {}).get('experiment_name') or ''))


def _licence(cfg: Config, meta: dict | None) -> str:
    """Return the licence of the weights, as far as checkpoint or config know it."""
    if meta is None:
        return 'random weights'
    licence = meta.get('weights_licence', '')
    if not licence and cfg.get('load_published'):
        licence = find_source(cfg.load_published['method']).weights_licence
    return licence or 'not stated in the checkpoint'
