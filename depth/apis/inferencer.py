"""Depth inference on files and folders, with results written as images, arrays and point clouds."""

import errno
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from depth.atomic_write import remove_leftovers, write_atomically
from depth.datasets.transforms.loading import read_image
from depth.evaluation import PredictionType, get_prediction_type
from depth.structures import DepthDataSample
from depth.visualization import (
    colorize_depth,
    draw_color_bar,
    draw_panel,
    save_depth_png,
    write_ply,
)
from depth.visualization.output_files import write_array, write_image

from .image_cameras import ImageCameras
from .inference import inference_model, init_model
from .inputs import (
    REPORT,
    REPORT_FORMAT,
    InputImage,
    assign_names,
    folded,
    list_inputs,
    read_report,
)

# Folder and suffix of each kind of result.
_RESULT_FILES = dict(
    png=('depth', '.png'),
    npy=('npy', '.npy'),
    color=('color', '.png'),
    panel=('panel', '.png'),
    ply=('ply', '.ply'),
)
OUTPUTS = tuple(_RESULT_FILES)
# Colour maps: small ones are enlarged to about 240 pixels of height, but not beyond this width,
# and padded to the height that the legend needs.
MAX_COLOR_WIDTH = 4096
MIN_COLOR_HEIGHT = 100


class DepthInferencer:
    """Depth predictor for images, folders and globs, which writes the results to files.

    Args:
        model: Config file or object, or a checkpoint that carries its config; None takes the config
            of ``weights``; or a model of ``init_model`` or ``from_pretrained``, which stays where
            it is.
        weights: Checkpoint; needed if ``model`` is a config or None.
        device: Where the model runs; ``'auto'`` takes a GPU if there is one.
        cfg_options: Values by dotted key that replace those of the config.
        trusted_modules: Modules and packages outside the toolbox and its projects that a
            checkpoint's config may import and name.
    """

    def __init__(
        self,
        model: str | Path | Config | nn.Module | None,
        weights: str | Path | None = None,
        device: str = 'auto',
        cfg_options: dict | None = None,
        trusted_modules: Sequence[str] = (),
    ) -> None:
        if isinstance(model, nn.Module):
            self.model = model
            return
        if device == 'auto':
            device = 'cuda' if torch.cuda.is_available() else 'cpu'
        self.model = init_model(model, weights, device, cfg_options, trusted_modules)

    def __call__(
        self,
        inputs: str | Path | np.ndarray | Sequence,
        out_dir: str | Path | None = None,
        outputs: Sequence[str] = OUTPUTS,
        intrinsics: Sequence[float] | None = None,
        fov: float | None = None,
        show_progress: bool = False,
    ) -> dict:
        """Predict depth, and write the results to ``out_dir`` if it is given.

        An image that cannot be processed becomes an entry of ``errors`` and does not stop the
        others. Errors that concern all images (an unknown option, an impossible camera, a foreign
        file in the place of a result) are raised before anything is written.

        Args:
            inputs: Image file, folder, glob or BGR uint8 array (H, W, 3), one or a list. Results of
                an earlier inference are left out, so ``out_dir`` may lie among the images.
            out_dir: Folder of the results: ``depth/NAME.png`` (16 bit, with a side-car JSON),
                ``npy/``, ``color/``, ``panel/``, ``ply/``; ``report.json`` maps each NAME to its
                image.
            outputs: Kinds of results to write, of ``png npy color panel ply``.
            intrinsics: fx, fy, cx, cy in pixels of the images, for point clouds and for methods
                that use the camera.
            fov: Horizontal field of view in degrees, instead of ``intrinsics``; the principal point
                is the centre of the image.
            show_progress: Print a progress bar with the remaining time.

        Returns:
            A dict of ``predictions``: samples with ``pred_depth``; ``files``: paths written;
            ``errors``: message by input that could not be processed; ``notes``: outputs and inputs
            left out, with the reason; ``images``: for each input, in order, ``input`` (absolute
            path, ``inputs[2]`` for an array), ``name``, ``files`` below ``out_dir``, and ``error``
            (None if there was none).

        Raises:
            ValueError: If the inputs name no image, an option is unknown, or a camera is
                impossible.
            FileExistsError: If a result would replace a file that no inference wrote.
            OSError: If a file cannot be written; the message names it and the free space.
        """
        _check_options(outputs, intrinsics, fov)
        images, notes = list_inputs(inputs, out_dir)
        cameras = ImageCameras(intrinsics, fov, self.model.cfg.get('default_intrinsics'))
        cameras.check([image.path for image in images if image.path is not None])
        notes += cameras.notes
        if self.model.calibration is not None:
            notes.append(self.model.calibration.describe())
        result = dict(predictions=[], files=[], errors={}, notes=notes, images=[])
        report = None
        if out_dir is None:
            assign_names(images)
        else:
            out_dir = Path(out_dir)
            report = _Report(out_dir, images)
        for image in images:
            result['images'].append(dict(input=image.label, name=image.name, files=[], error=None))
        if report is not None:
            report.check_result_paths(outputs)
            report.remove_leftovers(outputs)
            # Written before the first result: if the process is killed, the next inference knows
            # which files are results.
            report.write(result)
        pairs = list(zip(images, result['images'], strict=True))
        if show_progress:
            pairs = _track_progress(pairs)
        try:
            for image, entry in pairs:
                self._process(image, entry, cameras, out_dir, outputs, result)
        finally:
            if report is not None:
                report.write(result)
        return result

    def _process(
        self,
        image: InputImage,
        entry: dict,
        cameras: ImageCameras,
        out_dir: Path | None,
        outputs: Sequence[str],
        result: dict,
    ) -> None:
        """Predict and write one image; an exception becomes the ``error`` of its entry."""
        # An unusual image can fail anywhere: in OpenCV, in a layer that pools one row to none, for
        # lack of memory. So every exception is caught.
        try:
            img = image.source if image.path is None else read_image(image.path)
            matrix = cameras.matrix(img.shape[:2], image.path)
            sample = inference_model(self.model, img, matrix, image.label)
            sample.set_metainfo(dict(img_path=image.path))
        except Exception as error:
            _record_error(image, error, entry, result)
            return
        result['predictions'].append(sample)
        if out_dir is None:
            return
        try:
            _write(sample, img, out_dir, outputs, matrix, entry, result)
        except OSError as error:
            # A full or read-only disk fails for the next image too, unlike a name that is too long.
            if error.errno != errno.ENAMETOOLONG:
                raise
            _record_error(image, error, entry, result)
        except Exception as error:
            _record_error(image, error, entry, result)


def _record_error(image: InputImage, error: Exception, entry: dict, result: dict) -> None:
    """Put the message of an exception, with the image's label, into the result."""
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, ValueError | OSError):
        text = f'{type(error).__name__}: {text}'
    if image.path is None:
        label, key = image.label, image.name
    else:
        label = key = image.path
    entry['error'] = text if label in text else f'{label}: {text}'
    result['errors'][key] = entry['error']


def _write(
    sample: DepthDataSample,
    img: np.ndarray,
    out_dir: Path,
    outputs: Sequence[str],
    camera: np.ndarray | None,
    entry: dict,
    result: dict,
) -> None:
    """Write the results of one image and list them in its entry and in ``result``."""
    depth = sample.pred_depth.numpy()
    # Pixels that the method masks, such as sky, have no depth in pictures and point clouds.
    visible = depth
    if 'pred_mask' in sample:
        visible = np.where(sample.pred_mask.numpy() > 0.5, depth, np.float32(0))
    quantity = get_prediction_type(sample.metainfo.get('prediction_type', 'metric'))
    unit = ' m' if quantity is PredictionType.METRIC else ''
    top, left, cropped = 0, 0, img
    # Test pipelines may crop, as that of KITTI does: the depth is that of the window.
    if 'crop_box' in sample.metainfo:
        top, left, height, width = sample.metainfo['crop_box']
        cropped = img[top : top + height, left : left + width]
    if camera is not None:
        # The principal point moves with the crop.
        camera = camera - [[0, 0, left], [0, 0, top], [0, 0, 0]]
    elif 'pred_intrinsics' in sample:
        camera = sample.pred_intrinsics.numpy()
    for kind in OUTPUTS:
        if kind not in outputs:
            continue
        if kind == 'ply' and (camera is None or quantity.ambiguity == 2):
            note = NO_CLOUDS if camera is None else NO_RELATIVE_CLOUDS
            if note not in result['notes']:
                result['notes'].append(note)
            continue
        relative_path = _result_path(entry['name'], kind)
        path = out_dir / relative_path
        if kind == 'png':
            save_depth_png(path, depth, prediction_type=quantity.value)
        elif kind == 'npy':
            write_array(path, depth)
        elif kind == 'color':
            write_image(path, draw_color_map(visible, quantity.is_inverse, unit))
        elif kind == 'panel':
            write_image(path, draw_panel(cropped, visible, inverse=quantity.is_inverse, unit=unit))
        else:
            if quantity.is_inverse:  # no point where the inverse depth is zero
                visible = np.divide(1, visible, out=np.zeros_like(visible), where=visible > 0)
            write_ply(path, visible, camera, cropped)
            if quantity.ambiguity == 1 and UNSCALED_CLOUDS not in result['notes']:
                result['notes'].append(UNSCALED_CLOUDS)
        entry['files'].append(relative_path)
        result['files'].append(str(path))


NO_CLOUDS = (
    'no point clouds: they need the camera; give --intrinsics FX FY CX CY or --fov DEGREES, an '
    'intrinsics.json beside images/, default_intrinsics in the config, a focal length in the EXIF data, '
    'or a model that estimates the camera'
)
NO_RELATIVE_CLOUDS = (
    'no point clouds: the model predicts depth or inverse depth up to a factor and an offset, and the unknown offset '
    'would bend the scene'
)
UNSCALED_CLOUDS = 'the unit of the point clouds is unknown: the model predicts depth up to a factor'


def _result_path(name: str, kind: str) -> str:
    """Return the path of a result below the output folder."""
    folder, suffix = _RESULT_FILES[kind]
    return f'{folder}/{name}{suffix}'


def _check_options(
    outputs: Sequence[str], intrinsics: Sequence[float] | None, fov: float | None
) -> None:
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown:
        raise ValueError(f'unknown output {unknown[0]!r}, there are {", ".join(OUTPUTS)}')
    if intrinsics is not None and fov is not None:
        raise ValueError('--intrinsics and --fov both say what the camera is; give one of them')
    if fov is not None:
        try:
            fov = float(fov)
        except (TypeError, ValueError):
            fov = math.nan
        if not 0 < fov < 180:
            raise ValueError(f'--fov is an angle between 0 and 180 degrees, got {fov}')


class _Report:
    """``report.json`` of an output folder: the image of each result name, over all calls.

    Args:
        out_dir: The output folder.
        images: Images of this call; they get their final names.

    Raises:
        FileExistsError: If there is a ``report.json`` of something else, or the folder is a file.
    """

    def __init__(self, out_dir: Path, images: list[InputImage]) -> None:
        self.out_dir, self.images = out_dir, images
        self.path = out_dir / REPORT
        if out_dir.exists() and not out_dir.is_dir():
            raise FileExistsError(f'--out-dir {out_dir} is a file; name a folder')
        content = read_report(self.path)
        if self.path.exists() and not content:
            raise FileExistsError(
                f'{self.path} is no report of inference and would be replaced; choose another '
                '--out-dir'
            )
        self.earlier_inputs: dict[str, str] = {}
        for entry in content.get('images', []):
            self.earlier_inputs[entry['name']] = entry['input']
        assign_names(images, self.earlier_inputs)

    def check_result_paths(self, outputs: Sequence[str]) -> None:
        """Check that no result would replace a file that inference did not write.

        Raises:
            FileExistsError: If one would.
        """
        earlier_names = set(map(folded, self.earlier_inputs))
        for image in self.images:
            if folded(image.name) in earlier_names:
                continue
            for kind in outputs:
                path = self.out_dir / _result_path(image.name, kind)
                if path.exists():
                    raise FileExistsError(
                        f'{path} exists and was not written by inference ({self.path} does not list '
                        f'it), the result of {image.label} would replace it; choose another '
                        '--out-dir or remove it'
                    )

    def remove_leftovers(self, outputs: Sequence[str]) -> None:
        """Remove temporary files of a killed inference from the folders that this one writes to."""
        folders = {self.out_dir}
        for image in self.images:
            for kind in outputs:
                folders.add((self.out_dir / _result_path(image.name, kind)).parent)
        for folder in folders:
            remove_leftovers(folder)

    def write(self, result: dict) -> None:
        """Write the report; entries of earlier calls and of other processes are kept."""
        # Read again: another process may have written to the folder since this one started.
        entries = {}
        for entry in read_report(self.path).get('images', []) + result['images']:
            entries[entry['name']] = entry
        content = dict(format=REPORT_FORMAT, images=list(entries.values()), notes=result['notes'])
        write_atomically(self.path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


def draw_color_map(depth: np.ndarray, inverse: bool = False, unit: str = ' m') -> np.ndarray:
    """Return a map (H, W) as BGR uint8 with a colour bar at its right.

    Args:
        depth: Metres, 0 = none; or inverse depth.
        inverse: Whether it is inverse depth.
        unit: Unit of the bar.
    """
    values = depth if inverse or not (depth > 0).any() else depth[depth > 0]
    # Percentiles: a single far pixel would leave all others one colour.
    low, high = np.percentile(values, (1, 99)).tolist()
    height, width = depth.shape
    factor = max(1, min(round(240 / height), MAX_COLOR_WIDTH // width))
    colors = cv2.resize(
        colorize_depth(depth, low, high, inverse),
        None,
        fx=factor,
        fy=factor,
        interpolation=cv2.INTER_NEAREST,
    )
    padding = max(0, MIN_COLOR_HEIGHT - colors.shape[0])
    colors = cv2.copyMakeBorder(
        colors, 0, padding, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)
    )
    kind = 'inverse_depth' if inverse else 'depth'
    bar = draw_color_bar(colors.shape[0], low, max(high, low + 1e-3), unit, kind)
    return np.hstack([colors, bar])


def _track_progress(images: list) -> Iterable:
    """Return an iterator over ``images`` that draws a progress bar."""
    from rich.progress import track

    return track(images, description='depth')
