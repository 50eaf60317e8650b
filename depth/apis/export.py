"""Export of a model to ONNX, torch.export or TorchScript, with a parity report beside the file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from depth.atomic_write import write_atomically
from depth.datasets.optional_imports import import_optional
from depth.engine.errors import ConfigError
from depth.models.estimators import DepthEstimator

from .export_formats import FORMATS, file_metadata, open_model, write_model
from .export_network import ExportedNetwork, Frame, load_frames, network_inputs
from .export_parity import format_report, parity_report
from .inference import init_model

INPUTS = ('normalized', 'bgr', 'rgb')
MIN_OPSET = 16  # GridSample
MAX_OPSET = 20  # of PyTorch's exporter by tracing
MAX_ONNX_BYTES = 1.9e9  # a protocol buffer ends at 2 GiB
_MULTIPLES = (1, 2, 4, 8, 14, 16, 28, 32, 64)


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
        content = write_model(file_format, network, arguments, is_dynamic, opset, metadata)
        run = open_model(file_format, content, network.output_names)
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
