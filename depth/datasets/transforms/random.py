"""Random numbers of a sample."""

import numpy as np


def get_rng(results: dict) -> np.random.RandomState:
    """Return the sample's own generator, so that augmentation does not depend on workers or on a resume."""
    if 'rng' not in results:  # not setdefault: making a generator takes longer than most transforms
        results['rng'] = np.random.RandomState()
    return results['rng']
