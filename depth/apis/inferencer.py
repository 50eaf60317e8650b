"""Images in, files of depth out."""

import glob
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from mmengine.config import Config

from depth.datasets.folder import IMAGE_SUFFIXES, read_cameras
from depth.datasets.transforms.loading import read_image
from depth.structures import DepthDataSample
from depth.visualization import colorize_depth, draw_color_bar, draw_panel, save_depth_png, write_ply
from depth.visualization.files import write_image

from .inference import inference_model, init_model

OUTPUTS = ('png', 'npy', 'color', 'panel', 'ply')


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

        Args:
            inputs: Image file, folder, glob or BGR uint8 array (H, W, 3), one or a list.
            out_dir: Where files go: ``depth/NAME.png`` (16 bit, with a side-car JSON), ``npy/``, ``color/``,
                ``panel/``, ``ply/``.
            outputs: Which of ``png npy color panel ply`` to write.
            intrinsics: fx, fy, cx, cy in pixels of the images, for point clouds and for methods that use the camera.
            fov: Horizontal field of view in degrees, instead; the principal point is the middle.
            show_progress: Print a bar with the remaining time.

        Returns:
            ``predictions``: samples with ``pred_depth``; ``files``: paths written; ``errors``: message by input that
            could not be processed; ``notes``: what was left out and why.

        Raises:
            ValueError: If the inputs name no image, or an option is unknown.
        """
        unknown = [name for name in outputs if name not in OUTPUTS]
        if unknown:
            raise ValueError(f'unknown output {unknown[0]!r}, there are {", ".join(OUTPUTS)}')
        if fov is not None and not 0 < fov < 180:
            raise ValueError(f'--fov is an angle between 0 and 180 degrees, got {fov}')
        images = list_images(inputs)
        result = dict(predictions=[], files=[], errors={}, notes=[])
        for image, name in _progress(images) if show_progress else images:
            try:
                img = image if isinstance(image, np.ndarray) else read_image(image)
                path = None if isinstance(image, np.ndarray) else str(image)
                matrix = self._camera_matrix(img.shape[:2], path, intrinsics, fov)
                sample = inference_model(self.model, img, matrix, path or name)
                sample.set_metainfo(dict(img_path=path))
            except (ValueError, OSError) as error:
                result['errors'][str(name if isinstance(image, np.ndarray) else image)] = str(error)
                continue
            result['predictions'].append(sample)
            if out_dir is not None:
                self._write(sample, img, name, Path(out_dir), outputs, matrix, result)
        return result

    def _write(
        self,
        sample: DepthDataSample,
        img: np.ndarray,
        name: str,
        out_dir: Path,
        outputs: Sequence[str],
        camera: np.ndarray | None,
        result: dict,
    ) -> None:
        depth = sample.pred_depth.numpy()
        top, left, height, width = sample.metainfo.get('crop_box', (0, 0, *img.shape[:2]))
        part = img[top : top + height, left : left + width]
        files = {kind: out_dir / folder / f'{name}{suffix}' for kind, (folder, suffix) in _PLACES.items()}
        if 'png' in outputs:
            save_depth_png(files['png'], depth)
        if 'npy' in outputs:
            files['npy'].parent.mkdir(parents=True, exist_ok=True)
            np.save(files['npy'], depth)
        if 'color' in outputs:
            write_image(files['color'], draw_color_map(depth))
        if 'panel' in outputs:
            write_image(files['panel'], draw_panel(part, depth))
        if 'ply' in outputs and camera is not None:
            of_part = camera - [[0, 0, left], [0, 0, top], [0, 0, 0]]
            write_ply(files['ply'], depth, of_part, part)
        elif 'ply' in outputs and not result['notes']:
            result['notes'].append(
                'no point clouds: they need the camera; give --intrinsics FX FY CX CY or --fov DEGREES, an '
                'intrinsics.json beside images/, or default_intrinsics in the config'
            )
        written = [files[kind] for kind in OUTPUTS if kind in outputs and (kind != 'ply' or camera is not None)]
        result['files'].extend(str(path) for path in written)

    def _camera_matrix(
        self, size: tuple[int, int], path: str | None, intrinsics: Sequence[float] | None, fov: float | None
    ) -> np.ndarray | None:
        """Return K (3, 3) of the full image from what the user, the folder or the config says, None if nobody does."""
        height, width = size
        if intrinsics is not None:
            fx, fy, cx, cy = intrinsics
            return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        if fov is not None:
            focal = width / 2 / math.tan(math.radians(fov) / 2)
            return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        beside = cameras_beside(path) if path else None
        if beside is not None:
            return np.array(beside, np.float64)
        default = self.model.cfg.get('default_intrinsics')
        return None if default is None else np.array(default, np.float64).reshape(3, 3)


_PLACES = dict(
    png=('depth', '.png'), npy=('npy', '.npy'), color=('color', '.png'), panel=('panel', '.png'), ply=('ply', '.ply')
)


def cameras_beside(path: str | Path) -> list[list[float]] | None:
    """Return K of an image ``ROOT/images/NAME`` of a folder data set from ``ROOT/intrinsics.json``, None without it."""
    parents = Path(path).resolve().parents
    root = next((folder for folder in parents if (folder / 'intrinsics.json').is_file()), None)
    if root is None or root not in list(parents)[:3]:
        return None
    try:
        cameras = read_cameras(root / 'intrinsics.json')
    except ValueError:  # some other program's file of that name
        return None
    return cameras.get(Path(path).stem, cameras.get(''))


def draw_color_map(depth: np.ndarray) -> np.ndarray:
    """Return a depth map (H, W) in metres as BGR uint8 with a legend in metres at its right."""
    low, high = (float(value) for value in np.percentile(depth, (1, 99)))
    factor = max(1, round(240 / depth.shape[0]))
    colors = cv2.resize(colorize_depth(depth, low, high), None, fx=factor, fy=factor, interpolation=cv2.INTER_NEAREST)
    return np.hstack([colors, draw_color_bar(colors.shape[0], low, max(high, low + 1e-3), ' m')])


def list_images(inputs: str | Path | np.ndarray | Sequence) -> list[tuple[str | np.ndarray, str]]:
    """Return (image, output name without suffix) for everything that ``inputs`` name; no two names are equal.

    Raises:
        ValueError: If there is none.
    """
    if isinstance(inputs, np.ndarray):
        return [(inputs, '000000')]
    if not isinstance(inputs, str | Path):
        listed = [item for part in inputs for item in list_images(part)]
        return _distinct([(image, f'{i:06d}' if name == '000000' else name) for i, (image, name) in enumerate(listed)])
    path = Path(inputs)
    if path.is_dir():
        found = sorted(item for item in path.rglob('*') if item.suffix.lower() in IMAGE_SUFFIXES)
        named = [(str(item), item.relative_to(path).with_suffix('').as_posix()) for item in found]
    elif glob.has_magic(str(path)) and not path.exists():
        found = sorted(glob.glob(str(path), recursive=True))
        named = [(item, Path(item).stem) for item in found if Path(item).suffix.lower() in IMAGE_SUFFIXES]
    else:
        named = [(str(path), path.stem)]
    if not named:
        raise ValueError(f'{inputs} names no image ({", ".join(IMAGE_SUFFIXES)})')
    return _distinct(named)


def _distinct(named: list[tuple[str | np.ndarray, str]]) -> list[tuple[str | np.ndarray, str]]:
    """Give names that occur again a number: a.jpg and a.png become a and a_1."""
    taken: set[str] = set()
    result = []
    for image, name in named:
        unique, number = name, 0
        while unique in taken:
            number += 1
            unique = f'{name}_{number}'
        taken.add(unique)
        result.append((image, unique))
    return result


def _progress(images: list) -> Sequence:
    from rich.progress import track

    return track(images, description='depth')
