"""Order of a training's shards: shuffled, resumable at any sample, few shards at a time."""

import logging
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence, Sized

import numpy as np
from mmengine.logging import print_log

from depth.registry import DATA_SAMPLERS

from .mixed import MixedDepthDataset, apportion
from .samplers import ResumableInfiniteSampler, SampleIndex
from .shard_dataset import ShardDataset

CYCLE = 4096  # samples of a lane in which the sets of a mixture get their shares
MIN_PERMUTATIONS = 256  # of single shards that are remembered: 8 bytes a sample


class ShardOrder:
    """Shuffled order of the samples of all shards, one epoch after another, cut into lanes.

    In an epoch the shards come in a random order and the samples of each in a random order. That
    sequence is cut into ``lanes`` pieces of equal length (to one sample), which are read side by
    side: position p of the epoch is sample ``p // lanes`` of lane ``p % lanes``. A shard is thus
    read in one go, by one lane or by neighbours, and the samples next to each other in a batch come
    from different shards.

    Args:
        shard_counts: Number of samples of each shard, (S,).
        lanes: Number of shards that are read side by side.
        seed: Of the permutations.
        shuffle: Permute; otherwise shards and samples keep their order.
    """

    def __init__(
        self, shard_counts: Sequence[int], lanes: int, seed: tuple[int, ...], shuffle: bool = True
    ) -> None:
        self.counts = np.asarray(shard_counts, np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.counts)])
        self.size = int(self.starts[-1])
        self.lanes = min(lanes, self.size)
        self.seed = seed
        self.shuffle = shuffle
        self._epochs: OrderedDict[int, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._permutations: OrderedDict[tuple[int, int], np.ndarray] = OrderedDict()

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Return the samples at positions of the endless sequence, int64 (N,) for int64 (N,)."""
        indices = np.empty_like(positions)
        epochs, numbers = np.divmod(positions, self.size)
        for epoch in np.unique(epochs).tolist():
            selected = epochs == epoch
            indices[selected] = self._of_epoch(epoch, numbers[selected])
        return indices

    def _of_epoch(self, epoch: int, numbers: np.ndarray) -> np.ndarray:
        rows, lanes = np.divmod(numbers, self.lanes)
        length, longer = divmod(self.size, self.lanes)
        # Place in the sequence of shards: the first `longer` lanes have one sample more.
        places = lanes * length + np.minimum(lanes, longer) + rows
        shards, ends = self._shards_of_epoch(epoch)
        turns = np.searchsorted(ends, places, side='right')
        numbers_in_shard = places - (ends[turns] - self.counts[shards[turns]])
        indices = np.empty_like(places)
        # Grouped by shard, for which sorting is quicker than a mask for each.
        by_turn = np.argsort(turns, kind='stable')
        borders = np.flatnonzero(np.diff(turns[by_turn])) + 1
        for group in np.split(by_turn, borders):
            shard = int(shards[turns[group[0]]])
            order = self._order_of_shard(epoch, shard)
            indices[group] = self.starts[shard] + order[numbers_in_shard[group]]
        return indices

    def _shards_of_epoch(self, epoch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of the shards (S,), and where each ends in the epoch's sequence (S,)."""
        if epoch not in self._epochs:
            shards = np.arange(len(self.counts))
            if self.shuffle:
                shards = np.random.RandomState([*self.seed, epoch]).permutation(len(self.counts))
            self._epochs[epoch] = (shards, np.cumsum(self.counts[shards]))
            if len(self._epochs) > 2:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]

    def _order_of_shard(self, epoch: int, shard: int) -> np.ndarray:
        """Return the order of the samples of a shard in an epoch."""
        key = (epoch, shard)
        if key not in self._permutations:
            order = np.arange(self.counts[shard])
            if self.shuffle:
                # One number more than the seed of the shards' order, so never the same stream.
                order = np.random.RandomState([*self.seed, epoch, shard]).permutation(order)
            self._permutations[key] = order
            if len(self._permutations) > max(MIN_PERMUTATIONS, 2 * self.lanes):
                self._permutations.popitem(last=False)
        self._permutations.move_to_end(key)
        return self._permutations[key]


class WeightedOrder:
    """Order of sets with weights: every lane mixes the sets, each in the order of its shards.

    Sample n of a set in lane l has position ``n * lanes + l`` in the endless sequence of the set,
    so that within a set all samples come equally often. The shares are multiples of 1/4096 and hold
    in any 4096 samples of a lane, and to one sample in every step of a process.

    Args:
        orders: Order of each set.
        weights: Share of each set, in any unit.
        lanes: Number of lanes.
    """

    def __init__(self, orders: Sequence[ShardOrder], weights: Sequence[float], lanes: int) -> None:
        self.orders, self.lanes = orders, lanes
        self.offsets = np.concatenate([[0], np.cumsum([order.size for order in orders])])
        self.counts = apportion(weights, CYCLE)
        # Spread evenly: sample j of c comes at (j + 1/2) / c of the cycle.
        times, labels = [], []
        for number, count in enumerate(self.counts):
            times.append((np.arange(count) + 0.5) / count)
            labels.append(np.full(count, number))
        order = np.argsort(np.concatenate(times), kind='stable')
        self.cycle = np.concatenate(labels)[order]
        # Samples of each set before a point of the cycle, (sets, CYCLE + 1).
        is_label = self.cycle == np.arange(len(orders))[:, None]
        self.before = np.concatenate(
            [np.zeros((len(orders), 1), np.int64), np.cumsum(is_label, axis=1)], axis=1
        )

    def indices(self, positions: np.ndarray) -> np.ndarray:
        """Return the samples at positions, as numbers in the concatenation of the sets."""
        rows, lanes = np.divmod(positions, self.lanes)
        # Neighbouring lanes are one sample apart in the cycle, so that the shares also hold in any
        # samples next to each other.
        first = lanes % CYCLE
        cycles, points = np.divmod(rows + first, CYCLE)
        labels = self.cycle[points]
        indices = np.empty_like(positions)
        for number in np.unique(labels).tolist():
            selected = labels == number
            before = self.before[number]
            drawn = cycles[selected] * self.counts[number] + before[points[selected]]
            drawn -= before[first[selected]]
            set_positions = drawn * self.lanes + lanes[selected]
            of_set = self.orders[number].indices(set_positions)
            indices[selected] = self.offsets[number] + of_set
        return indices


@DATA_SAMPLERS.register_module()
class ShardSampler(ResumableInfiniteSampler):
    """Endless training sequence over shards that is a function of (seed, position) alone.

    The sequence does not depend on the number of processes or of loader workers: each process takes
    its batch of every global batch, so a run may go on with other numbers at exactly the sample
    where it stopped. Without weights each sample of all sets comes once in an epoch.

    With ``lanes`` equal to the images of a step on all processes, or a multiple of it, each process
    reads shards of its own, its share of them in an epoch. Shards that will be needed are fetched
    beforehand.

    Args:
        dataset: :class:`~depth.datasets.ShardDataset`, or a
            :class:`~depth.datasets.MixedDepthDataset` of such without weights.
        batch_size: Batch size of each process; it must be the data loader's.
        weights: Share of each set of a mixture, in any unit; None: every sample once in an epoch.
        lanes: Number of shards that are read side by side by all processes together. It is part of
            the order: keep it when a run is resumed.
        ahead: Batches of this process whose shards are fetched in advance, at least; twice as many
            at most.
        shuffle: Permute shards and samples; otherwise they keep their order, which lanes still
            interleave.
        seed: Seed of the permutations and of the samples' augmentations.
        start: Position in the global sequence to begin at.

    Raises:
        TypeError: If a data set has no shards.
        ValueError: If weights or lanes make no sense.
    """

    starts_anywhere = True

    def __init__(
        self,
        dataset: Sized,
        batch_size: int,
        weights: Sequence[float] | None = None,
        lanes: int = 16,
        ahead: int = 32,
        shuffle: bool = True,
        seed: int = 0,
        start: int = 0,
    ) -> None:
        self.sets = _sets_of(dataset)
        if lanes < 1 or ahead < 1:
            raise ValueError(
                f'ShardSampler: lanes and ahead must be at least 1, got {lanes}, {ahead}'
            )
        if weights is not None and (
            len(weights) != len(self.sets) or not all(weight > 0 for weight in weights)
        ):
            raise ValueError(
                f'ShardSampler: weights must be {len(self.sets)} positive numbers, one for each '
                f'set, got {list(weights)}'
            )
        self.lanes, self.ahead, self.weights = lanes, ahead, weights
        self._order_of: tuple[int, ShardOrder | WeightedOrder] | None = None
        super().__init__(dataset, batch_size, shuffle, seed, start)
        self.offsets = np.concatenate([[0], np.cumsum([len(dataset) for dataset in self.sets])])
        images = self.batch_size * self.world_size
        is_remote = any(dataset.cache is not None for dataset in self.sets)
        if is_remote and self.world_size > 1 and self.lanes < images:
            print_log(
                f'ShardSampler: lanes={self.lanes} are fewer than the {images} images of a step, '
                f'so every shard is read by up to {-(-images // self.lanes)} processes; '
                f'with lanes={images} each process reads its own',
                logger='current',
                level=logging.WARNING,
            )

    def set_start(self, position: int) -> None:
        """Begin the next iteration at ``position`` of the global sequence, any one.

        Raises:
            ValueError: If the position is negative.
        """
        if position < 0:
            raise ValueError(f'cannot start at sample {position}')
        self.start = position

    def __iter__(self) -> Iterator[SampleIndex]:
        # Batches are planned `ahead` at a time, of which there are always as many in hand.
        stride = self.batch_size * self.world_size
        batches = np.arange(self.ahead)[:, None] * stride + np.arange(self.batch_size)
        planned: deque[tuple[int, int]] = deque()
        first = self.start + self.rank * self.batch_size
        while True:
            while len(planned) <= self.ahead * self.batch_size:
                positions = (first + batches).ravel()
                indices = self.order().indices(positions)
                self._prefetch(indices)
                planned.extend(zip(indices.tolist(), positions.tolist(), strict=True))
                first += self.ahead * stride
            index, position = planned.popleft()
            yield SampleIndex(index, (self.seed, position))

    def _index_at(self, position: int) -> int:
        return int(self.order().indices(np.array([position]))[0])

    def order(self) -> ShardOrder | WeightedOrder:
        """Return the order of the present seed, which a resume replaces."""
        if self._order_of is None or self._order_of[0] != self.seed:
            self._order_of = (self.seed, self._make_order())
        return self._order_of[1]

    def _make_order(self) -> ShardOrder | WeightedOrder:
        # RandomState takes seeds of 32 bits.
        seed = self.seed & 0xFFFFFFFF
        if self.weights is None:
            counts = np.concatenate([dataset.shard_counts for dataset in self.sets])
            return ShardOrder(counts, self.lanes, (seed,), self.shuffle)
        orders = []
        for number, dataset in enumerate(self.sets):
            order = ShardOrder(dataset.shard_counts, self.lanes, (seed, number), self.shuffle)
            orders.append(order)
        return WeightedOrder(orders, self.weights, self.lanes)

    def _prefetch(self, indices: np.ndarray) -> None:
        """Let each set fetch the shards of its samples."""
        numbers = np.searchsorted(self.offsets, indices, side='right') - 1
        for number in np.unique(numbers).tolist():
            self.sets[number].prefetch(indices[numbers == number] - self.offsets[number])


def _sets_of(dataset: Sized) -> list[ShardDataset]:
    """Return the data set, or those of a mixture."""
    sets = [dataset]
    if isinstance(dataset, MixedDepthDataset):
        sets = dataset.datasets
        if list(dataset.counts) != list(dataset.sizes):
            raise ValueError(
                'ShardSampler: give weights to the sampler and leave those of the '
                'MixedDepthDataset out, whose order would read shards at random'
            )
    for member in sets:
        if not isinstance(member, ShardDataset):
            raise TypeError(
                f'ShardSampler reads shards, but the data set is a {type(member).__name__}; write '
                'shards of it with depth pack --format wds, or use ResumableInfiniteSampler'
            )
    return sets


def choose_few_shards(dataset: Sized, indices: np.ndarray, num_shards: int = 4) -> np.ndarray:
    """Return samples in place of others, as evenly spread as few shards allow.

    Every shard of a remote store is fetched whole, so a measurement on some samples should not
    touch a shard for each. Samples of other data sets, and of local shards, are returned as they
    are.

    Args:
        dataset: Any data set, or a :class:`~depth.datasets.MixedDepthDataset`.
        indices: Samples that are spread over the data set, int (N,), ascending.
        num_shards: Shards that may be read, at least one for each set of a mixture.

    Returns:
        Samples, int (M,) with M up to N, ascending.
    """
    if isinstance(dataset, MixedDepthDataset):
        if list(dataset.counts) != list(dataset.sizes):
            return indices
        chosen = []
        for first, member in zip(dataset.starts, dataset.datasets, strict=False):
            own = indices[(indices >= first) & (indices < first + len(member))] - first
            share = max(1, num_shards * len(own) // len(indices))
            chosen.append(first + choose_few_shards(member, own, share))
        return np.concatenate(chosen)
    if not isinstance(dataset, ShardDataset) or dataset.cache is None or not len(indices):
        return indices
    chosen = []
    for group in np.array_split(indices, min(num_shards, len(indices))):
        shard, _ = dataset.locate(group[len(group) // 2])
        numbers = np.linspace(0, dataset.shard_counts[shard] - 1, len(group)).astype(int)
        chosen.append(dataset.starts[shard] + numbers)
    return np.unique(np.concatenate(chosen))
