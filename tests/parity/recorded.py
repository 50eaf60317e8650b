"""Recorded values of the published implementations: weights that are drawn from their names, and outputs.

The full arrays lie in ``shared/reference`` beside the repository, where that folder exists.
``tests/data/parity`` holds what a clone without it needs: names and shapes of every published state
dict, inputs and small arrays whole, and of large outputs 64 samples and four statistics.
``python tests/parity/recorded.py`` writes it from the full arrays.
"""

import json
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

REPO = Path(__file__).resolve().parents[2]
REFERENCE = REPO.parent / 'shared' / 'reference'
DATA = REPO / 'tests' / 'data' / 'parity'
NUM_SAMPLES = 64
# Larger arrays of these cases are outputs of networks; VALUES also hold inputs and are kept whole.
LARGEST_WHOLE = 1024
NETWORKS = (
    'adabins_efnetb5ap_nyu',
    'binsformer_swint_w7_nyu',
    'bts_r50_nyu',
    'da3mono_vits',
    'depth_anything_v2_metric_vits',
    'depth_anything_v2_vits',
    'depthformer_swint_w7_nyu',
    'epcdepth_resnet18',
    'metric3dv2_vits',
    'mmdepth_binsformer_swin_tiny',
    'moge2_vits',
    'scaledepth_swin_tiny_nyu',
    'sdconvtrans_mitb0',
    'zoedepth_n_beitb',
)
NAMES_ONLY = (
    'binsformer_swinl_22k_w7_kitti',
    'da3mono_vitb',
    'depth_anything_v2_metric_vitb',
    'depth_anything_v2_vitb',
    'depthformer_swinl_22k_w7_kitti',
    'depthpro_vits',
    'dpt_vit_b16_nyu',
    'epcdepth_resnet50',
    'metric3dv1_convtiny',
    'moge2_vitb',
    'newcrfs_swinl_22k_w7_nyu',
    'plane2depth_swin_large_nyu',
    'scaledepth_clip_nyu_kitti',
    'zoedepth_nk_beitb',
)
VALUES = (
    'epcdepth_values',
    'losses',
    'metrics',
    'relative_losses',
    'scaledepth_losses',
    'sdconvtrans_values',
    'transforms',
)
# Frames and point maps from which the tests start; everything else of the case is an output.
PRE_POST = 'foundation_pre_post'
PRE_POST_INPUTS = ('input/nyu', 'input/kitti', 'points_in', 'mask_in', 'depth_in', 'sky_in')


@dataclass(frozen=True)
class Sampled:
    """Array of which shape, samples and statistics are recorded.

    Attributes:
        shape: Shape of the whole array.
        samples: 64 values at even distances through the flattened array, its first and its last
            among them.
        stats: Mean, population standard deviation, least and greatest value of the whole array.
    """

    shape: tuple[int, ...]
    samples: np.ndarray
    stats: np.ndarray


def draw_samples(array: np.ndarray) -> np.ndarray:
    """Return 64 values at even distances through the flattened array."""
    return array.ravel()[np.linspace(0, array.size - 1, NUM_SAMPLES).astype(int)]


def sample(array: np.ndarray) -> Sampled:
    """Return shape, samples and statistics of an array; the latter are those of its finite values."""
    finite = array[np.isfinite(array)]
    stats = np.array([finite.mean(), finite.std(), finite.min(), finite.max()])
    return Sampled(array.shape, draw_samples(array), stats)


def relative_error(actual: np.ndarray, expected: np.ndarray | Sampled) -> float:
    """Return the relative L2 distance; of samples and statistics, the larger one, where only these are recorded."""
    if isinstance(expected, Sampled):
        assert actual.shape == expected.shape, f'{actual.shape} instead of {expected.shape}'
        own = sample(actual)
        return max(_distance(own.samples, expected.samples), _distance(own.stats, expected.stats))
    assert actual.shape == expected.shape, f'{actual.shape} instead of {expected.shape}'
    return _distance(actual, expected)


def _distance(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))


def load_case(name: str) -> dict:
    """Return the description of a case: settings, input, names and shapes of the published state dict."""
    path = REFERENCE / f'{name}.json'
    return json.loads(
        (path if path.is_file() else DATA / f'{name}.json').read_text(encoding='utf-8')
    )


@cache
def load_arrays(name: str) -> Mapping[str, np.ndarray | Sampled]:
    """Return the recorded arrays of a case; large outputs are :class:`Sampled` without ``shared/reference``."""
    path = REFERENCE / f'{name}.npz'
    if path.is_file():
        return dict(np.load(path))
    return read_small(DATA / f'{name}.npz')


def read_small(path: Path) -> dict[str, np.ndarray | Sampled]:
    """Read a file that :func:`write_small` wrote."""
    arrays = dict(np.load(path))
    for key in [key for key in arrays if key.endswith('::shape')]:
        name = key.removesuffix('::shape')
        shape = tuple(arrays.pop(key).tolist())
        arrays[name] = Sampled(shape, arrays.pop(f'{name}::samples'), arrays.pop(f'{name}::stats'))
    return arrays


def write_small(arrays: Mapping[str, np.ndarray], path: Path, inputs: tuple[str, ...] = ()) -> None:
    """Write arrays, those above 1024 values as shape, samples and statistics.

    Args:
        arrays: Arrays by name.
        path: File to write.
        inputs: Ends of the names of arrays that are stored whole.
    """
    stored = {}
    for name, array in arrays.items():
        if array.size <= LARGEST_WHOLE or name.endswith(inputs):
            stored[name] = array
            continue
        sampled = sample(array)
        stored[f'{name}::shape'] = np.array(sampled.shape)
        stored[f'{name}::samples'] = sampled.samples
        stored[f'{name}::stats'] = sampled.stats
    np.savez_compressed(path, **stored)


def published_state(case: dict) -> dict[str, np.ndarray]:
    """Return the published weights of a case by name.

    Every tensor is drawn from the CRC-32 of its own name, so that nobody has to store it. A case's
    ``overrides`` are factors by name; ``not_filled`` holds the values of constant buffers.
    """
    constants = case.get('not_filled', {})
    factors = case.get('overrides', {})
    state = {}
    for name, shape in case['state_dict'].items():
        constant = constants.get(name) if isinstance(constants, dict) else None
        if isinstance(constant, list):
            state[name] = np.asarray(constant, np.float32).reshape(shape)
        else:
            state[name] = draw_weight(name, shape)
        if name in factors:
            state[name] = np.asarray(state[name] * np.float32(factors[name]))
    return state


def draw_weight(name: str, shape: Sequence[int]) -> np.ndarray:
    """Return the weight of this name, float32: of unit gain, with biases and norms near their usual values.

    Counters of batches are int64 zeros.
    """
    if name.endswith('num_batches_tracked'):
        return np.zeros(shape, np.int64)
    noise = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    if name.endswith('running_var'):
        values = 1 + 0.1 * np.abs(noise)
    elif name.endswith('running_mean'):
        values = 0.1 * noise
    elif name.endswith('bias'):
        values = 0.02 * noise
    elif len(shape) < 2:
        values = 1 + 0.1 * noise
    else:
        values = noise / np.sqrt(np.prod(shape[1:]))
    return np.asarray(values, np.float32)


def draw_noise(shape: Sequence[int], seed: int) -> np.ndarray:
    """Return a standard-normal float32 array, as the normalised images of all cases are drawn."""
    return np.random.RandomState(seed).standard_normal(tuple(shape)).astype(np.float32)


def main() -> None:
    """Write ``tests/data/parity`` from the full arrays."""
    if not REFERENCE.is_dir():
        sys.exit(f'{REFERENCE} with the full arrays is not there')
    DATA.mkdir(parents=True, exist_ok=True)
    for name in (*NETWORKS, *NAMES_ONLY, *VALUES, PRE_POST, 'schedules'):
        case = json.loads((REFERENCE / f'{name}.json').read_text(encoding='utf-8'))
        text = json.dumps(case, separators=(',', ':'))
        (DATA / f'{name}.json').write_text(text + '\n', encoding='utf-8')
    for name in NETWORKS:
        write_small(np.load(REFERENCE / f'{name}.npz'), DATA / f'{name}.npz')
    write_small(np.load(REFERENCE / f'{PRE_POST}.npz'), DATA / f'{PRE_POST}.npz', PRE_POST_INPUTS)
    for name in VALUES:
        np.savez_compressed(DATA / f'{name}.npz', **np.load(REFERENCE / f'{name}.npz'))


if __name__ == '__main__':
    main()
