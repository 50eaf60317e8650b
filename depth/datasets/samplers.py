"""Endless sampling that can be continued at any position without reading the samples before it."""

from collections.abc import Iterator, Sized

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
        """Begin the next iteration at ``position`` of the global sequence."""
        if position % (self.batch_size * self.world_size):
            raise ValueError(
                f'cannot start at sample {position}: {self.world_size} processes with batch size '
                f'{self.batch_size} need a multiple of {self.batch_size * self.world_size}; resume '
                'with the global batch size of before'
            )
        self.start = position

    def __iter__(self) -> Iterator[SampleIndex]:
        first = self.start + self.rank * self.batch_size
        epoch, order = -1, np.empty(0, int)
        while True:
            # One block of this process; the blocks of the others lie between it and the next.
            for position in range(first, first + self.batch_size):
                if position // self.size != epoch:
                    epoch = position // self.size
                    order = self._permutation(epoch)
                yield SampleIndex(order[position % self.size], (self.seed, position))
            first += self.batch_size * self.world_size

    def batch_of_iteration(self, iteration: int) -> list[SampleIndex]:
        """Return the samples of this process in a training iteration, the run's first being 0."""
        first = (iteration * self.world_size + self.rank) * self.batch_size
        indices = []
        for position in range(first, first + self.batch_size):
            order = self._permutation(position // self.size)
            indices.append(SampleIndex(order[position % self.size], (self.seed, position)))
        return indices

    def _permutation(self, epoch: int) -> np.ndarray:
        if not self.shuffle:
            return np.arange(self.size)
        return np.random.RandomState([self.seed & 0xFFFFFFFF, epoch]).permutation(self.size)

    def __len__(self) -> int:
        """Return the samples of one pass over the data, as seen by one process."""
        return -(-self.size // self.world_size)

    def set_epoch(self, epoch: int) -> None:
        """Do nothing: the position in the sequence already decides the order."""
