"""Mode data: images per second of one loader worker, and the time of each transform.

Times are those of the wall clock; the columns named ``cpu`` count the processor time of the thread,
which other processes of a busy machine disturb less.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
from mmengine.config import Config
from torch.utils.data import DataLoader, Dataset

from depth.data_tools.pack_writer import write_pack
from depth.datasets import FolderDepthDataset, packs
from depth.datasets.base import build_pipeline
from depth.datasets.scenes import render_scene
from depth.datasets.transforms import loading
from depth.datasets.workers import prepare_worker
from depth.depth_codes import encode_uint16
from depth.registry import DATASETS

from .published_pipeline import published_pipeline
from .settings import Setting, Spec
from .timing import paired_ratio

# Height, width, image type, depth scale.
FRAMES = dict(kitti=(375, 1242, 'png', 256.0), nyu=(480, 640, 'jpg', 1000.0))
REAL_FRAMES = dict(
    kitti=('kitti/image_02/0000000005.png', 'kitti/gt_depth/0000000005.png'),
    nyu=('indoor_rgbd/rgb/nyu_00000.jpg', 'indoor_rgbd/depth/nyu_00000.png'),
)
WARMUP = 3  # rounds
Step = tuple[str, Callable[[dict], dict]]


def run(
    spec: Spec,
    settings: Sequence[Setting],
    repeats: int,
    fixed_image: Path | None = None,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Measure the training pipelines of settings in turn, in one thread.

    Args:
        spec: What is measured: the data set if it is there, or one frame, which is that of
            ``files``, the real one of ``samples`` or a rendered one that is written in the data
            set's format.
        settings: What is compared; ratios are to the first.
        repeats: Samples.
        fixed_image: Decoded along with every sample, so that machines can be compared.
        progress: Told what is being done.

    Returns:
        ``rows`` (means over the samples, because many transforms act on some of them only),
        ``ratios``, ``steps``: mean milliseconds of every transform of every setting, and
        ``fixed_decode_ms``.
    """
    prepare_worker(0)
    with tempfile.TemporaryDirectory(prefix='benchmark_') as folder:
        loaders = [Loader(setting, spec, Path(folder)) for setting in settings]
        fixed = []  # (seconds, processor seconds) of each decode of the fixed image
        for number in range(-WARMUP, repeats):
            progress(f'sample {max(number + 1, 0)}/{repeats}')
            if fixed_image is not None:
                start = time.perf_counter(), time.thread_time()
                cv2.imread(str(fixed_image))
                fixed.append((time.perf_counter() - start[0], time.thread_time() - start[1]))
            for loader in loaders:
                loader.measure(max(number, 0), keep=number >= 0)
        rows = [loader.row() for loader in loaders]
        if spec.workers:
            for loader, row in zip(loaders, rows, strict=True):
                progress(f'{row["setting"]} with {spec.workers} workers')
                row[f'images_per_s_{spec.workers}_workers'] = loader.throughput(
                    spec.workers,
                    repeats,
                )
    ratios = []
    for loader in loaders[1:]:
        speed = _ratio_of_means(loaders[0], loader)
        ratios.append(dict(setting=loader.name, base=loaders[0].name, speed=speed))
    steps = {loader.name: loader.step_means() for loader in loaders}
    result = dict(rows=rows, ratios=ratios, steps=steps)
    fixed = fixed[WARMUP:]
    if fixed:
        result['fixed_decode_ms'] = statistics.median(wall for wall, _ in fixed) * 1e3
        result['fixed_decode_cpu_ms'] = statistics.median(cpu for _, cpu in fixed) * 1e3
    return result


class Loader(Dataset):
    """Data set that runs and times the training pipeline of one setting.

    Args:
        setting: The setting.
        spec: What is measured.
        folder: Folder into which a rendered frame may be written.
    """

    def __init__(self, setting: Setting, spec: Spec, folder: Path) -> None:
        cfg = setting.load(spec)
        self.name = setting.name
        dataset = cfg.train_dataloader.dataset
        while dataset.get('datasets'):
            dataset = dataset.datasets[0]
        if setting.published:
            self.steps: list[Step] = published_pipeline(dataset.pipeline)
        else:
            built = build_pipeline(dataset.pipeline)
            self.steps = [(type(transform).__name__, transform.transform) for transform in built]
        self.samples = _samples(dataset, spec, folder, setting.packed)
        self.times: list[dict[str, float]] = []
        self.cpu_seconds: list[float] = []
        self.cpu_decode_seconds: list[float] = []

    def __len__(self) -> int:
        return 1 << 20

    def __getitem__(self, index: int) -> dict:
        """Return sample ``index`` after the pipeline."""
        results = self._sample(index)
        for _, step in self.steps:
            results = step(results)
        return results

    def _sample(self, index: int) -> dict:
        return dict(self.samples(index), rng=np.random.RandomState(index))

    def measure(self, index: int, keep: bool) -> None:
        """Run the pipeline on sample ``index``; record the seconds of every step and of decoding."""
        results = self._sample(index)
        times: dict[str, float] = {}
        start_cpu = time.thread_time()
        with _clocked_decoding(times):
            for name, step in self.steps:
                start = time.perf_counter()
                results = step(results)
                times[name] = times.get(name, 0.0) + time.perf_counter() - start
        if keep:
            self.cpu_seconds.append(time.thread_time() - start_cpu)
            self.cpu_decode_seconds.append(times.pop('cpu', 0.0))
            self.times.append(times)

    def totals(self) -> list[float]:
        """Return the seconds of every sample."""
        totals = []
        for times in self.times:
            # Decoding is part of the loading steps and would count twice.
            steps = [seconds for name, seconds in times.items() if name != 'decode']
            totals.append(sum(steps))
        return totals

    def step_means(self) -> dict[str, float]:
        """Return the mean milliseconds of every step, and of decoding, which is part of the loading steps."""
        means = {}
        for name in ['decode'] + [name for name, _ in self.steps]:
            seconds = [times.get(name, 0.0) for times in self.times]
            means[name] = statistics.fmean(seconds) * 1e3
        return means

    def row(self) -> dict:
        """Return the row of the table."""
        totals = self.totals()
        mean = statistics.fmean(totals) * 1e3
        decode = self.step_means()['decode']
        cpu = statistics.fmean(self.cpu_seconds)
        cpu_decode = statistics.fmean(self.cpu_decode_seconds)
        return dict(
            setting=self.name,
            mean_ms=mean,
            median_ms=statistics.median(totals) * 1e3,
            min_ms=min(totals) * 1e3,
            max_ms=max(totals) * 1e3,
            decode_ms=decode,
            rest_ms=mean - decode,
            cpu_ms=cpu * 1e3,
            rest_cpu_ms=(cpu - cpu_decode) * 1e3,
            images_per_s=1e3 / mean,
        )

    def throughput(self, workers: int, count: int) -> float:
        """Return the images per second of ``workers`` processes together, after a warm-up."""
        loader = DataLoader(
            self,
            batch_size=1,
            num_workers=workers,
            collate_fn=list,
            worker_init_fn=prepare_worker,
        )
        iterator = iter(loader)
        for _ in range(4 * workers):
            next(iterator)
        start = time.perf_counter()
        for _ in range(count):
            next(iterator)
        return count / (time.perf_counter() - start)


def _ratio_of_means(base: Loader, other: Loader) -> dict[str, float]:
    ratio = paired_ratio(base.totals(), other.totals())
    return ratio | dict(
        of_means=statistics.fmean(base.totals()) / statistics.fmean(other.totals()),
        of_cpu_means=statistics.fmean(base.cpu_seconds) / statistics.fmean(other.cpu_seconds),
    )


@contextmanager
def _clocked_decoding(times: dict[str, float]) -> Iterator[None]:
    """Add up the seconds of all reading and decoding of files inside the block."""

    def clocked(call: Callable) -> Callable:
        def run(*args: Any, **kwargs: Any) -> Any:
            start, start_cpu = time.perf_counter(), time.thread_time()
            try:
                return call(*args, **kwargs)
            finally:
                times['decode'] = times.get('decode', 0.0) + time.perf_counter() - start
                times['cpu'] = times.get('cpu', 0.0) + time.thread_time() - start_cpu

        return run

    with (
        mock.patch.object(loading, '_decode', clocked(loading._decode)),
        mock.patch.object(packs, 'read_record', clocked(packs.read_record)),
        mock.patch.object(cv2, 'imread', clocked(cv2.imread)),
    ):
        yield


def _samples(dataset: Config, spec: Spec, folder: Path, packed: bool) -> Callable[[int], dict]:
    """Return a function from an index to its sample, before loading."""
    if spec.files is None and (
        dataset.get('pack') or Path(dataset.get('data_root') or '-').is_dir()
    ):
        built = DATASETS.build(dict(dataset, pipeline=[]))
        return lambda index: built[index % len(built)]
    outdoors = dataset.get('max_depth', 10.0) > 20
    if dataset.pipeline[0]['type'] != 'LoadImage':
        scene = _scene(spec.shape or tuple(dataset.get('image_size', (96, 128))), outdoors)
        return lambda index: scene | {key: scene[key].copy() for key in ('img', 'gt_depth')}
    kind = 'kitti' if outdoors else 'nyu'
    height, width, suffix, scale = FRAMES[kind]
    # Image and depth of one frame: those of the command line, else real ones, else rendered ones.
    real = [Path(spec.samples or '-', name) for name in REAL_FRAMES[kind]]
    if spec.files:
        image, depth = map(Path, spec.files)
    elif all(path.is_file() for path in real):
        image, depth = real
    else:
        if spec.shape:
            height, width = spec.shape
        image, depth = _write_frame(folder, height, width, suffix, scale, outdoors)
    focal = 0.6 * width  # any plausible camera; the pipeline only has to move it
    sample = dict(
        img_path=str(image),
        depth_path=str(depth),
        depth_scale=scale,
        cam_intrinsic=[[focal, 0.0, width / 2], [0.0, focal, height / 2], [0.0, 0.0, 1.0]],
        min_depth=dataset.get('min_depth', 1e-3),
        max_depth=dataset.get('max_depth', 10.0),
        listed_in='the benchmark',
    )
    if packed:
        sample |= _packed(folder, image, depth, sample)
    return lambda index: dict(sample)


def _packed(folder: Path, image: Path, depth: Path, sample: dict) -> dict:
    """Write a pack of one frame; return the keys by which a sample refers to it."""
    for name, path in (('images', image), ('depth', depth)):
        (folder / 'frame' / name).mkdir(parents=True)
        shutil.copy(path, folder / 'frame' / name / f'frame{path.suffix}')
    write_pack(FolderDepthDataset(str(folder / 'frame')), folder / 'pack')
    packed = FolderDepthDataset(
        str(folder / 'frame'),
        pack=str(folder / 'pack'),
        max_depth=sample['max_depth'],
    )[0]
    return {
        key: packed[key]
        for key in ('pack', 'packed_image', 'packed_depth', 'img_reader', 'depth_reader')
    }


def _scene(shape: tuple[int, int], outdoors: bool) -> dict:
    scene = render_scene(
        'streets' if outdoors else 'rooms',
        seed=0,
        index=0,
        image_size=shape,
        lidar=outdoors,
    )
    return scene | dict(img_shape=shape, ori_shape=shape, img_path='scene.png', depth_path=None)


def _write_frame(
    folder: Path,
    height: int,
    width: int,
    suffix: str,
    scale: float,
    outdoors: bool,
) -> tuple[Path, Path]:
    """Write a rendered frame with sensor noise as image and 16-bit PNG."""
    image, depth = folder / f'image.{suffix}', folder / 'depth.png'
    if not image.exists():
        scene = _scene((height, width), outdoors)
        cv2.imwrite(str(image), scene['img'])
        cv2.imwrite(str(depth), encode_uint16(scene['gt_depth'], scale))
    return image, depth
