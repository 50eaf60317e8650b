"""Export of a model to ONNX, torch.export or TorchScript, with a parity report beside the file."""

import contextlib
import io
import json
import logging
import re
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

import depth
from depth.atomic_write import write_atomically
from depth.cameras import check_camera
from depth.datasets.optional_imports import import_optional
from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.converters.state import find_source
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data
from depth.evaluation import get_prediction_type
from depth.evaluation.protocols import get_protocol
from depth.export_mode import exporting
from depth.integrity import sha256_of
from depth.models.estimators import DepthEstimator
from depth.registry import DATASETS
from depth.structures import DepthDataSample

from .exported_model import FORMAT, METADATA_PREFIX, open_session
from .inference import inference_pipeline, init_model
from .inputs import list_inputs

FORMATS = dict(onnx='.onnx', torch_export='.pt2', torchscript='.ts')
INPUTS = ('normalized', 'bgr', 'rgb')
MAX_RELATIVE_L2 = 1e-4
MAX_MASK_SHARE = 1e-3  # of pixels that differ in a mask
NUM_FRAMES = 5  # by default
MIN_OPSET = 16  # GridSample
MAX_OPSET = 20  # of PyTorch's exporter by tracing
MAX_ONNX_BYTES = 1.9e9  # a protocol buffer ends at 2 GiB
_MULTIPLES = (1, 2, 4, 8, 14, 16, 28, 32, 64)


class ExportedNetwork(nn.Module):
    """Estimator with tensors alone as inputs and outputs, for one image at a time.

    Args:
        model: The estimator.
        inputs: ``'normalized'``: the preprocessor's output (1, 3, H, W), float32. ``'bgr'`` or
            ``'rgb'``: uint8 (1, H, W, 3), normalised inside.
        resize: (height, width) to which images are resized inside, bilinear with half-pixel
            centres; predictions are resized back.
        clamp: Clamp metric depth to the depth range once more, after every resize.
        takes_intrinsics: Whether K (1, 3, 3), in pixels of the image, is the second input.
    """

    def __init__(
        self,
        model: DepthEstimator,
        inputs: str = 'normalized',
        resize: tuple[int, int] | None = None,
        clamp: bool = False,
        takes_intrinsics: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.inputs, self.resize = model, inputs, resize
        self.clamp_range: tuple[float, float] | None = None
        if clamp:
            self.clamp_range = (model.decode_head.min_depth, model.decode_head.max_depth)
        self.takes_intrinsics = takes_intrinsics
        self.output_names: list[str] = []

    def forward(self, image: Tensor, intrinsics: Tensor | None = None) -> tuple[Tensor, ...]:
        """Return ``depth`` (1, 1, H, W) and the method's further maps, at the size of the image."""
        if self.inputs == 'normalized':
            size, images = image.shape[-2:], image
        else:
            size = image.shape[1:3]
            images = self._preprocess(image)
        if self.resize is not None and intrinsics is not None:
            intrinsics = _scale_camera(intrinsics, size, self.resize)
        samples = None
        if intrinsics is not None:
            sample = DepthDataSample()
            sample.intrinsics = intrinsics[0]
            samples = [sample]
        maps = self.model.predict_outputs(images, samples)
        self.output_names = list(maps)
        return tuple(self._restore(name, values, size) for name, values in maps.items())

    def _preprocess(self, image: Tensor) -> Tensor:
        """Return the normalised batch (1, 3, h, w) of a uint8 image (1, H, W, 3)."""
        images = image.permute(0, 3, 1, 2).float()
        if self.resize is not None:
            images = F.interpolate(images, size=self.resize, mode='bilinear', align_corners=False)
        preprocessor = self.model.data_preprocessor
        if preprocessor.bgr_to_rgb == (self.inputs == 'bgr'):
            images = images.flip(1)
        images = (images - preprocessor.mean) / preprocessor.std
        divisor = preprocessor.pad_size_divisor
        if divisor == 1:
            return images
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % divisor, 0, -height % divisor))

    def _restore(self, name: str, values: Tensor, size: Sequence[int]) -> Tensor:
        """Return an output at the size of the image."""
        if name == 'intrinsics':
            return values if self.resize is None else _scale_camera(values, self.resize, size)
        if self.resize is not None:
            values = values[..., : self.resize[0], : self.resize[1]]
            is_mask = values.dtype == torch.bool
            values = F.interpolate(
                values.float(), size=tuple(size), mode='bilinear', align_corners=False
            )
            if is_mask:
                values = values > 0.5
            if name == 'normals':
                values = F.normalize(values, dim=1)
        else:
            values = values[..., : size[0], : size[1]]
        if name == 'depth':
            if self.clamp_range is not None:
                values = values.clamp(*self.clamp_range)
            if self.model.calibration is not None:
                values = self.model.calibration(values)
        return values


def _scale_camera(intrinsics: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
    """Return K (1, 3, 3) of an image after a resize from ``before`` to ``after``, (h, w) each."""
    x, y = after[1] / before[1], after[0] / before[0]
    focal_x, focal_y = intrinsics[:, 0, 0] * x, intrinsics[:, 1, 1] * y
    # Pixel centres are at whole numbers: x goes to (x + 0.5) * scale - 0.5.
    center_x = (intrinsics[:, 0, 2] + 0.5) * x - 0.5
    center_y = (intrinsics[:, 1, 2] + 0.5) * y - 0.5
    zero, one = torch.zeros_like(focal_x), torch.ones_like(focal_x)
    rows = [focal_x, zero, center_x, zero, focal_y, center_y, zero, zero, one]
    return torch.stack(rows, dim=1).view(1, 3, 3)


@dataclass
class Frame:
    """Image of the parity report.

    Attributes:
        name: Its path, or where it comes from.
        image: BGR uint8 (H, W, 3), after the test pipeline.
        intrinsics: K (3, 3) in pixels, or None.
    """

    name: str
    image: np.ndarray
    intrinsics: np.ndarray | None

    def at_size(self, size: tuple[int, int]) -> 'Frame':
        """Return the frame, resized to (height, width)."""
        before = self.image.shape[:2]
        if before == tuple(size):
            return self
        image = cv2.resize(self.image, size[::-1], interpolation=cv2.INTER_AREA)
        camera = self.intrinsics
        if camera is not None:
            tensor = torch.as_tensor(camera, dtype=torch.float32)[None]
            camera = _scale_camera(tensor, before, size)[0].numpy()
        return Frame(self.name, image, camera)


def export_model(
    checkpoint: str | Path | None,
    out: str | Path,
    *,
    config: str | Path | Config | None = None,
    file_format: str = 'onnx',
    inputs: str = 'normalized',
    size: tuple[int, int] | None = None,
    resize: tuple[int, int] | None = None,
    dynamic: bool = False,
    clamp: bool = False,
    intrinsics: bool = False,
    opset: int = 17,
    frames: Sequence[str | Path] | None = None,
    cfg_options: dict | None = None,
    trusted_modules: Sequence[str] = (),
) -> dict[str, Any]:
    """Write a model for another runtime, and prove that it computes the same.

    The file predicts what :func:`inference_model` does, before the mirrored image of ``test_cfg``
    and the resize to the original. Beside it, ``OUT.parity.json`` and ``OUT.parity.txt`` report
    relative L2 errors against PyTorch and the time of both, an entry an image.

    Args:
        checkpoint: Weights; None exports random ones of ``config``.
        out: The file; its suffix is that of the format: ``.onnx``, ``.pt2`` or ``.ts``.
        config: Config, if ``checkpoint`` carries none.
        file_format: ``'onnx'``, ``'torch_export'`` or ``'torchscript'``.
        inputs: ``'normalized'``: float32 (1, 3, H, W), the preprocessor's output; ``'bgr'`` or
            ``'rgb'``: uint8 (1, H, W, 3), normalised inside.
        size: (height, width) of the images; by default that of the first frame.
        resize: (height, width) of the network; images of any size are resized to it inside, and
            predictions back. Needs ``inputs`` of uint8.
        dynamic: The file takes images of any size that the network takes.
        clamp: Clamp metric depth to the depth range after every resize.
        intrinsics: Make the camera an input where a method can do without; where it cannot, it
            always is one.
        opset: ONNX operator set, 16 to 20.
        frames: Images, folders or globs for the parity report; by default the first of the
            config's test set, or rendered rooms if that is not there.
        cfg_options: Values by dotted key that replace those of the config.
        trusted_modules: See :func:`init_model`.

    Returns:
        The report: ``passed``, ``max_relative_l2``, ``images``, ``metadata``, ``file``.

    Raises:
        ConfigError: If options do not fit each other or the method.
        FileNotFoundError: If a file is missing.

    A file without parity is not left under its name: it is called ``OUT.failed``.
    """
    out = Path(out)
    _check_options(out, file_format, inputs, size, resize, dynamic, opset)
    if file_format == 'onnx':
        import_optional('onnx', 'export to ONNX', extra='export')
        import_optional('onnxruntime', 'the parity report of an ONNX file', extra='export')
    model = init_model(config, checkpoint, cfg_options=cfg_options, trusted_modules=trusted_modules)
    model.requires_grad_(False)
    _check_method(model, file_format, dynamic, clamp, intrinsics)
    pictures = load_frames(model, frames)
    takes_intrinsics = model.needs_camera or intrinsics
    network = ExportedNetwork(model, inputs, resize, clamp, takes_intrinsics).eval()
    is_dynamic = dynamic or resize is not None
    with torch.no_grad():
        shape = size or pictures[0].image.shape[:2]
        multiple = 1 if resize is not None else size_multiple(network, pictures[0], shape)
        size = _fitting_size(size, multiple, pictures[0])
        sizes = [size]
        if is_dynamic:
            sizes = parity_sizes(network, pictures[0], size, multiple)
        arguments = network_inputs(network, pictures[0].at_size(size))
        network(*arguments)  # sets the names of the outputs
        metadata = file_metadata(model, network, checkpoint, size, is_dynamic, multiple)
        content = _EXPORTERS[file_format](network, arguments, is_dynamic, opset, metadata)
        run = _RUNNERS[file_format](content, network)
        report = parity_report(network, run, pictures, sizes)
    report |= dict(file=out.name, file_format=file_format, bytes=len(content), metadata=metadata)
    target = out if report['passed'] else out.with_name(f'{out.name}.failed')
    if not report['passed'] and out.exists():
        out.unlink()  # an earlier file under this name would pass for this one
    write_atomically(target, content)
    write_atomically(out.with_name(f'{out.name}.parity.json'), json.dumps(report, indent=1) + '\n')
    write_atomically(out.with_name(f'{out.name}.parity.txt'), format_report(report))
    return report


def _check_options(
    out: Path,
    file_format: str,
    inputs: str,
    size: tuple[int, int] | None,
    resize: tuple[int, int] | None,
    dynamic: bool,
    opset: int,
) -> None:
    """Raise ConfigError for options that are unknown or do not fit each other."""
    if file_format not in FORMATS:
        raise ConfigError(f'--format is one of {", ".join(FORMATS)}, got {file_format!r}')
    if out.suffix != FORMATS[file_format]:
        raise ConfigError(
            f'--out {out}: a file of format {file_format} ends in {FORMATS[file_format]}'
        )
    if inputs not in INPUTS:
        raise ConfigError(f'--input is one of {", ".join(INPUTS)}, got {inputs!r}')
    for name, value in (('--size', size), ('--resize', resize)):
        if value is not None and (len(value) != 2 or min(value) < 1):
            raise ConfigError(f'{name} is a height and a width in pixels, got {value}')
    if resize is not None and inputs == 'normalized':
        raise ConfigError('--resize is for images: add --input bgr or --input rgb')
    if resize is not None and dynamic:
        raise ConfigError(
            '--resize fixes the size of the network and takes images of any size: leave --dynamic '
            'out'
        )
    if not MIN_OPSET <= opset <= MAX_OPSET:
        raise ConfigError(
            f'--opset is {MIN_OPSET} (the first with GridSample) to {MAX_OPSET}, got {opset}'
        )
    if file_format == 'torch_export' and (dynamic or resize is not None):
        raise ConfigError(
            '--format torch_export takes one fixed size: leave --dynamic and --resize out, or take '
            '--format onnx'
        )


def _check_method(
    model: DepthEstimator, file_format: str, dynamic: bool, clamp: bool, intrinsics: bool
) -> None:
    """Raise ConfigError for options that the method cannot have."""
    if intrinsics and not model.takes_camera:
        raise ConfigError(f'--intrinsics: {type(model).__name__} does not use the camera')
    reason = model.fixed_size_reason()
    if dynamic and reason is not None:
        raise ConfigError(
            f'--dynamic: {type(model).__name__} has a fixed size in an exported file, because '
            f'{reason}; give --size HEIGHT WIDTH, or --resize HEIGHT WIDTH for images of any size'
        )
    if clamp and model.prediction_type != 'metric':
        raise ConfigError(
            f'--clamp is a range in metres, but the model predicts {model.prediction_type}'
        )
    if file_format == 'onnx':
        total = sum(value.numel() * value.element_size() for value in model.state_dict().values())
        if total > MAX_ONNX_BYTES:
            raise ConfigError(
                f'the weights have {total / 1e9:.1f} GB, and one ONNX file holds 2: export with '
                '--format torchscript'
            )


def size_multiple(network: ExportedNetwork, frame: Frame, size: tuple[int, int]) -> int:
    """Return the smallest number of which both sides of an image have to be multiples.

    The network itself is asked, with images a little larger than ``size``.

    Raises:
        ConfigError: If it takes none of the sizes tried; with the network's own words.
    """
    problem = None
    for multiple in _MULTIPLES:
        # An odd number of multiples, so that no larger one is tried by accident.
        sides = [multiple * (side // multiple // 2 * 2 + 1) for side in size]
        try:
            network(*network_inputs(network, frame.at_size((sides[0], sides[1]))))
        except (ValueError, AssertionError, RuntimeError) as error:
            problem = error
        else:
            return multiple
    raise ConfigError(f'--size {size[0]} {size[1]}: the network does not take it: {problem}')


def parity_sizes(
    network: ExportedNetwork, frame: Frame, size: tuple[int, int], multiple: int
) -> list[tuple[int, int]]:
    """Return five sizes that the network takes: the given one first, then smaller and larger ones.

    Networks have bounds of their own, so sizes that PyTorch refuses are left out.
    """
    factors = [
        (0.75, 0.75),
        (1.25, 1.25),
        (1, 0.75),
        (1.25, 1),
        (0.9, 1.1),
        (1.1, 0.9),
        (1.15, 1.3),
    ]
    sizes = [size]
    for factor in factors:
        sides = [
            _round_to(side * scale, multiple) for side, scale in zip(size, factor, strict=True)
        ]
        candidate = (sides[0], sides[1])
        if len(sizes) == 5 or candidate in sizes:
            continue
        try:
            network(*network_inputs(network, frame.at_size(candidate)))
        except (ValueError, AssertionError, RuntimeError):
            continue
        sizes.append(candidate)
    return sizes


def _fitting_size(size: tuple[int, int] | None, multiple: int, frame: Frame) -> tuple[int, int]:
    """Return the size asked for, or the frame's, rounded to what the network takes.

    Raises:
        ConfigError: If the network does not take the size asked for.
    """
    height, width = size or frame.image.shape[:2]
    rounded = (_round_to(height, multiple), _round_to(width, multiple))
    if size is not None and rounded != tuple(size):
        raise ConfigError(
            f'--size {height} {width}: the network takes multiples of {multiple}, such as '
            f'{rounded[0]} {rounded[1]}'
        )
    return rounded


def _round_to(length: float, multiple: int) -> int:
    return max(round(length / multiple), 1) * multiple


def load_frames(model: DepthEstimator, frames: Sequence[str | Path] | None) -> list[Frame]:
    """Return images for the parity report, after the config's test pipeline.

    Args:
        model: From :func:`init_model`.
        frames: Images, folders or globs; None takes the first images of the test set, or rendered
            rooms.
    """
    pictures = []
    if frames is not None:
        pipeline = inference_pipeline(model.cfg)
        default = model.cfg.get('default_intrinsics')
        images, _ = list_inputs([str(path) for path in frames], None)
        for image in images:
            results = dict(img_path=image.path)
            if default is not None:
                results['cam_intrinsic'] = check_camera(default, 'default_intrinsics of the config')
            pictures.append(_frame(image.path, pipeline(results)))
        return pictures
    dataset = _test_set(model.cfg)
    step = max(len(dataset) // NUM_FRAMES, 1)
    for index in range(0, len(dataset), step)[:NUM_FRAMES]:
        sample = dataset[index]
        path = sample['data_samples'].get('img_path', f'{type(dataset).__name__} {index}')
        pictures.append(_frame(str(path), sample))
    return pictures


def _test_set(cfg: Config) -> Any:
    """Return the test set of a config; rendered rooms where there is none on this machine."""
    loader = cfg.get('test_dataloader') or {}
    if loader.get('dataset'):
        try:
            return DATASETS.build(loader['dataset'])
        except (OSError, ValueError):  # its files are somewhere else
            pass
    pipeline = [dict(type='LoadImage'), dict(type='PackDepthInputs')]
    return DATASETS.build(
        dict(
            type='SyntheticDataset',
            world='rooms',
            split='test',
            num_scenes=NUM_FRAMES,
            image_size=(480, 640),
            test_mode=True,
            pipeline=pipeline,
        )
    )


def _frame(name: str, sample: dict) -> Frame:
    image = sample['inputs'].permute(1, 2, 0).float().round().clamp(0, 255)
    camera = None
    if 'intrinsics' in sample['data_samples']:
        camera = sample['data_samples'].intrinsics.numpy()
    return Frame(name, np.ascontiguousarray(image.byte().numpy()), camera)


def network_inputs(network: ExportedNetwork, frame: Frame) -> tuple[Tensor, ...]:
    """Return the inputs of a network for a frame; a camera of 53 degrees where it has none."""
    image = torch.from_numpy(np.ascontiguousarray(frame.image))
    if network.inputs == 'normalized':
        pixels = image.permute(2, 0, 1)
        preprocessor = network.model.data_preprocessor
        data = dict(inputs=[pixels.to(preprocessor.image_dtype)])
        first = preprocessor(data)['inputs']
    else:
        first = (image.flip(2) if network.inputs == 'rgb' else image)[None].contiguous()
    if not network.takes_intrinsics:
        return (first,)
    camera = frame.intrinsics
    if camera is None:
        height, width = frame.image.shape[:2]
        camera = [[width, 0, (width - 1) / 2], [0, width, (height - 1) / 2], [0, 0, 1]]
    return first, torch.as_tensor(camera, dtype=torch.float32)[None]


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
    head = model.decode_head
    quantity = get_prediction_type(model.prediction_type)
    return dict(
        format=FORMAT,
        toolbox_version=depth.__version__,
        config_name=_config_name(cfg, meta),
        method=type(model).__name__,
        prediction_type=quantity.value,
        unit=quantity.meaning,
        min_depth=getattr(head, 'min_depth', None),
        max_depth=getattr(head, 'max_depth', None),
        protocol=_protocol(cfg),
        scene_classes=_scene_classes(cfg, head),
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
    """Return the names of a head's scene classes in the order of their numbers; None where it has none."""
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


def _export_onnx(
    network: ExportedNetwork,
    arguments: tuple[Tensor, ...],
    is_dynamic: bool,
    opset: int,
    metadata: dict[str, Any],
) -> bytes:
    """Return an ONNX file, by tracing.

    The exporter by torch.export took 23 to 44 s for three tiny models, tracing 1 to 4 s. Parity at five
    sizes shows what a trace has fixed by mistake.
    """
    import onnx

    names = ['image', 'intrinsics'][: len(arguments)]
    axes = {}
    if is_dynamic:
        first = 2 if network.inputs == 'normalized' else 1
        axes['image'] = {first: 'height', first + 1: 'width'}
        for name in network.output_names:
            if name != 'intrinsics':
                axes[name] = {2: 'height', 3: 'width'}
    buffer = io.BytesIO()
    with _quiet_tracing(), exporting():
        torch.onnx.export(
            network,
            arguments,
            buffer,
            dynamo=False,
            opset_version=opset,
            input_names=names,
            output_names=network.output_names,
            dynamic_axes=axes,
        )
    proto = onnx.load_from_string(buffer.getvalue())
    onnx.helper.set_model_props(
        proto, {f'{METADATA_PREFIX}{key}': json.dumps(value) for key, value in metadata.items()}
    )
    return proto.SerializeToString()


def _export_torchscript(
    network: ExportedNetwork,
    arguments: tuple[Tensor, ...],
    is_dynamic: bool,
    opset: int,
    metadata: dict[str, Any],
) -> bytes:
    """Return a TorchScript file, by tracing."""
    file = io.BytesIO()
    with _quiet_tracing(), exporting():
        traced = torch.jit.trace(network, arguments, check_trace=False)
        torch.jit.save(traced, file, _extra_files={'depth.json': json.dumps(metadata)})
    return file.getvalue()


def _export_program(
    network: ExportedNetwork,
    arguments: tuple[Tensor, ...],
    is_dynamic: bool,
    opset: int,
    metadata: dict[str, Any],
) -> bytes:
    """Return a file of torch.export, of one size."""
    file = io.BytesIO()
    with _quiet_tracing(), exporting():
        program = torch.export.export(network, arguments, strict=False)
        torch.export.save(program, file, extra_files={'depth.json': json.dumps(metadata)})
    return file.getvalue()


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


Run = Callable[[tuple[Tensor, ...]], list[np.ndarray]]


def _run_onnx(content: bytes, network: ExportedNetwork) -> Run:
    session = open_session(content)
    names = [entry.name for entry in session.get_inputs()]

    def run(arguments: tuple[Tensor, ...]) -> list[np.ndarray]:
        values = [argument.numpy() for argument in arguments]
        return session.run(network.output_names, dict(zip(names, values, strict=True)))

    return run


def _run_torchscript(content: bytes, network: ExportedNetwork) -> Run:
    return _run_module(torch.jit.load(io.BytesIO(content)))


def _run_program(content: bytes, network: ExportedNetwork) -> Run:
    return _run_module(torch.export.load(io.BytesIO(content)).module())


def _run_module(module: Callable[..., tuple[Tensor, ...]]) -> Run:
    def run(arguments: tuple[Tensor, ...]) -> list[np.ndarray]:
        return [value.numpy() for value in module(*arguments)]

    return run


_EXPORTERS = dict(onnx=_export_onnx, torchscript=_export_torchscript, torch_export=_export_program)
_RUNNERS = dict(onnx=_run_onnx, torchscript=_run_torchscript, torch_export=_run_program)


def parity_report(
    network: ExportedNetwork, run: Run, frames: Sequence[Frame], sizes: Sequence[tuple[int, int]]
) -> dict[str, Any]:
    """Compare an exported file with PyTorch: every frame and every size at least once.

    Args:
        network: What was exported.
        run: Runs the file.
        frames: Images.
        sizes: (height, width) of the images.

    Returns:
        ``passed``; ``max_relative_l2``; ``images``: name, size, error by output, milliseconds of
        both, and ``error`` where one failed.
    """
    entries = []
    for index in range(max(len(frames), len(sizes))):
        size = sizes[index % len(sizes)]
        frame = frames[index % len(frames)].at_size(size)
        arguments = network_inputs(network, frame)
        entry: dict[str, Any] = dict(image=frame.name, size=list(size), passed=False)
        entries.append(entry)
        expected, entry['pytorch_ms'] = _timed(
            lambda inputs: [value.numpy() for value in network(*inputs)], arguments
        )
        try:
            outputs, entry['file_ms'] = _timed(run, arguments)
        except Exception as error:  # each runtime has classes of its own
            entry['error'] = str(error).splitlines()[0][:500]
            continue
        errors = {}
        for name, value, reference in zip(network.output_names, outputs, expected, strict=True):
            errors[name] = output_error(value, reference)
        entry['relative_l2'] = errors
        entry['passed'] = all(
            error <= (MAX_MASK_SHARE if reference.dtype == bool else MAX_RELATIVE_L2)
            for error, reference in zip(errors.values(), expected, strict=True)
        )
    largest = max(
        (entry['relative_l2']['depth'] for entry in entries if 'relative_l2' in entry),
        default=float('inf'),
    )
    return dict(
        passed=all(entry['passed'] for entry in entries),
        limit=MAX_RELATIVE_L2,
        max_relative_l2=largest,
        threads=torch.get_num_threads(),
        images=entries,
    )


def _timed(
    function: Callable[[tuple[Tensor, ...]], list[np.ndarray]], arguments: tuple[Tensor, ...]
) -> tuple[list[np.ndarray], float]:
    """Return the result of a second call, and its milliseconds."""
    function(arguments)
    start = time.perf_counter()
    result = function(arguments)
    return result, round(1000 * (time.perf_counter() - start), 2)


def output_error(value: np.ndarray, reference: np.ndarray) -> float:
    """Return the relative L2 error; of boolean maps the share of pixels that differ.

    Infinity if shapes differ or a value is not finite.
    """
    if value.shape != reference.shape:
        return float('inf')
    if reference.dtype == bool:
        return float((value != reference).mean())
    difference = value.astype(np.float64) - reference
    if not np.isfinite(difference).all():
        return float('inf')
    norm = float(np.linalg.norm(reference.astype(np.float64)))
    error = float(np.linalg.norm(difference))
    if norm == 0:
        return 0.0 if error == 0 else float('inf')
    return error / norm


def format_report(report: dict[str, Any]) -> str:
    """Return a report as a table."""
    verdict = 'parity holds' if report['passed'] else 'PARITY DOES NOT HOLD'
    lines = [
        f'{report["file"]} ({report["file_format"]}, {report["bytes"] / 1e6:.1f} MB): {verdict}, '
        f'relative L2 of depth up to {report["max_relative_l2"]:.2e} '
        f'(limit {report["limit"]:.0e}), {report["threads"]} threads',
        f'{"size":>11}  {"relative L2":>11}  {"PyTorch ms":>10}  {"file ms":>8}  image',
    ]
    for entry in report['images']:
        size = f'{entry["size"][0]}x{entry["size"][1]}'
        if 'error' in entry:
            lines.append(f'{size:>11}  failed: {entry["error"]}  {entry["image"]}')
            continue
        lines.append(
            f'{size:>11}  {entry["relative_l2"]["depth"]:>11.2e}  {entry["pytorch_ms"]:>10.1f}  '
            f'{entry["file_ms"]:>8.1f}  {entry["image"]}'
        )
        for name, error in entry['relative_l2'].items():
            if name != 'depth':
                lines.append(f'{"":>11}  {error:>11.2e}  {name}')
    return '\n'.join(lines) + '\n'
