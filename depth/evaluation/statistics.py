"""Intervals of means over images (bootstrap) and seeds (Student's t); paired comparison."""

import math
from dataclasses import dataclass

import numpy as np

CHUNK = 4_000_000  # numbers drawn at once, to bound the memory


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """Paired comparison of two models on the same images.

    Attributes:
        first: Mean of the first model.
        second: Mean of the second.
        difference: Second minus first, with the confidence interval of the paired bootstrap.
        p_value: Two-sided p-value of the sign-flip permutation test of "no difference".
        wins: Share of images on which the second has the lower value, ties counted half.
    """

    first: Interval
    second: Interval
    difference: Interval
    p_value: float
    wins: float


def bootstrap_mean(
    values: np.ndarray, num_resamples: int = 10_000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the mean over images with its percentile bootstrap interval.

    Args:
        values: One value an image, (N,).
        num_resamples: Samples of N images drawn with replacement.
        level: Coverage of the interval.
        seed: Of the generator; the same images are drawn for every call with equal N.
    """
    values = _checked(values)
    rng = np.random.default_rng(seed)
    means = np.empty(num_resamples)
    step = max(CHUNK // len(values), 1)
    for start in range(0, num_resamples, step):
        stop = min(start + step, num_resamples)
        drawn = rng.integers(len(values), size=(stop - start, len(values)))
        means[start:stop] = values[drawn].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def sign_flip_p_value(differences: np.ndarray, num_resamples: int = 10_000, seed: int = 0) -> float:
    """Return the two-sided p-value of a mean of 0: each difference could have the other sign.

    Args:
        differences: One an image, (N,).
        num_resamples: Random sign patterns; with up to 13 images all patterns are counted instead,
            exactly.
        seed: Of the generator.
    """
    differences = _checked(differences)
    count = len(differences)
    # A little smaller, so that rounding does not take sums that equal it for smaller ones.
    observed = abs(differences.sum()) * (1 - 1e-12)
    if 2**count <= num_resamples:
        # All sign patterns, as the bits of the numbers below 2^N.
        patterns = (np.arange(2**count)[:, None] >> np.arange(count)) & 1
        return float((np.abs((1 - 2 * patterns) @ differences) >= observed).mean())
    rng = np.random.default_rng(seed)
    num_reached = 0
    step = max(CHUNK // count, 1)
    for start in range(0, num_resamples, step):
        signs = 1 - 2 * rng.integers(2, size=(min(step, num_resamples - start), count))
        num_reached += int((np.abs(signs @ differences) >= observed).sum())
    # The observed pattern is one of the possible ones, so that p is never 0.
    return (num_reached + 1) / (num_resamples + 1)


def compare_paired(
    first: np.ndarray,
    second: np.ndarray,
    num_resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """Compare two models by one metric.

    Args:
        first: The first model's value of every image, (N,).
        second: The second model's, same images in the same order.
        num_resamples: See :func:`bootstrap_mean` and :func:`sign_flip_p_value`.
        level: Coverage of the intervals.
        seed: Of the generators.

    Raises:
        ValueError: If the lengths differ or are zero.
    """
    first = _checked(first)
    second = _checked(second)
    if len(first) != len(second):
        raise ValueError(
            f'a paired comparison needs the same images, got {len(first)} and {len(second)} values'
        )
    options = dict(num_resamples=num_resamples, level=level, seed=seed)
    difference = second - first
    return Comparison(
        first=bootstrap_mean(first, **options),
        second=bootstrap_mean(second, **options),
        difference=bootstrap_mean(difference, **options),
        p_value=sign_flip_p_value(difference, num_resamples, seed),
        wins=float((difference < 0).mean() + (difference == 0).mean() / 2),
    )


def student_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Return the mean of a few repeated runs with the interval of Student's t.

    Unlike the bootstrap, it is meant for few values; it takes them as normally distributed.

    Args:
        values: One value a run, (N,), N at least 2.
        level: Coverage of the interval.

    Raises:
        ValueError: If there are fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f'an interval needs two values or more, got shape {values.shape}')
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = student_quantile(level, len(values) - 1) * error
    return Interval(mean, mean - half, mean + half)


def student_quantile(level: float, degrees: int) -> float:
    """Return t for which ``level`` of Student's distribution lies between -t and t.

    The probability of that range is a finite sum for whole degrees of freedom (Abramowitz and
    Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4); it is inverted by bisection.

    Args:
        level: Probability, above 0 and below 1.
        degrees: Degrees of freedom, at least 1.

    Raises:
        ValueError: If an argument is outside its range.
    """
    if not 0 < level < 1 or degrees < 1:
        raise ValueError(f'need 0 < level < 1 and degrees >= 1, got {level} and {degrees}')
    low, high = 0.0, math.pi / 2
    for _ in range(100):
        middle = (low + high) / 2
        if _central_probability(middle, degrees) < level:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def _central_probability(angle: float, degrees: int) -> float:
    """Return the probability of -t to t, for ``t = sqrt(degrees) * tan(angle)``."""
    sine, cosine = math.sin(angle), math.cos(angle)
    # Powers of the cosine: even ones for even degrees of freedom, odd ones for odd.
    first = 2 if degrees % 2 else 1
    term = cosine if degrees % 2 else 1.0
    total = 0.0
    for numerator in range(first, degrees, 2):
        total += term
        term *= cosine**2 * numerator / (numerator + 1)
    return 2 / math.pi * (angle + sine * total) if degrees % 2 else sine * total


def _checked(values: np.ndarray) -> np.ndarray:
    """Return values as float64 (N,), with N above 0."""
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or not len(values):
        raise ValueError(f'need one value an image, (N,) with N above 0, got shape {values.shape}')
    return values
