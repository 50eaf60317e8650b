"""Several data sets as one."""

import functools
from collections.abc import Sequence

import numpy as np
from torch.utils.data import Dataset

from depth.registry import DATASETS

from .samplers import SampleIndex


@DATASETS.register_module()
class MixedDepthDataset(Dataset):
    """Concatenation of data sets, each with its own pipeline, depth range and weight.

    Every sample keeps the ``dataset`` name and the depth range of its own set. Without weights each
    image comes once in a pass. With weights a pass is as long as the sets together and gives each
    set its share; a set that is asked for less than it has continues in the next pass where it
    stopped, one that is asked for more begins again, so that within a set all images come equally
    often.

    Which image is read follows from the index and, if the sampler keyed it, from (seed, position)
    alone: training resumes exactly. The images of one batch must have one size after the pipelines,
    which usually end in one crop.

    Args:
        datasets: Data sets or their configs.
        weights: Share of each set in a pass, in any unit; None: by size.
        min_depth: Near end of the common range in metres, by default the least of all.
        max_depth: Far end, by default the greatest of all. Models are compared with these, samples
            keep their own.
        test_mode: Allow images of different sizes, as in validation with a batch size of 1.
        one_set_a_batch: Allow images of different sets to differ in size, for batches of one set
            each (:class:`~depth.datasets.AlternatingSetSampler`).

    Raises:
        ValueError: If there is no data set, the weights do not fit, or sizes differ in training.
    """

    def __init__(
        self,
        datasets: Sequence[dict | Dataset],
        weights: Sequence[float] | None = None,
        min_depth: float | None = None,
        max_depth: float | None = None,
        test_mode: bool = False,
        one_set_a_batch: bool = False,
    ) -> None:
        if not datasets:
            raise ValueError('MixedDepthDataset: datasets is empty')
        self.datasets = []
        for dataset in datasets:
            if isinstance(dataset, dict):
                dataset = DATASETS.build(dataset)
            self.datasets.append(dataset)
        self.sizes = [len(dataset) for dataset in self.datasets]
        self.counts = self.sizes
        if weights is not None:
            self.counts = _shares(weights, self.sizes)
        # First index of each set in a pass, and the length of the pass.
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.test_mode = test_mode
        self.one_set_a_batch = one_set_a_batch
        metas = [dataset.metainfo for dataset in self.datasets]
        if min_depth is None:
            min_depth = min(meta['min_depth'] for meta in metas)
        if max_depth is None:
            max_depth = max(meta['max_depth'] for meta in metas)
        self.min_depth, self.max_depth = float(min_depth), float(max_depth)
        self.metainfo = dict(
            dataset_name='mixed',
            datasets=[meta['dataset_name'] for meta in metas],
            min_depth=self.min_depth,
            max_depth=self.max_depth,
        )
        # Name of the set and size of the first image, of all sets or of each.
        self._first: dict[int, tuple[str, tuple[int, ...]]] = {}

    def __len__(self) -> int:
        return int(self.starts[-1])

    def locate(self, index: int) -> tuple[int, int]:
        """Return the data set of an index, and the image of it, as two numbers.

        Args:
            index: Position in a pass; with a ``key`` also its (seed, position) in the endless
                sequence.

        Raises:
            IndexError: If there is no such sample.
        """
        if not 0 <= index < len(self):
            raise IndexError(f'sample {int(index)} of {len(self)}')
        set_index = int(np.searchsorted(self.starts, index, side='right')) - 1
        index_in_set = int(index - self.starts[set_index])
        size = self.sizes[set_index]
        # A set that is asked for as many images as it has needs no order of its own.
        if self.counts[set_index] == size:
            return set_index, index_in_set
        seed, position = index.key if isinstance(index, SampleIndex) else (0, 0)
        # Number of images of this set that come before, in all passes.
        drawn = position // len(self) * self.counts[set_index] + index_in_set
        round_number, index_in_round = divmod(drawn, size)
        order = _permutation(seed, set_index, round_number, size)
        return set_index, int(order[index_in_round])

    def __getitem__(self, index: int) -> dict:
        """Return the packed sample of the set that ``index`` falls into."""
        set_index, index_in_set = self.locate(index)
        # The key goes with the index: the set seeds the sample's augmentation with it.
        if isinstance(index, SampleIndex):
            index_in_set = SampleIndex(index_in_set, index.key)
        sample = self.datasets[set_index][index_in_set]
        if not self.test_mode:
            self._check_size(sample, set_index)
        return sample

    def _check_size(self, sample: dict, set_index: int) -> None:
        """Name the two sets whose images differ in size; collating would name two tensors."""
        shape = tuple(sample['inputs'].shape[-2:])
        name = f'{self.metainfo["datasets"][set_index]} (datasets[{set_index}])'
        # Batches of one set each need one size within the set only.
        group = set_index if self.one_set_a_batch else 0
        first_name, first_shape = self._first.setdefault(group, (name, shape))
        if shape != first_shape:
            raise ValueError(
                f'MixedDepthDataset: images of {name} are {shape[0]}x{shape[1]} after their '
                f'pipeline, those of {first_name} {first_shape[0]}x{first_shape[1]}; one '
                'batch needs one size, so end both pipelines in the same RandomCrop or Resize (a '
                'crop keeps images that are smaller than it)'
            )


def _shares(weights: Sequence[float], sizes: Sequence[int]) -> list[int]:
    """Return how many images of each set a pass has; they add up to the number of all images."""
    if len(weights) != len(sizes) or not all(weight > 0 for weight in weights):
        raise ValueError(
            f'MixedDepthDataset: weights must be {len(sizes)} positive numbers, got {list(weights)}'
        )
    if min(sizes) == 0:
        raise ValueError(f'MixedDepthDataset: a data set is empty, sizes are {list(sizes)}')
    return apportion(weights, sum(sizes))


def apportion(weights: Sequence[float], total: int) -> list[int]:
    """Return whole numbers from 1 on, in the ratio of positive weights, with sum ``total``."""
    # The largest remainders get the images that rounding down leaves; no set goes without.
    exact = np.asarray(weights, np.float64) / sum(weights) * total
    counts = np.maximum(np.floor(exact).astype(int), 1)
    while counts.sum() < total:
        counts[np.argmax(exact - counts)] += 1
    while counts.sum() > total:
        counts[np.argmax(np.where(counts > 1, counts - exact, -np.inf))] -= 1
    return counts.tolist()


@functools.lru_cache(maxsize=16)
def _permutation(seed: int, set_index: int, round_number: int, size: int) -> np.ndarray:
    """Return the order of a set's images in one round through it."""
    # RandomState takes seeds of 32 bits; its streams are the same in all versions of NumPy.
    key = [seed & 0xFFFFFFFF, set_index, round_number]
    return np.random.RandomState(key).permutation(size)
