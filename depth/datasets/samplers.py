"""Endless sampling that can be continued at any position without reading the samples before it."""

import functools
from collections.abc import Iterator, Sequence, Sized

import numpy as np
from mmengine.dist import get_dist_info
from torch.utils.data import Sampler

from depth.registry import DATA_SAMPLERS


class SampleIndex(int):
    """Index of a sample that also knows its position in the endless training sequence.

    Attributes:
        key: (seed, position); seeds the random numbers of this sample's augmentation.
    """

    key: tuple[int, int]

    def __new__(cls, index: int, key: tuple[int, int]) -> 'SampleIndex':
        """Make an index that behaves as the int ``index``."""
        self = super().__new__(cls, index)
        self.key = key
        return self

    def __getnewargs__(self) -> tuple[int, tuple[int, int]]:
        # For pickle, by which the loader sends indices to its workers: int would give no key.
        return int(self), self.key

    def generator(self) -> np.random.RandomState:
        """Return the sample's own random number generator."""
        # RandomState takes numbers of 32 bits, and a position may be larger.
        seed, position = self.key
        return np.random.RandomState([seed & 0xFFFFFFFF, position & 0xFFFFFFFF, position >> 32])


@DATA_SAMPLERS.register_module()
class ResumableInfiniteSampler(Sampler):
    """Endless training sequence that is a function of (seed, position) alone.

    The sequence is one permutation of the data set after another. N processes with batch size B
    take turns in blocks of B, so that together they see exactly the batches of one process with
    batch size N * B.

    Args:
        dataset: What to sample from.
        batch_size: Batch size of each process; it must be the data loader's.
        shuffle: Permute every pass; otherwise keep the order.
        seed: Seed of the permutations and of the samples' augmentations.
        start: Position in the global sequence to begin at, a multiple of N * B.

    Raises:
        ValueError: If the data set is empty or the start splits a batch.
    """

    # Whether the sequence can be entered at any position, not only where a batch begins.
    starts_anywhere = False

    def __init__(
        self, dataset: Sized, batch_size: int, shuffle: bool = True, seed: int = 0, start: int = 0
    ) -> None:
        if len(dataset) == 0:
            raise ValueError('the training data set is empty, there is nothing to sample from')
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = int(seed or 0)
        self.set_start(start)

    def set_start(self, position: int) -> None:
        """Begin the next iteration at ``position`` of the global sequence.

        Raises:
            ValueError: If the position is not the first one of a step of all processes.
        """
        if position % (self.batch_size * self.world_size):
            raise ValueError(
                f'cannot start at sample {position}: {self.world_size} processes with batch size '
                f'{self.batch_size} need a multiple of {self.batch_size * self.world_size}; resume '
                'with the global batch size of before'
            )
        self.start = position

    def __iter__(self) -> Iterator[SampleIndex]:
        first = self.start + self.rank * self.batch_size
        while True:
            # One block of this process; the blocks of the others lie between it and the next.
            for position in range(first, first + self.batch_size):
                yield self._sample_at(position)
            first += self.batch_size * self.world_size

    def batch_of_iteration(self, iteration: int) -> list[SampleIndex]:
        """Return the samples of this process in a training iteration, the run's first being 0."""
        first = (iteration * self.world_size + self.rank) * self.batch_size
        return [self._sample_at(position) for position in range(first, first + self.batch_size)]

    def _sample_at(self, position: int) -> SampleIndex:
        """Return the sample at a position of the global sequence."""
        return SampleIndex(self._index_at(position), (self.seed, position))

    def _index_at(self, position: int) -> int:
        epoch, number = divmod(position, self.size)
        return self._order((epoch,), self.size)[number]

    def _order(self, key: tuple[int, ...], size: int) -> Sequence[int]:
        """Return the order of ``size`` images; ``key`` numbers the permutation."""
        if not self.shuffle:
            return range(size)
        return _permutation((self.seed & 0xFFFFFFFF, *key), size)

    def __len__(self) -> int:
        """Return the samples of one pass over the data, as seen by one process."""
        return -(-self.size // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the position in the sequence already decides the order."""


@functools.lru_cache(maxsize=16)
def _permutation(seed: tuple[int, ...], size: int) -> np.ndarray:
    return np.random.RandomState(seed).permutation(size)


@DATA_SAMPLERS.register_module()
class AlternatingSetSampler(ResumableInfiniteSampler):
    """Endless training sequence whose batches come from several data sets in turn.

    Iteration i takes its batch, on all processes, from set i modulo the number of sets. The
    sequence of a set is one permutation after another: shorter sets are repeated.

    Args:
        dataset: :class:`~depth.datasets.MixedDepthDataset` without weights.
        batch_size: Images of one process in an iteration; all come from one set.
        shuffle: Shuffle each set.
        seed: Of the permutations.
        start: Position in the sequence of all processes to begin at.

    Raises:
        ValueError: If a set is empty, the sets have weights, or the start splits a batch.
    """

    def __init__(
        self, dataset: Sized, batch_size: int, shuffle: bool = True, seed: int = 0, start: int = 0
    ) -> None:
        super().__init__(dataset, batch_size, shuffle, seed, start)
        self.sizes, self.starts = list(dataset.sizes), list(dataset.starts)
        if list(dataset.counts) != self.sizes:
            raise ValueError(
                'AlternatingSetSampler: every set has the same share already, leave weights of the '
                'MixedDepthDataset out'
            )
        if min(self.sizes) == 0:
            raise ValueError(f'AlternatingSetSampler: a data set is empty, sizes are {self.sizes}')

    def _index_at(self, position: int) -> int:
        iteration, number_in_batch = divmod(position, self.batch_size * self.world_size)
        turn, set_index = divmod(iteration, len(self.sizes))
        # Position in the sequence of this set alone.
        set_position = turn * self.batch_size * self.world_size + number_in_batch
        epoch, number = divmod(set_position, self.sizes[set_index])
        order = self._order((set_index, epoch), self.sizes[set_index])
        return self.starts[set_index] + order[number]
