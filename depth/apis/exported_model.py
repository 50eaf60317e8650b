"""Exported files in place of a model: inference and tests through ONNX Runtime.

An :class:`ExportedModel` does around the file what an estimator does around its network (batching,
mirrored image, sliding windows, resize to the original), so that predictions follow the same
protocols.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from torch import Tensor, nn

from depth.datasets.optional_imports import import_optional
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_from_data
from depth.models.estimators import DepthEstimator, SelfSupervisedEstimator
from depth.models.layers.canonical_camera import CameraCheck
from depth.registry import MODELS
from depth.structures import DepthDataSample

SUFFIX = '.onnx'
METADATA_PREFIX = 'depth.'  # of the keys in a file's metadata
FORMAT = 1  # of the metadata; a reader refuses newer ones
PROGRAM_SUFFIXES = ('.pt2', '.ts')


def is_exported(path: object) -> bool:
    """Return whether a path names an exported file by its suffix."""
    return isinstance(path, str | Path) and Path(path).suffix in (SUFFIX, *PROGRAM_SUFFIXES)


def open_session(source: str | Path | bytes, device: str = 'cpu') -> Any:
    """Return an ONNX Runtime session with as many threads as PyTorch has.

    Args:
        source: File or its content.
        device: ``'cuda'`` takes ONNX Runtime's CUDA provider where it is installed.
    """
    runtime = import_optional('onnxruntime', 'running an ONNX file', extra='export')
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors; it warns of every constant that it folds away
    providers = ['CPUExecutionProvider']
    if str(device).startswith('cuda') and 'CUDAExecutionProvider' in (
        runtime.get_available_providers()
    ):
        providers.insert(0, 'CUDAExecutionProvider')
    source = source if isinstance(source, bytes) else str(source)
    return runtime.InferenceSession(source, options, providers=providers)


class ExportedFile:
    """ONNX file of :func:`~depth.apis.export.export_model` and what it says about itself.

    Args:
        path: The file.
        device: See :func:`open_session`.

    Raises:
        FileNotFoundError: If the file does not exist.
        ConfigError: If it is a program of PyTorch, damaged, or of another origin.
    """

    def __init__(self, path: str | Path, device: str = 'cpu') -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f'exported file {path} does not exist')
        if self.path.suffix in PROGRAM_SUFFIXES:
            raise ConfigError(
                f'{path}: files of torch.export and TorchScript are programs, which the toolbox '
                f'does not run; export with --format onnx, or open it with PyTorch (docs/export.md)'
            )
        try:
            self.session = open_session(self.path, device)
        except ImportError:
            raise
        except Exception as error:  # the runtime has a class of its own for every status
            raise ConfigError(
                f'{path} is damaged or no ONNX file: {str(error).splitlines()[0]}'
            ) from error
        self.metadata = read_metadata(self.session.get_modelmeta().custom_metadata_map, path)

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs by name."""
        names = self.metadata['outputs']
        return dict(zip(names, self.session.run(names, feeds), strict=True))


def read_metadata(entries: dict[str, str], path: str | Path) -> dict[str, Any]:
    """Return the metadata of an exported file, keys without prefix, values parsed from JSON.

    Raises:
        ConfigError: If they are missing, damaged or newer than this version.
    """
    metadata = {}
    for key, text in entries.items():
        if key.startswith(METADATA_PREFIX):
            try:
                metadata[key.removeprefix(METADATA_PREFIX)] = json.loads(text)
            except ValueError as error:
                raise ConfigError(f'{path}: metadata {key} is no JSON: {text[:80]!r}') from error
    if 'format' not in metadata:
        raise ConfigError(
            f'{path} was not written by `depth export`: it has no metadata {METADATA_PREFIX}format'
        )
    if metadata['format'] > FORMAT:
        raise ConfigError(
            f'{path} has metadata of format {metadata["format"]}, this version reads up to {FORMAT}'
        )
    return metadata


class ExportedHead(nn.Module):
    """What a file says about its predictions, under the names of a head.

    Args:
        metadata: Metadata of the file.
    """

    def __init__(self, metadata: dict[str, Any]) -> None:
        super().__init__()
        self.prediction_type = metadata['prediction_type']
        self.min_depth, self.max_depth = metadata['min_depth'], metadata['max_depth']
        self.map_names = tuple(metadata['outputs'][1:])


@MODELS.register_module()
class ExportedModel(DepthEstimator):
    """Estimator whose network is an exported file.

    Args:
        path: The file.
        data_preprocessor: That of the config; a file that takes uint8 images normalises them
            itself, and gets them as they are.
        test_cfg: As for :class:`~depth.models.estimators.DepthEstimator`.
        device: See :func:`open_session`.
    """

    def __init__(
        self,
        path: str | Path,
        data_preprocessor: dict | None = None,
        test_cfg: dict | None = None,
        device: str = 'cpu',
    ) -> None:
        file = ExportedFile(path, device)
        self_normalizing = file.metadata['input'] != 'normalized'
        if self_normalizing:
            data_preprocessor = dict(
                type='DepthDataPreprocessor',
                mean=(0, 0, 0),
                std=(1, 1, 1),
                bgr_to_rgb=file.metadata['input'] == 'rgb',
                float_images=bool((data_preprocessor or {}).get('float_images', False)),
            )
        # Past the constructor of DepthEstimator, which builds a network.
        BaseModel.__init__(self, data_preprocessor=MODELS.build(data_preprocessor))
        self.canonical_camera = None  # the file gives metres
        if file.metadata['takes_intrinsics']:
            self.data_preprocessor.camera_check = CameraCheck()
        self.file = file
        self.takes_images = self_normalizing
        self.decode_head = ExportedHead(file.metadata)
        self.prediction_type = self.decode_head.prediction_type
        self.train_cfg: dict = {}
        self.test_cfg = dict(mode='whole', flip=False) | dict(test_cfg or {})
        self.extra_losses = nn.ModuleDict()

    def loss(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> dict[str, Tensor]:
        """Refuse a training.

        Raises:
            ConfigError: Always.
        """
        raise ConfigError(f'{self.file.path} is an exported file, which cannot be trained')

    def predict_depth(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> Tensor:
        """Return the file's depth (N, 1, H, W)."""
        return self.predict_maps(inputs, data_samples)['depth']

    def predict_maps(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return the file's outputs, images one by one.

        Raises:
            ValueError: If the images have another size than the file takes, or no camera.
        """
        self._check_size(tuple(inputs.shape[-2:]))
        outputs: dict[str, list[Tensor]] = {name: [] for name in self.file.metadata['outputs']}
        for index in range(len(inputs)):
            image = inputs[index : index + 1].float().cpu().numpy()
            if self.takes_images:
                image = image.round().clip(0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
            feeds = dict(image=np.ascontiguousarray(image))
            if self.file.metadata['takes_intrinsics']:
                feeds['intrinsics'] = self._camera(data_samples, index)
            for name, values in self.file.run(feeds).items():
                outputs[name].append(torch.from_numpy(values).to(inputs.device))
        return {name: torch.cat(values) for name, values in outputs.items()}

    def _check_size(self, size: tuple[int, int]) -> None:
        metadata = self.file.metadata
        if not metadata['dynamic']:
            expected = tuple(metadata['size'])
            if size != expected:
                raise ValueError(
                    f'{self.file.path} takes images of {expected[0]}x{expected[1]}, got '
                    f'{size[0]}x{size[1]}; export with --dynamic or with --resize'
                )
        elif any(side % metadata['size_multiple'] for side in size):
            raise ValueError(
                f'{self.file.path} takes sides that are multiples of {metadata["size_multiple"]}, '
                f'got {size[0]}x{size[1]}'
            )

    def _camera(self, data_samples: list[DepthDataSample] | None, index: int) -> np.ndarray:
        sample = None if data_samples is None else data_samples[index]
        if sample is None or 'intrinsics' not in sample:
            name = 'a bare tensor' if sample is None else sample.get('img_path', f'image {index}')
            raise ValueError(
                f'{name} has no intrinsics, which {self.file.path} needs: give the camera '
                '(--intrinsics or --fov, an intrinsics.json, default_intrinsics in the config)'
            )
        return sample.intrinsics.float().cpu().numpy()[None]


@MODELS.register_module()
class ExportedSelfSupervisedModel(ExportedModel, SelfSupervisedEstimator):
    """Exported file of a self-supervised method, tested as :class:`SelfSupervisedEstimator` is.

    Args:
        **kwargs: See :class:`ExportedModel`.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.test_cfg = dict(output_scale=0, resize_as='inverse_depth') | self.test_cfg

    def predict_inverse_depth(self, inputs: Tensor) -> Tensor:
        """Return inverse depth (N, 1, H, W) of the output that the file was exported with."""
        return 1 / self.predict_depth(inputs)


def model_config(path: str | Path, model: dict, device: str = 'cpu') -> dict:
    """Return the config of the model that runs an exported file in place of a network.

    Args:
        path: The file.
        model: ``model`` of the config that the file was exported from, for its test-time options.
        device: See :func:`open_session`.
    """
    file_type = 'ExportedModel'
    if issubclass(MODELS.get(model['type']), SelfSupervisedEstimator):
        file_type = 'ExportedSelfSupervisedModel'
    test_cfg = dict(model.get('test_cfg') or {})
    return dict(
        type=file_type,
        path=str(path),
        data_preprocessor=model.get('data_preprocessor') or dict(type='DepthDataPreprocessor'),
        test_cfg=test_cfg,
        device=str(device),
    )


def stored_config(path: str | Path, trusted_modules: Sequence[str] = ()) -> Config:
    """Return the config inside an exported file, read as data and never executed."""
    metadata = ExportedFile(path).metadata
    return config_from_data(metadata['config'], path, trusted_modules)
