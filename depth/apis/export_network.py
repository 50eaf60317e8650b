"""The network that an exported file holds, and the images with which it is traced and compared."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmengine.config import Config
from torch import Tensor, nn

from depth.cameras import check_camera
from depth.models.estimators import DepthEstimator
from depth.registry import DATASETS
from depth.structures import DepthDataSample

from .inference import inference_pipeline
from .inputs import list_inputs

NUM_FRAMES = 5  # by default


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
        self.clamp_range: tuple[float | None, float | None] | None = None
        if clamp:
            self.clamp_range = model.depth_range
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
            intrinsics = scale_camera(intrinsics, size, self.resize)
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
            return values if self.resize is None else scale_camera(values, self.resize, size)
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


def scale_camera(intrinsics: Tensor, before: Sequence[int], after: Sequence[int]) -> Tensor:
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
            camera = scale_camera(tensor, before, size)[0].numpy()
        return Frame(self.name, image, camera)


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
