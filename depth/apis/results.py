"""Result files of one image: depth, arrays, pictures and point clouds."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmengine.config import Config

from depth.evaluation import PredictionType, get_prediction_type, get_protocol
from depth.structures import DepthDataSample
from depth.visualization import (
    CloudOptions,
    ColorScale,
    draw_color_map,
    draw_panel,
    fit_scale,
    save_depth_png,
    write_glb,
    write_ply,
)
from depth.visualization.color_scale import INVERSE_RATIO
from depth.visualization.output_files import write_array, write_image

# Folder and suffix of each kind of result.
RESULT_FILES = dict(
    png=('depth', '.png'),
    npy=('npy', '.npy'),
    color=('color', '.png'),
    panel=('panel', '.png'),
    ply=('ply', '.ply'),
    glb=('glb', '.glb'),
)
OUTPUTS = tuple(RESULT_FILES)
DEFAULT_OUTPUTS = ('png', 'npy', 'color', 'panel', 'ply')
PICTURES = ('color', 'panel')
CLOUDS = ('ply', 'glb')
RANGES = ('protocol', 'first', 'image')
# A near end below this share of the far end is drawn as 0: published protocols begin at 1 mm.
NEAR_SHARE = 0.05

NO_CLOUDS = (
    'no point clouds: they need the camera; give --intrinsics FX FY CX CY or --fov DEGREES, an '
    'intrinsics.json beside images/, default_intrinsics in the config, a focal length in the EXIF '
    'data, or a model that estimates the camera'
)
NO_RELATIVE_CLOUDS = (
    'no point clouds: the model predicts depth or inverse depth up to a factor and an offset, and '
    'the unknown offset would bend the scene'
)
UNSCALED_CLOUDS = 'the unit of the point clouds is unknown: the model predicts depth up to a factor'


@dataclass(frozen=True)
class PictureOptions:
    """Choices of colours and point clouds.

    Args:
        color_range: Near and far end of the colours, in metres or the unit of the prediction; or
            where they come from: ``'protocol'``, the range of the config's test protocol, and where
            the prediction is not metric or there is none, as ``'first'``; ``'first'``, the first
            image, then fixed; ``'image'``, each image its own.
        colormap: Key of :data:`~depth.visualization.COLOR_MAPS`.
        by_inverse: Colours by inverse depth, also where the map is depth.
        cloud: Points of clouds.

    Raises:
        ValueError: If the range is none.
    """

    color_range: tuple[float, float] | str = 'protocol'
    colormap: str = 'turbo'
    by_inverse: bool = False
    cloud: CloudOptions = field(default_factory=CloudOptions)

    def __post_init__(self) -> None:
        if isinstance(self.color_range, str):
            if self.color_range not in RANGES:
                raise ValueError(
                    f'a colour range is two numbers or one of {", ".join(RANGES)}, got '
                    f'{self.color_range!r}'
                )
        elif len(self.color_range) != 2:
            raise ValueError(f'a colour range is two numbers, got {self.color_range}')
        # Values are checked here, before a model predicts anything.
        if not isinstance(self.color_range, str):
            low, high = self.color_range
            ColorScale(float(low), float(high), 'depth', '', self.colormap, self.by_inverse)
        else:
            ColorScale(1.0, 2.0, 'depth', '', self.colormap, self.by_inverse)


class ScaleChooser:
    """Colour scale of each map of a folder or video: one for all, unless each has its own.

    Args:
        options: Range and colours.
        cfg: Config of the model, for the range of its protocol.
    """

    def __init__(self, options: PictureOptions, cfg: Config | dict) -> None:
        self.options = options
        self.protocol_range = protocol_range(cfg)
        self.fixed: ColorScale | None = None

    def choose(self, values: np.ndarray, quantity: PredictionType) -> ColorScale:
        """Return the scale of a map (H, W) of a quantity."""
        if self.fixed is not None:
            return self.fixed
        kind = 'inverse_depth' if quantity.is_inverse else 'depth'
        unit = {PredictionType.METRIC: ' m', PredictionType.INVERSE_DEPTH: ' 1/m'}.get(quantity, '')
        by_inverse = self.options.by_inverse and kind == 'depth'
        span = self.options.color_range
        if span == 'protocol' and quantity is PredictionType.METRIC and self.protocol_range:
            near, far = self.protocol_range
            near = near if near >= NEAR_SHARE * far else 0.0
            span = (max(near, far / INVERSE_RATIO) if by_inverse else near, far)
        if isinstance(span, str):
            scale = fit_scale(values, kind, unit, self.options.colormap, by_inverse)
        else:
            low, high = float(span[0]), float(span[1])
            scale = ColorScale(low, high, kind, unit, self.options.colormap, by_inverse)
        if span != 'image':
            self.fixed = scale
        return scale


def protocol_range(cfg: Config | dict) -> tuple[float, float] | None:
    """Return near and far end, in metres, of the config's test protocol; None if there is none."""
    evaluator = cfg.get('test_evaluator')
    name = evaluator.get('protocol') if isinstance(evaluator, dict) else None
    if not isinstance(name, str):
        return None
    protocol = get_protocol(name)
    return (protocol.min_depth, protocol.max_depth) if np.isfinite(protocol.max_depth) else None


@dataclass
class Prediction:
    """A prediction prepared for its result files.

    Attributes:
        depth: (H, W) float32, the quantity that the model predicts.
        visible: The same, 0 where the method masks pixels, such as sky.
        img: BGR uint8 of the same size.
        camera: (3, 3) in pixels of it, None if it is unknown.
        quantity: Type of the prediction.
    """

    depth: np.ndarray
    visible: np.ndarray
    img: np.ndarray
    camera: np.ndarray | None
    quantity: PredictionType

    @classmethod
    def from_sample(
        cls, sample: DepthDataSample, img: np.ndarray, camera: np.ndarray | None
    ) -> 'Prediction':
        """Prepare a predicted sample, its whole image (BGR) and the image's camera."""
        depth = sample.pred_depth.numpy()
        visible = depth
        if 'pred_mask' in sample:
            visible = np.where(sample.pred_mask.numpy() > 0.5, depth, np.float32(0))
        top, left = 0, 0
        # Test pipelines may crop, as that of KITTI does: the depth is that of the window.
        if 'crop_box' in sample.metainfo:
            top, left, height, width = sample.metainfo['crop_box']
            img = img[top : top + height, left : left + width]
        if camera is not None:
            # The principal point moves with the crop.
            camera = camera - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        elif 'pred_intrinsics' in sample:
            camera = sample.pred_intrinsics.numpy()
        quantity = get_prediction_type(sample.metainfo.get('prediction_type', 'metric'))
        return cls(depth, visible, img, camera, quantity)


class ResultWriter:
    """Writer of the result files of images into one folder.

    Args:
        out_dir: The folder.
        outputs: Kinds of results, of :data:`OUTPUTS`.
        scales: Colours of the pictures.
        cloud: Points of clouds.

    Attributes:
        notes: One line per kind of result that was left out, with the reason.
    """

    def __init__(
        self,
        out_dir: Path,
        outputs: Sequence[str],
        scales: ScaleChooser,
        cloud: CloudOptions | None = None,
    ) -> None:
        self.out_dir = out_dir
        self.outputs = [kind for kind in OUTPUTS if kind in outputs]
        self.scales = scales
        self.cloud = cloud or CloudOptions()
        self.notes: list[str] = []

    def write(
        self, prediction: Prediction, name: str, files: list[str], skip: Sequence[str] = ()
    ) -> None:
        """Write the results of one image.

        Args:
            prediction: The prediction.
            name: Name of the results.
            files: Receives the path of each file below ``out_dir`` as soon as it is written.
            skip: Kinds that are not written.

        Raises:
            OSError: If a file cannot be written.
            ValueError: If a format cannot hold the result.
        """
        for kind in self.outputs:
            if kind in skip or (kind in CLOUDS and not self._allows_cloud(prediction)):
                continue
            path = self.out_dir / result_path(name, kind)
            if kind == 'png':
                save_depth_png(path, prediction.depth, prediction_type=prediction.quantity.value)
            elif kind == 'npy':
                write_array(path, prediction.depth)
            elif kind in PICTURES:
                write_image(path, self.draw(prediction, kind))
            else:
                self._write_cloud(prediction, kind, path)
            files.append(result_path(name, kind))

    def draw(self, prediction: Prediction, kind: str) -> np.ndarray:
        """Return the picture of a kind, ``'color'`` or ``'panel'``, BGR uint8."""
        scale = self.scales.choose(prediction.visible, prediction.quantity)
        if kind == 'panel':
            return draw_panel(prediction.img, prediction.visible, scale=scale)
        return draw_color_map(prediction.visible, scale, scale.kind.replace('_', ' '))

    def _allows_cloud(self, prediction: Prediction) -> bool:
        """Return whether there can be a cloud; notes why not, or that its unit is unknown."""
        note = None
        if prediction.camera is None:
            note = NO_CLOUDS
        elif prediction.quantity.ambiguity == 2:
            note = NO_RELATIVE_CLOUDS
        elif prediction.quantity.ambiguity == 1:
            note = UNSCALED_CLOUDS
        if note is not None and note not in self.notes:
            self.notes.append(note)
        return note in (None, UNSCALED_CLOUDS)

    def _write_cloud(self, prediction: Prediction, kind: str, path: Path) -> None:
        depth = prediction.visible
        if prediction.quantity.is_inverse:  # no point where the inverse depth is zero
            depth = np.divide(1, depth, out=np.zeros_like(depth), where=depth > 0)
        write = write_ply if kind == 'ply' else write_glb
        write(path, depth, prediction.camera, prediction.img, self.cloud)


def result_path(name: str, kind: str) -> str:
    """Return the path of a result below the output folder."""
    folder, suffix = RESULT_FILES[kind]
    return f'{folder}/{name}{suffix}'
