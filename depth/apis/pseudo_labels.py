"""Pseudo-labels: a teacher's predictions of images, with confidence, as labels of a data set."""

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from torch import nn

from depth.atomic_write import remove_leftovers, write_atomically
from depth.datasets.pseudo_labels import CONFIDENCE_SCALE, FORMAT, MANIFEST, read_manifest
from depth.datasets.transforms.label_types import scale_to_unit
from depth.datasets.transforms.loading import read_image
from depth.depth_codes import encode_uint16
from depth.evaluation.prediction_types import PredictionType, get_prediction_type
from depth.integrity import sha256_of
from depth.structures import DepthDataSample
from depth.visualization.output_files import write_image

from .image_cameras import ImageCameras
from .inference import inference_model
from .inputs import InputImage, assign_names, list_inputs

CONFIDENCES = ('flip', 'none')
MILLIMETRES = 1000.0
MAX_MILLIMETRES = 65.535  # metres


class PseudoLabeler:
    """Teacher that labels images into a folder, one file after the other.

    Labels that are there already are kept, so a run that was stopped goes on. A manifest states the
    teacher, its depth range and type of prediction; labels of another teacher are refused.

    A metric teacher's labels are metres; where it predicts an end of its range it only says "at
    least" or "at most", so these pixels have no label. Relative predictions are mapped linearly to
    0.01 to 1 in each image. The confidence of a pixel is the agreement with the prediction of the
    mirrored image: the ratio of both for depth that is known up to a factor, 1 minus their distance
    as a share of the image's extent for the others.

    Args:
        model: Teacher from ``init_model``.
        out_dir: Folder of the labels.
        confidence: ``'flip'``, or ``'none'`` for half of the work.
        intrinsics: fx, fy, cx, cy of the images in pixels, for teachers that use the camera.
        fov: Horizontal field of view in degrees, instead.

    Raises:
        ValueError: If ``confidence`` is unknown or the camera impossible.
    """

    def __init__(
        self,
        model: nn.Module,
        out_dir: str | Path,
        confidence: str = 'flip',
        intrinsics: Iterable[float] | None = None,
        fov: float | None = None,
    ) -> None:
        if confidence not in CONFIDENCES:
            raise ValueError(f'confidence is one of {", ".join(CONFIDENCES)}, got {confidence!r}')
        self.model, self.out_dir, self.confidence = model, Path(out_dir), confidence
        self.type = get_prediction_type(model.prediction_type)
        # Inverse depth in 1/m is stored as metres.
        self.is_metric = self.type in (PredictionType.METRIC, PredictionType.INVERSE_DEPTH)
        self.min_depth = self.max_depth = None
        if self.is_metric:
            self.min_depth, self.max_depth = model.depth_range
        self.depth_scale = 65535.0
        if self.is_metric:
            is_near = self.max_depth is not None and self.max_depth <= MAX_MILLIMETRES
            self.depth_scale = MILLIMETRES if is_near else 256.0
        self.cameras = ImageCameras(intrinsics, fov, model.cfg.get('default_intrinsics'))

    def label(
        self,
        inputs: str | Path,
        track: Callable[[list], Iterable] | None = None,
    ) -> dict:
        """Label the images of a folder.

        Args:
            inputs: Folder of images; its sub-folders are searched too.
            track: Wrapper of the list of images to do, such as a progress bar.

        Returns:
            A dict of ``labelled``: number of labels written, ``already_labelled``: number of
            images that had one, ``errors``: message by image that could not be labelled.

        Raises:
            FileNotFoundError: If there is no such folder.
            ValueError: If it holds no image, or the output folder labels of another teacher.
            OSError: If a file cannot be written.
        """
        root = Path(inputs)
        if not root.is_dir():
            raise FileNotFoundError(f'{root} is no folder of images')
        images, _ = list_inputs(str(root), self.out_dir)
        assign_names(images)
        self.cameras.check([image.path for image in images])
        self._write_manifest(root, images)
        for folder in ('depth', 'confidence'):
            remove_leftovers(self.out_dir / folder)
        pending = [image for image in images if not self._is_done(image)]
        result = dict(labelled=0, already_labelled=len(images) - len(pending), errors={})
        for image in track(pending) if track else pending:
            # An unusual image can fail anywhere, as in inference; the others go on.
            try:
                label, confidence = self._predict(image.path)
            except Exception as error:
                result['errors'][image.path] = f'{image.path}: {error or type(error).__name__}'
                continue
            if confidence is not None:
                write_image(self._path('confidence', image), confidence)
            # Last: a label says that the image is done.
            write_image(self._path('depth', image), label)
            result['labelled'] += 1
        return result

    def _path(self, folder: str, image: InputImage) -> Path:
        return self.out_dir / folder / f'{image.name}.png'

    def _is_done(self, image: InputImage) -> bool:
        return self._path('depth', image).is_file()

    def _write_manifest(self, root: Path, images: list[InputImage]) -> None:
        """Write the manifest; refuse a folder with labels of another teacher or way.

        Raises:
            ValueError: If the folder holds other labels.
        """
        source = Path(self.model.source)
        content = dict(
            format=FORMAT,
            teacher=dict(
                checkpoint=source.name,
                sha256=sha256_of(source) if source.is_file() else None,  # of random weights
                config=Path(self.model.cfg.filename).name if self.model.cfg.filename else None,
                prediction_type=self.type.value,
                test_cfg=dict(self.model.test_cfg),
            ),
            label_type='metric' if self.is_metric else self.type.value,
            min_depth=self.min_depth,
            max_depth=self.max_depth,
            depth_scale=self.depth_scale,
            confidence=None if self.confidence == 'none' else self.confidence,
            image_root=os.path.abspath(root),
            images=[
                dict(image=Path(image.path).relative_to(root).as_posix(), name=image.name)
                for image in images
            ],
        )
        path = self.out_dir / MANIFEST
        if path.exists():
            earlier = read_manifest(self.out_dir)
            for key in ('teacher', 'label_type', 'depth_scale', 'confidence', 'image_root'):
                # JSON has no tuples.
                if earlier.get(key) != json.loads(json.dumps(content[key])):
                    raise ValueError(
                        f'{self.out_dir} holds labels with another {key} ({earlier.get(key)} '
                        f'instead of {content[key]}); choose another --out-dir or remove it'
                    )
            names = {entry['image']: entry['name'] for entry in earlier['images']}
            for entry in content['images']:
                if names.get(entry['image'], entry['name']) != entry['name']:
                    raise ValueError(
                        f'{self.out_dir}: {entry["image"]} was labelled as '
                        f'{names[entry["image"]]}, a new image makes it {entry["name"]}; choose '
                        'another --out-dir'
                    )
        write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False) + '\n')

    def _predict(self, path: str) -> tuple[np.ndarray, np.ndarray | None]:
        """Return label (H, W) uint16, 0 = none, and confidence (H, W) uint8 of an image."""
        img = read_image(path)
        matrix = self.cameras.matrix(img.shape[:2], path)
        values, valid, corner = self._values(img, matrix, path)
        confidence = None
        if self.confidence == 'flip':
            mirrored_matrix = None
            if matrix is not None:
                mirrored_matrix = np.array(matrix, np.float64)
                mirrored_matrix[0, 2] = img.shape[1] - 1 - mirrored_matrix[0, 2]
            mirrored_img = np.ascontiguousarray(img[:, ::-1])
            mirrored, _, _ = self._values(mirrored_img, mirrored_matrix, path)
            agreement = flip_agreement(values, mirrored[:, ::-1], valid, self.type.ambiguity < 2)
            confidence = _paste_into_frame(
                np.rint(agreement * CONFIDENCE_SCALE).astype(np.uint8), corner, img
            )
        if not self.is_metric:
            values = scale_to_unit(values, valid)
        label = encode_uint16(np.where(valid, values, 0), self.depth_scale)
        return _paste_into_frame(label, corner, img), confidence

    def _values(
        self, img: np.ndarray, matrix: np.ndarray | None, path: str
    ) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
        """Return prediction and valid pixels (h, w), and the (top, left) of the test crop."""
        sample = inference_model(self.model, img, matrix, path)
        values = sample.pred_depth.numpy().astype(np.float32)
        valid = np.isfinite(values) & _mask(sample)
        if self.type is PredictionType.INVERSE_DEPTH:
            values = 1 / np.maximum(values, 1e-6)
        if self.is_metric:
            valid &= values > 0
            if self.min_depth is not None:
                valid &= values > self.min_depth
            # A model without a far end may predict what 16 bits cannot hold.
            limit = 65535 / self.depth_scale
            valid &= values < (limit if self.max_depth is None else min(self.max_depth, limit))
        corner = sample.metainfo.get('crop_box', (0, 0))[:2]
        return np.nan_to_num(values), valid, corner


def flip_agreement(
    values: np.ndarray, mirrored: np.ndarray, valid: np.ndarray, has_zero: bool
) -> np.ndarray:
    """Return the agreement (H, W), 0 to 1, of a prediction and the one of the mirrored image.

    Args:
        values: Prediction (H, W).
        mirrored: Prediction of the mirrored image, mirrored back.
        valid: Pixels that have a label; the others get 0.
        has_zero: The quantity has a zero, so that ratios of it mean something.
    """
    if has_zero:
        larger = np.maximum(np.maximum(values, mirrored), np.finfo(np.float32).tiny)
        agreement = np.maximum(np.minimum(values, mirrored), 0) / larger
    else:
        extent = np.ptp(values[valid]) if valid.any() else 0
        agreement = 1 - np.abs(values - mirrored) / max(extent, np.finfo(np.float32).tiny)
    return np.where(valid, np.clip(agreement, 0, 1), 0)


def _mask(sample: DepthDataSample) -> np.ndarray | bool:
    """Return where the method says that there is depth at all."""
    if 'pred_mask' not in sample:
        return True
    return (sample.pred_mask > 0.5).numpy()


def _paste_into_frame(values: np.ndarray, corner: tuple[int, int], img: np.ndarray) -> np.ndarray:
    """Put a map of a crop into the frame of the image, 0 outside."""
    height, width = values.shape
    if (height, width) == img.shape[:2]:
        return values
    frame = np.zeros(img.shape[:2], values.dtype)
    frame[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = values
    return frame
