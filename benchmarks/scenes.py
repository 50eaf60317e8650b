"""Input of benchmarks: rendered scenes with sensor noise at any size, no data set needed."""

from collections.abc import Sequence

from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from depth.datasets.synthetic import SyntheticDataset
from depth.registry import DATASETS

# Steps of a test pipeline that give the network its own size; the model expects their result.
NETWORK_SIZE_RULES = ('ResizeShortSide', 'ResizeThenSnap', 'FitToCanvas')
FULL_SIZE = (480, 640)  # of a frame, where the pipeline does not say


@DATASETS.register_module()
class BenchmarkScenes(SyntheticDataset):
    """Data set of a few scenes, rendered once and repeated without end.

    Args:
        image_size: (height, width) in pixels.
        max_depth: Far end of the range in metres; above 20 m the scenes are streets with lidar
            ground truth.
        scene_class: Class number that every sample carries.
        num_scenes: How many different scenes.
        resizing: Steps of a pipeline that the images pass.
        **kwargs: See :class:`~depth.datasets.SyntheticDataset`.
    """

    def __init__(
        self,
        image_size: Sequence[int],
        max_depth: float = 10.0,
        scene_class: int = 0,
        num_scenes: int = 2,
        resizing: Sequence[dict] = (),
        **kwargs,
    ) -> None:
        outdoors = max_depth > 20
        kwargs |= dict(
            world='streets' if outdoors else 'rooms',
            lidar=outdoors,
            image_size=image_size,
        )
        pipeline = [*resizing, dict(type='PackDepthInputs')]
        super().__init__(num_scenes=num_scenes, max_depth=max_depth, pipeline=pipeline, **kwargs)
        self.scene_class = scene_class
        self.packed: dict[int, dict] = {}

    def __len__(self) -> int:
        return 1 << 20

    def __getitem__(self, index: int) -> dict:
        """Return one of the scenes; images are shared, samples are copies."""
        number = int(index) % self.num_scenes
        if number not in self.packed:
            self.packed[number] = super().__getitem__(number)
            self.packed[number]['data_samples'].set_metainfo(dict(scene_class=self.scene_class))
        packed = self.packed[number]
        return dict(inputs=packed['inputs'], data_samples=packed['data_samples'].clone())


def scene_batch(
    cfg: Config,
    shape: tuple[int, int],
    batch_size: int,
    scene_class: int = 0,
    resizing: Sequence[dict] = (),
) -> dict:
    """Return a batch as a data loader gives it: images and samples with ground truth."""
    dataset = BenchmarkScenes(shape, max_depth(cfg), scene_class, resizing=resizing)
    return pseudo_collate([dataset[index] for index in range(batch_size)])


def network_size_steps(cfg: Config) -> list[dict]:
    """Return the steps of a config's test pipeline that give the network its own size."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset') or {}
    steps = []
    for step in dataset.get('pipeline') or []:
        if step['type'] in NETWORK_SIZE_RULES:
            steps.append(dict(step))
    return steps


def max_depth(cfg: Config) -> float:
    """Return the far end of a config's depth range, in metres."""
    head = (cfg.get('model') or {}).get('decode_head') or {}
    return float(head.get('max_depth') or cfg.get('max_depth') or 10.0)


def image_size(cfg: Config, loader: str) -> tuple[int, int]:
    """Return (height, width) of the images of a config's data loader.

    The last crop or resize of the pipeline sets it; ``FULL_SIZE`` if there is none.
    """
    dataset = (cfg.get(loader) or {}).get('dataset') or {}
    while dataset.get('datasets'):
        dataset = dataset['datasets'][0]
    for step in reversed(dataset.get('pipeline') or []):
        if step['type'] == 'RandomCrop':
            return tuple(step['crop_size'])
        if step['type'] == 'KBCrop':
            return step.get('height', 352), step.get('width', 1216)
        if step['type'] == 'NYUCrop':
            return 427, 565
        if step['type'] == 'Resize':
            width, height = step['scale']
            return height, width
    if dataset.get('type') == 'SyntheticDataset':
        return tuple(dataset.get('image_size', (96, 128)))
    return FULL_SIZE
