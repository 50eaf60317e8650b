"""Depth inference on files, folders and videos, written as images, arrays and point clouds."""

import errno
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from torch import nn

from depth.datasets.transforms.loading import read_image
from depth.structures import DepthDataSample

from .image_cameras import ImageCameras
from .image_types import ImageInput, check_color_order, to_bgr_array
from .inference import inference_pipeline, init_model, predict_batch
from .inference_report import OutputReport
from .inputs import InputImage, assign_names, list_inputs
from .progress import ThroughputLine
from .results import (
    DEFAULT_OUTPUTS,
    OUTPUTS,
    PICTURES,
    PictureOptions,
    Prediction,
    ResultWriter,
    ScaleChooser,
    result_path,
)
from .scale_alignment import StreamScaleAligner
from .sparse_inputs import SparseInput, SparseInputs
from .video import FrameSource, VideoWriter, open_frames


class DepthInferencer:
    """Depth predictor for images, folders, globs and videos, which writes the results to files.

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
        inputs: ImageInput | Sequence,
        out_dir: str | Path | None = None,
        outputs: Sequence[str] = DEFAULT_OUTPUTS,
        intrinsics: Sequence[float] | None = None,
        fov: float | None = None,
        show_progress: bool = False,
        pictures: PictureOptions | None = None,
        batch_size: int = 1,
        color_order: str | None = None,
        return_predictions: bool = True,
        sparse_depth: SparseInput | Sequence[SparseInput | None] | None = None,
        sparse_scale: float | None = None,
    ) -> dict:
        """Predict depth, and write the results to ``out_dir`` if it is given.

        An image that cannot be processed becomes an entry of ``errors`` and does not stop the
        others. Errors that concern all images (an unknown option, an impossible camera, a foreign
        file in the place of a result) are raised before anything is written.

        Args:
            inputs: Image file, folder, glob, uint8 array (H, W, 3), tensor (3, H, W) or PIL image,
                one or a list. Results of an earlier inference are left out, so ``out_dir`` may lie
                among the images.
            out_dir: Folder of the results: ``depth/NAME.png`` (16 bit, with a side-car JSON),
                ``npy/``, ``color/``, ``panel/``, ``ply/``, ``glb/``; ``report.json`` maps each NAME
                to its image.
            outputs: Kinds of results to write, of ``png npy color panel ply glb``.
            intrinsics: fx, fy, cx, cy in pixels of the images, for point clouds and for methods
                that use the camera.
            fov: Horizontal field of view in degrees, instead of ``intrinsics``; the principal point
                is the centre of the image.
            show_progress: Write a line with rate and remaining time to standard error.
            pictures: Colours and points of clouds.
            batch_size: Largest number of images that the model sees at once; only images of one
                size form a batch.
            color_order: ``'bgr'`` or ``'rgb'``, of arrays and tensors; arrays are BGR by default, a
                tensor needs it.
            return_predictions: Keep the predictions in memory and return them.
            sparse_depth: Points that the model takes beside the image: file or array (H, W) in
                metres of the only image, folder with files named like the images, or a list with
                one entry an image. Images without points are predicted alone.
            sparse_scale: Stored integers per metre, for files of integers (256 for KITTI, 1000 for
                millimetres).

        Returns:
            A dict of ``predictions``: samples with ``pred_depth``; ``files``: paths written;
            ``errors``: message by input that could not be processed; ``notes``: outputs and inputs
            left out, with the reason; ``images``: for each input, in order, ``input`` (absolute
            path, ``inputs[2]`` for an array), ``name``, ``files`` below ``out_dir``, and ``error``
            (None if there was none).

        Raises:
            ValueError: If the inputs name no image, an option is unknown, a camera is impossible,
                or there is sparse depth for a model that takes none.
            FileExistsError: If a result would replace a file that no inference wrote.
            OSError: If a file cannot be written; the message names it and the free space.
        """
        _check_options(outputs, intrinsics, fov, batch_size)
        check_color_order(color_order)
        images, notes = list_inputs(inputs, out_dir)
        cameras = ImageCameras(intrinsics, fov, self.model.cfg.get('default_intrinsics'))
        cameras.check([image.path for image in images if image.path is not None])
        notes += cameras.notes
        sparse_inputs = SparseInputs(self.model, images, sparse_depth, sparse_scale)
        notes += sparse_inputs.notes
        if self.model.calibration is not None:
            notes.append(self.model.calibration.describe())
        result = dict(predictions=[], files=[], errors={}, notes=notes, images=[])
        report = writer = None
        if out_dir is None:
            assign_names(images)
        else:
            out_dir = Path(out_dir)
            report = OutputReport(out_dir, images)
            writer = self._writer(out_dir, outputs, pictures)
        for image in images:
            result['images'].append(dict(input=image.label, name=image.name, files=[], error=None))
        if report is not None:
            paths = {image.name: _result_paths(image.name, outputs) for image in images}
            report.check_result_paths(paths)
            report.remove_leftovers(paths)
            # Written before the first result: if the process is killed, the next inference knows
            # which files are results.
            report.write(result)
        pipeline = inference_pipeline(self.model.cfg)
        progress = ThroughputLine(len(images)) if show_progress else None
        pairs = zip(images, result['images'], strict=True)
        try:
            while batch := list(islice(pairs, batch_size)):
                loaded = _load(batch, cameras, sparse_inputs, color_order, result)
                for image, entry, img, matrix, sample in self._predict(loaded, pipeline, result):
                    if return_predictions:
                        result['predictions'].append(sample)
                    if writer is not None:
                        _write(writer, image, entry, img, matrix, sample, result)
                if progress is not None:
                    progress.add(len(batch))
        finally:
            if writer is not None:
                result['notes'] += writer.notes
            if report is not None:
                report.write(result)
        if progress is not None:
            progress.close()
        return result

    def stream(
        self,
        frames: Iterable[ImageInput],
        intrinsics: Sequence[float] | None = None,
        fov: float | None = None,
        batch_size: int = 1,
        color_order: str | None = None,
        align_scale: bool = False,
    ) -> Iterator[tuple[np.ndarray, DepthDataSample]]:
        """Predict depth of frames as they come; only one batch is in memory.

        Args:
            frames: Any iterable, also an endless one, of paths, arrays, tensors or PIL images.
            intrinsics: As in ``__call__``.
            fov: As in ``__call__``.
            batch_size: Number of frames predicted at once; a live source waits for as many.
            color_order: As in ``__call__``.
            align_scale: Remove the flicker of the scale, see
                :class:`~depth.apis.scale_alignment.StreamScaleAligner`. Frame t is changed by what
                is known at t, and never again.

        Yields:
            The frame as BGR uint8 (H, W, 3), and its sample.

        Raises:
            ValueError: If an option is impossible, or a frame cannot be read or predicted.
        """
        _check_options((), intrinsics, fov, batch_size)
        check_color_order(color_order)
        cameras = ImageCameras(intrinsics, fov, self.model.cfg.get('default_intrinsics'))
        pipeline = inference_pipeline(self.model.cfg)
        aligner = StreamScaleAligner() if align_scale else None
        frames = iter(frames)
        number = 0
        while batch := list(islice(frames, batch_size)):
            images, names = [], []
            for frame in batch:
                images.append(_read(frame, color_order))
                names.append(f'frame {number}')
                number += 1
            matrices = [cameras.matrix(img.shape[:2], None) for img in images]
            samples = predict_batch(self.model, images, pipeline, matrices, names)
            for img, sample in zip(images, samples, strict=True):
                if aligner is not None:
                    cropped = Prediction.from_sample(sample, img, None)
                    factor = aligner.factor(
                        cropped.img, cropped.visible, cropped.quantity.is_inverse
                    )
                    sample.pred_depth = sample.pred_depth * factor
                yield img, sample

    def process_video(
        self,
        source: str | Path | int,
        out_dir: str | Path,
        outputs: Sequence[str] = ('color',),
        intrinsics: Sequence[float] | None = None,
        fov: float | None = None,
        show_progress: bool = False,
        pictures: PictureOptions | None = None,
        batch_size: int = 1,
        align_scale: bool = False,
        every: int = 1,
        max_frames: int | None = None,
        fps: float | None = None,
    ) -> dict:
        """Predict a video file, a camera, or a folder of images as a sequence.

        Results are written frame by frame, so memory does not grow with the length. A camera is
        processed until Ctrl-C, ``max_frames``, or its end. One colour range holds for all frames.

        Args:
            source: Video file, index of a camera, folder or glob.
            out_dir: Folder of the results: ``color/NAME.mp4`` and ``panel/NAME.mp4`` are videos, of
                other kinds there is a file a frame, ``npy/NAME/000012.npy``.
            outputs: As in ``__call__``.
            intrinsics: As in ``__call__``.
            fov: As in ``__call__``.
            show_progress: As in ``__call__``.
            pictures: As in ``__call__``; a range of ``'image'`` is that of each frame.
            batch_size: As in :meth:`stream`.
            align_scale: As in :meth:`stream`.
            every: Distance of the frames that are used.
            max_frames: Largest number of frames.
            fps: Frames a second of the source, where it does not say.

        Returns:
            A dict of ``frames``: their number; ``files``: video files and folders written;
            ``notes``: outputs left out, with the reason.

        Raises:
            FileNotFoundError: If the source does not exist.
            FileExistsError: If a result would replace a file that no inference wrote.
            ValueError: If the source or a frame cannot be decoded, frames differ in size, or an
                option is impossible.
            OSError: If the camera cannot be opened or a file cannot be written.
        """
        _check_options(outputs, intrinsics, fov, batch_size)
        out_dir = Path(out_dir)
        video = open_frames(source, every, max_frames, fps, out_dir)
        image = InputImage(None if video.is_live else video.label, video.label, video.name)
        report = OutputReport(out_dir, [image])
        targets = _video_targets(image.name, outputs)
        report.check_result_paths({image.name: list(targets.values())})
        entry = dict(input=video.label, name=image.name, files=[], error=None, frames=0)
        result = dict(notes=[], images=[entry])
        if self.model.calibration is not None:
            result['notes'].append(self.model.calibration.describe())
        writer = self._writer(out_dir, outputs, pictures)
        report.write(result)
        progress = ThroughputLine(video.count) if show_progress else None
        samples = self.stream(video.frames, intrinsics, fov, batch_size, None, align_scale)
        cameras = ImageCameras(intrinsics, fov, self.model.cfg.get('default_intrinsics'))
        try:
            self._write_video(video, samples, writer, targets, cameras, entry, progress)
        except Exception as error:
            entry['error'] = f'{video.label}: {error}'
            raise
        finally:
            for path in targets.values():
                if (out_dir / path).exists():
                    entry['files'].append(path)
            result['notes'] += writer.notes
            report.write(result)
        if progress is not None:
            progress.close()
        files = [str(out_dir / path) for path in entry['files']]
        return dict(frames=entry['frames'], files=files, notes=result['notes'])

    @staticmethod
    def _write_video(
        video: FrameSource,
        samples: Iterator[tuple[np.ndarray, DepthDataSample]],
        writer: ResultWriter,
        targets: dict[str, str],
        cameras: ImageCameras,
        entry: dict,
        progress: ThroughputLine | None,
    ) -> None:
        """Write the results of each frame; Ctrl-C ends a camera's recording."""
        with ExitStack() as stack:
            videos = {}
            for kind in set(targets) & set(PICTURES):
                path = writer.out_dir / targets[kind]
                videos[kind] = stack.enter_context(VideoWriter(path, video.fps))
            try:
                for img, sample in samples:
                    camera = cameras.matrix(img.shape[:2], None)
                    prediction = Prediction.from_sample(sample, img, camera)
                    for kind, file in videos.items():
                        file.add(writer.draw(prediction, kind))
                    name = f'{entry["name"]}/{entry["frames"]:06d}'
                    writer.write(prediction, name, [], skip=PICTURES)
                    entry['frames'] += 1
                    if progress is not None:
                        progress.add()
            except KeyboardInterrupt:
                if not video.is_live:
                    raise

    def _writer(
        self, out_dir: Path, outputs: Sequence[str], pictures: PictureOptions | None
    ) -> ResultWriter:
        pictures = pictures or PictureOptions()
        scales = ScaleChooser(pictures, self.model.cfg)
        return ResultWriter(out_dir, outputs, scales, pictures.cloud)

    def _predict(self, loaded: list[tuple], pipeline: object, result: dict) -> Iterator[tuple]:
        """Yield image, entry, array, camera and sample of a batch; exceptions become errors.

        A batch that fails is predicted again one by one: the others of the batch have a result.
        """
        try:
            samples = self._predict_together(loaded, pipeline)
        except Exception as error:
            if len(loaded) == 1:
                _record_error(loaded[0][0], error, loaded[0][1], result)
                return
            for item in loaded:
                yield from self._predict([item], pipeline, result)
            return
        for (image, entry, img, matrix, _), sample in zip(loaded, samples, strict=True):
            sample.set_metainfo(dict(img_path=image.path))
            yield image, entry, img, matrix, sample

    def _predict_together(self, loaded: list[tuple], pipeline: object) -> list[DepthDataSample]:
        if not loaded:
            return []
        images = [img for _, _, img, _, _ in loaded]
        matrices = [matrix for _, _, _, matrix, _ in loaded]
        names = [image.label for image, _, _, _, _ in loaded]
        points = [item for _, _, _, _, item in loaded]
        return predict_batch(self.model, images, pipeline, matrices, names, points)


def _read(image: ImageInput, color_order: str | None) -> np.ndarray:
    """Return an image, from a file or in memory, as BGR uint8 (H, W, 3)."""
    if isinstance(image, str | Path):
        return read_image(str(image))
    return to_bgr_array(image, color_order)


def _load(
    batch: list[tuple[InputImage, dict]],
    cameras: ImageCameras,
    sparse_inputs: SparseInputs,
    color_order: str | None,
    result: dict,
) -> list[tuple]:
    """Return image, entry, array, camera and points of readable images; record the others."""
    loaded = []
    for image, entry in batch:
        # An unusual image can fail anywhere: in a decoder, in a layer that pools one row to none,
        # for lack of memory. So every exception is caught, here and where it is predicted.
        try:
            img = _read(image.source, color_order)
            matrix = cameras.matrix(img.shape[:2], image.path)
            points = sparse_inputs.points(image, img.shape[:2])
            loaded.append((image, entry, img, matrix, points))
        except Exception as error:
            _record_error(image, error, entry, result)
    return loaded


def _write(
    writer: ResultWriter,
    image: InputImage,
    entry: dict,
    img: np.ndarray,
    matrix: np.ndarray | None,
    sample: DepthDataSample,
    result: dict,
) -> None:
    """Write the results of one image and list them in its entry and in ``result``."""
    try:
        prediction = Prediction.from_sample(sample, img, matrix)
        writer.write(prediction, entry['name'], entry['files'])
    except OSError as error:
        # A full or read-only disk fails for the next image too, unlike a name that is too long.
        if error.errno != errno.ENAMETOOLONG:
            raise
        _record_error(image, error, entry, result)
    except Exception as error:
        _record_error(image, error, entry, result)
    finally:
        result['files'] += [str(writer.out_dir / path) for path in entry['files']]


def _result_paths(name: str, outputs: Sequence[str]) -> list[str]:
    return [result_path(name, kind) for kind in outputs]


def _video_targets(name: str, outputs: Sequence[str]) -> dict[str, str]:
    """Return the video file or the folder of each kind of result, below the output folder."""
    targets = {}
    for kind in outputs:
        path = Path(result_path(name, kind)).with_suffix('')
        targets[kind] = f'{path.as_posix()}.mp4' if kind in PICTURES else path.as_posix()
    return targets


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


def _check_options(
    outputs: Sequence[str],
    intrinsics: Sequence[float] | None,
    fov: float | None,
    batch_size: int,
) -> None:
    if batch_size < 1:
        raise ValueError(f'--batch-size is at least 1, got {batch_size}')
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
