"""Images in, files of depth out."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

from depth.atomic_write import remove_leftovers, write_atomically
from depth.cameras import check_camera, pinhole_matrix
from depth.datasets.folder import OtherCamerasError, read_cameras
from depth.datasets.transforms.loading import read_image
from depth.structures import DepthDataSample
from depth.visualization import colorize_depth, draw_color_bar, draw_panel, save_depth_png, write_ply
from depth.visualization.output_files import write_array, write_image

from .inference import inference_model, init_model
from .inputs import REPORT, REPORT_FORMAT, InputImage, assign_names, folded, list_inputs, read_report

_PLACES = dict(
    png=('depth', '.png'), npy=('npy', '.npy'), color=('color', '.png'), panel=('panel', '.png'), ply=('ply', '.ply')
)
OUTPUTS = tuple(_PLACES)
WIDEST, LOWEST = 4096, 100  # pixels of a colour map: small maps are enlarged but no strips; the legend needs its room


class DepthInferencer:
    """Predict depth for images, folders and globs and write what is asked for.

    Args:
        model: Config file or object, or a checkpoint that carries its config; None takes the config of ``weights``.
        weights: Checkpoint, if ``model`` is a config or None.
        device: Where the model runs; ``'auto'`` takes a GPU if there is one.
        cfg_options: Values by dotted key that replace those of the config.
        trusted_modules: Modules and packages outside the toolbox and its projects that a checkpoint's config may
            import and name.
    """

    def __init__(
        self,
        model: str | Path | Config | None,
        weights: str | Path | None = None,
        device: str = 'auto',
        cfg_options: dict | None = None,
        trusted_modules: Sequence[str] = (),
    ) -> None:
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
        """Predict, and write to ``out_dir`` if it is given.

        One image that cannot be used never stops the others. What concerns all of them, an option, a camera or a file
        that somebody else wrote where a result would go, is refused before anything is written.

        Args:
            inputs: Image file, folder, glob or BGR uint8 array (H, W, 3), one or a list. Results of inference are
                never inputs, so ``out_dir`` may lie among the images.
            out_dir: Where files go: ``depth/NAME.png`` (16 bit, with a side-car JSON), ``npy/``, ``color/``,
                ``panel/``, ``ply/``; ``report.json`` says which image each NAME is.
            outputs: Which of ``png npy color panel ply`` to write.
            intrinsics: fx, fy, cx, cy in pixels of the images, for point clouds and for methods that use the camera.
            fov: Horizontal field of view in degrees, instead; the principal point is the middle.
            show_progress: Print a bar with the remaining time.

        Returns:
            ``predictions``: samples with ``pred_depth``; ``files``: paths written; ``errors``: message by input that
            could not be processed; ``notes``: what was left out and why; ``images``: for each input, in order,
            ``input`` (absolute path, ``inputs[2]`` for an array), ``name``, ``files`` below ``out_dir``, and ``error``
            (None if there was none).

        Raises:
            ValueError: If the inputs name no image, an option is unknown, or a camera is impossible.
            FileExistsError: If a result would replace a file that no inference wrote.
            OSError: If a file cannot be written; the message names it and the free space.
        """
        _check_options(outputs, intrinsics, fov)
        images, notes = list_inputs(inputs, out_dir)
        cameras = _Cameras(intrinsics, fov, self.model.cfg.get('default_intrinsics'))
        cameras.check([image.path for image in images if image.path is not None])
        notes += cameras.notes
        result = dict(predictions=[], files=[], errors={}, notes=notes, images=[])
        report = None if out_dir is None else _Report(Path(out_dir), images)
        if report is None:
            assign_names(images)
        result['images'] = [dict(input=image.label, name=image.name, files=[], error=None) for image in images]
        if report is not None:
            report.check_places(outputs)
            report.remove_leftovers(outputs)
            report.write(result)
        pairs = list(zip(images, result['images'], strict=True))
        try:
            for image, entry in _progress(pairs) if show_progress else pairs:
                self._process(image, entry, cameras, None if report is None else report.out_dir, outputs, result)
        finally:
            if report is not None:
                report.write(result)
        return result

    def _process(
        self,
        image: InputImage,
        entry: dict,
        cameras: '_Cameras',
        out_dir: Path | None,
        outputs: Sequence[str],
        result: dict,
    ) -> None:
        """Predict and write one image; whatever is wrong with it becomes its error."""
        # An odd image fails anywhere: in OpenCV, in a layer that finds nothing left of 1 row, in memory.
        try:
            img = image.source if image.path is None else read_image(image.path)
            matrix = cameras.matrix(img.shape[:2], image.path)
            sample = inference_model(self.model, img, matrix, image.label)
            sample.set_metainfo(dict(img_path=image.path))
        except Exception as error:
            _note_error(image, error, entry, result)
            return
        result['predictions'].append(sample)
        if out_dir is None:
            return
        try:
            _write(sample, img, out_dir, outputs, matrix, entry, result)
        except OSError:  # the disk's fault: the next image would meet the same
            raise
        except Exception as error:
            _note_error(image, error, entry, result)


def _note_error(image: InputImage, error: Exception, entry: dict, result: dict) -> None:
    text = str(error).strip() or type(error).__name__
    if not isinstance(error, ValueError | OSError):
        text = f'{type(error).__name__}: {text}'
    shown = image.label if image.path is None else image.path
    entry['error'] = text if shown in text else f'{shown}: {text}'
    result['errors'][image.name if image.path is None else image.path] = entry['error']


def _write(
    sample: DepthDataSample,
    img: np.ndarray,
    out_dir: Path,
    outputs: Sequence[str],
    camera: np.ndarray | None,
    entry: dict,
    result: dict,
) -> None:
    depth = sample.pred_depth.numpy()
    top, left, height, width = sample.metainfo.get('crop_box', (0, 0, *img.shape[:2]))
    part = img[top : top + height, left : left + width]
    for kind in OUTPUTS:
        if kind not in outputs or (kind == 'ply' and camera is None):
            continue
        place = _place(entry['name'], kind)
        path = out_dir / place
        if kind == 'png':
            save_depth_png(path, depth)
        elif kind == 'npy':
            write_array(path, depth)
        elif kind == 'color':
            write_image(path, draw_color_map(depth))
        elif kind == 'panel':
            write_image(path, draw_panel(part, depth))
        else:
            write_ply(path, depth, camera - [[0, 0, left], [0, 0, top], [0, 0, 0]], part)
        entry['files'].append(place)
        result['files'].append(str(path))
    if 'ply' in outputs and camera is None and NO_CLOUDS not in result['notes']:
        result['notes'].append(NO_CLOUDS)


NO_CLOUDS = (
    'no point clouds: they need the camera; give --intrinsics FX FY CX CY or --fov DEGREES, an intrinsics.json beside '
    'images/, or default_intrinsics in the config'
)


def _place(name: str, kind: str) -> str:
    folder, suffix = _PLACES[kind]
    return f'{folder}/{name}{suffix}'


def _check_options(outputs: Sequence[str], intrinsics: Sequence[float] | None, fov: float | None) -> None:
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
    """``report.json``: which image each name in an output folder stands for, over all calls that wrote there.

    It is written before the first result, so that what a killed process leaves is known to be a result, and again at
    the end with the files and errors.

    Args:
        out_dir: The output folder.
        images: Get their final names.

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
                f'{self.path} is no report of inference and would be replaced; choose another --out-dir'
            )
        self.earlier: dict[str, dict] = {entry['name']: entry for entry in content.get('images', [])}
        assign_names(images, {name: entry['input'] for name, entry in self.earlier.items()})

    def check_places(self, outputs: Sequence[str]) -> None:
        """See that no result takes the place of a file that is not a result.

        Raises:
            FileExistsError: If one would.
        """
        known = {folded(name) for name in self.earlier}
        for image in self.images:
            if folded(image.name) in known:
                continue
            for kind in outputs:
                path = self.out_dir / _place(image.name, kind)
                if path.exists():
                    raise FileExistsError(
                        f'{path} exists and was not written by inference ({self.path} does not list it), the result of '
                        f'{image.label} would replace it; choose another --out-dir or remove it'
                    )

    def remove_leftovers(self, outputs: Sequence[str]) -> None:
        """Remove what a killed inference left half-written where this one will write."""
        places = {(self.out_dir / _place(image.name, kind)).parent for image in self.images for kind in outputs}
        for folder in {self.out_dir, *places}:
            remove_leftovers(folder)

    def write(self, result: dict) -> None:
        """Write what is known now; entries of another process that writes here stay."""
        listed = {entry['name']: entry for entry in read_report(self.path).get('images', [])}
        entries = listed | {entry['name']: entry for entry in result['images']}
        content = dict(format=REPORT_FORMAT, images=list(entries.values()), notes=result['notes'])
        write_atomically(self.path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')


class _Cameras:
    """The camera of each image, from what the user, the folder or the config says.

    Args:
        intrinsics: fx, fy, cx, cy in pixels, for all images.
        fov: Horizontal field of view in degrees, for all images.
        default: K (3, 3) of the config, for images about which nothing else is known.

    Attributes:
        notes: Files that look like cameras and are not used.

    Raises:
        ValueError: If a value cannot be one of a camera.
    """

    def __init__(
        self, intrinsics: Sequence[float] | None, fov: float | None, default: Sequence[Sequence[float]] | None
    ) -> None:
        self.fov, self.notes = None if fov is None else float(fov), []
        self.default = None if default is None else check_camera(default, 'default_intrinsics of the config')
        self.given = None
        if intrinsics is not None:
            values = list(np.ravel(np.asarray(intrinsics, object)))
            if len(values) != 4:
                raise ValueError(f'--intrinsics takes four numbers, fx fy cx cy, got {len(values)}')
            self.given = pinhole_matrix(*values, '--intrinsics')
        self._beside: dict[Path, dict[str, list[list[float]]]] = {}
        self._files: dict[Path, Path | None] = {}

    def check(self, paths: Sequence[str]) -> None:
        """Read the ``intrinsics.json`` of all images.

        Raises:
            ValueError: If one is damaged or holds an impossible camera.
        """
        if self.given is None and self.fov is None:
            for path in paths:
                self._camera_beside(path)

    def matrix(self, size: tuple[int, int], path: str | None) -> np.ndarray | None:
        """Return K (3, 3) of the full image (H, W), None if nobody says.

        Raises:
            ValueError: If it does not fit the image.
        """
        height, width = size
        if self.given is not None:
            return check_camera(self.given, '--intrinsics', size)
        if self.fov is not None:
            focal = width / 2 / math.tan(math.radians(self.fov) / 2)
            return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        beside = self._camera_beside(path) if path else None
        if beside is not None:
            return check_camera(beside, str(self._files[Path(path).resolve().parent]), size)
        return self.default

    def _camera_beside(self, path: str) -> list[list[float]] | None:
        """Return K of an image ``ROOT/images/NAME`` of a folder data set from ``ROOT/intrinsics.json``, if there."""
        folder = Path(path).resolve().parent
        if folder not in self._files:
            near = [folder, *folder.parents][:3]
            found = (place / 'intrinsics.json' for place in near)
            self._files[folder] = next((file for file in found if file.is_file()), None)
        file = self._files[folder]
        if file is None:
            return None
        if file not in self._beside:
            try:
                self._beside[file] = read_cameras(file)
            except OtherCamerasError as error:  # some other program's file of that name
                self._beside[file] = {}
                self.notes.append(f'not used as cameras: {error}')
        cameras = self._beside[file]
        return cameras.get(Path(path).stem, cameras.get(''))


def draw_color_map(depth: np.ndarray) -> np.ndarray:
    """Return a depth map (H, W) in metres as BGR uint8 with a legend in metres at its right."""
    low, high = (float(value) for value in np.percentile(depth, (1, 99)))
    height, width = depth.shape
    factor = max(1, min(round(240 / height), WIDEST // width))
    colors = cv2.resize(colorize_depth(depth, low, high), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    missing = max(0, LOWEST - colors.shape[0])
    colors = cv2.copyMakeBorder(colors, 0, missing, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    return np.hstack([colors, draw_color_bar(colors.shape[0], low, max(high, low + 1e-3), ' m')])


def _progress(images: list) -> Sequence:
    from rich.progress import track

    return track(images, description='depth')
