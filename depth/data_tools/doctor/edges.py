"""Findings about depth maps of another image, from the edges that image and depth share.

Depth changes where objects end, and there the image mostly changes too. The score of a pair is the
correlation of both gradients; a wrong pair has a score near that of two unrelated pictures. Over a
split the score of the listed pairs is compared with those of alternatives: the depth map mirrored,
upside down or turned by 180 degrees, and the maps listed one or two places before and after. The
listed pairs are wrong where an alternative is better in the mean by ``MIN_T`` standard errors and
``MIN_GAIN``. In a right list every alternative is worse. Where all are equally good, as those of a
standing camera are, chance alone gives a finding by one of them with a probability below 1e-3 for 8
pairs (Student's t) and 1e-4 for 20.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from depth.datasets.transforms.loading import load_depth, load_image

from .listing import Split
from .report import Finding, shorten

MAX_PAIRS = 64  # of a split that are compared
MIN_PAIRS = 8
MIN_T = 5.0
MIN_GAIN = 0.02  # of the correlation
WIDTH = 160  # pixels of the longer side at which edges are compared
MIN_COVER = 0.02  # share of a coarse pixel's fine ones that need depth
MIN_AREA = 0.1  # share of coarse pixels with depth around them; a single sweep of a laser has less
MAX_STEP = 1.0  # gradient of log depth beyond which an edge is not stronger
# Share of coarse pixels with depth from which on a right list scores higher than UNRELATED.
DENSE_AREA = 0.6
# Correlation, and what it gains over other maps. Right lists of dense maps, real and rendered, have
# 0.28 to 0.58 and gain at least 0.2 over unrelated maps; unrelated pairs have 0.0 to 0.14.
UNRELATED, UNRELATED_GAIN = 0.2, 0.15
MIN_STRUCTURE = 1e-4  # standard deviation of a gradient; below it there are no edges to compare

MIRRORED, UPSIDE_DOWN, TURNED = 'mirrored', 'upside down', 'turned'
# Rows and columns by which a map is read.
FLIPS = {
    MIRRORED: np.s_[:, ::-1],
    UPSIDE_DOWN: np.s_[::-1],
    TURNED: np.s_[::-1, ::-1],
}
# Places in the list. A list that is shifted by more is found too if it follows a video, because the
# nearer frame fits better.
NEIGHBOURS = {
    'one place before': -1,
    'one place after': 1,
    'two places before': -2,
    'two places after': 2,
}
MEANINGS = {
    MIRRORED: 'left and right are exchanged between images and depth maps',
    UPSIDE_DOWN: 'top and bottom are exchanged between images and depth maps',
    TURNED: 'images and depth maps are turned by 180 degrees against each other',
}
MEANINGS |= {
    shift: f'the depth map listed {shift} each image fits it better than its own'
    for shift in NEIGHBOURS
}
FLIP_REMEDY = (
    'flip or turn either the images or the depth maps; the conversion did it to one of them only'
)
SHIFT_REMEDY = 'pair each image with its own depth map; the list or the file names are shifted'


@dataclass
class EdgeScores:
    """Edge agreement of one image.

    Attributes:
        path: The image.
        own: Correlation with its own depth map; None if it cannot be told.
        alternatives: Correlation by alternative, as far as there.
        area: Share of coarse pixels with depth around them.
    """

    path: str
    own: float | None
    alternatives: dict[str, float]
    area: float = 0.0


def edge_jobs(samples: list[dict]) -> list[tuple[dict, dict[str, dict]]]:
    """Return samples, evenly spread, with their ``NEIGHBOURS`` in the list."""
    paired = [index for index, sample in enumerate(samples) if sample.get('depth_path')]
    if not paired:
        return []
    count = min(MAX_PAIRS, len(paired))
    # Spread over the whole list: the first pairs of a list are often one drive or one room.
    positions = np.unique(np.linspace(0, len(paired) - 1, count).round().astype(int))
    jobs = []
    for position in positions.tolist():
        neighbours = {}
        for name, offset in NEIGHBOURS.items():
            if 0 <= position + offset < len(paired):
                neighbours[name] = samples[paired[position + offset]]
        jobs.append((samples[paired[position]], neighbours))
    return jobs


def edge_scores(sample: dict, neighbours: dict[str, dict]) -> EdgeScores | None:
    """Return the scores of a sample, None if it cannot be read, which other checks report."""
    try:
        image = _image_edges(load_image(sample))
        edges, valid = _depth_edges(load_depth(sample))
    except (OSError, ValueError, cv2.error):
        return None
    scores = EdgeScores(sample['img_path'], None, {}, float(valid.mean()))
    if scores.area < MIN_AREA:
        return scores
    if image.shape != edges.shape:
        return None
    scores.own = _correlation(image, edges, valid)
    alternatives = {}
    for name, places in FLIPS.items():
        alternatives[name] = edges[places], valid[places]
    for name, neighbour in neighbours.items():
        try:
            alternatives[name] = _depth_edges(load_depth(neighbour))
        except (OSError, ValueError, cv2.error):
            continue
    for name, (other_edges, other_valid) in alternatives.items():
        if other_edges.shape != image.shape:
            continue
        score = _correlation(image, other_edges, other_valid)
        if score is not None:
            scores.alternatives[name] = score
    return scores


def wrong_pairs(split: Split, scores: list[EdgeScores]) -> Iterator[Finding]:
    """Find lists in which an alternative fits the images better than their own depth maps."""
    candidates = []
    for name in MEANINGS:
        gains = _gains(scores, name)
        if len(gains) < MIN_PAIRS:
            continue
        mean = float(gains.mean())
        # Standard error of a mean of paired differences: what an image's content does to both
        # scores cancels.
        error = float(gains.std(ddof=1)) / np.sqrt(len(gains))
        if mean > MIN_GAIN and mean > MIN_T * error:
            candidates.append((mean, name, len(gains)))
    if not candidates:
        yield from _unrelated_pairs(split, scores)
        return
    gain, name, count = max(candidates)
    own_score = _mean_own(scores)
    better = []
    for score in scores:
        # No alternative score is below -1, which a missing one stands for.
        if score.own is not None and score.alternatives.get(name, -1) > score.own:
            better.append(score.path)
    yield Finding(
        'error',
        'pair',
        split.name,
        f'{MEANINGS[name]}: edges correlate {own_score + gain:.2f} instead of {own_score:.2f}, '
        f'over {count} images',
        FLIP_REMEDY if name in FLIPS else SHIFT_REMEDY,
        len(better),
        shorten(better),
    )


def _unrelated_pairs(split: Split, scores: list[EdgeScores]) -> Iterator[Finding]:
    """Find lists of dense maps that fit their images no better than any other maps do."""
    dense, gains = [], []
    for score in scores:
        other_scores = _likely_scores(score)
        if score.own is not None and other_scores and score.area >= DENSE_AREA:
            dense.append(score)
            gains.append(score.own - np.mean(other_scores))
    if len(dense) < 2 * MIN_PAIRS:
        return
    gains = np.array(gains)
    own_score = _mean_own(dense)
    # Upper end of the 95 % interval: a shuffled list must be shown, not suspected.
    upper = gains.mean() + 2 * gains.std(ddof=1) / np.sqrt(len(gains))
    if own_score < UNRELATED and upper < UNRELATED_GAIN:
        yield Finding(
            'warning',
            'pair',
            split.name,
            'the depth maps fit their images no better than other maps do: edges correlate '
            f'{own_score:.2f}',
            'look at some pairs with tools/analysis_tools/browse_dataset.py; the list may be '
            'shuffled',
            len(dense),
            shorten([score.path for score in dense]),
        )


def describe_edges(scores: list[EdgeScores]) -> str:
    """Return the mean scores in words, or why they say nothing."""
    scored = [score for score in scores if score.own is not None]
    if len(scored) < MIN_PAIRS:
        if sum(score.area < MIN_AREA for score in scores) > len(scored):
            return 'not checked: too sparse'
        return f'not checked: fewer than {MIN_PAIRS} pairs'
    alternatives: list[float] = []
    for score in scored:
        alternatives += _likely_scores(score)
    return f'{_mean_own(scored):.2f}, wrong pairs {np.mean(alternatives):.2f}'


def _likely_scores(score: EdgeScores) -> list[float]:
    """Return the scores of wrong maps that are as likely as the right one: upright ones."""
    scores = []
    for name, value in score.alternatives.items():
        if name not in (UPSIDE_DOWN, TURNED):
            scores.append(value)
    return scores


def _mean_own(scores: list[EdgeScores]) -> float:
    """Return the mean correlation of images with their own depth maps, of those that have one."""
    return float(np.mean([score.own for score in scores if score.own is not None]))


def _gains(scores: list[EdgeScores], name: str) -> np.ndarray:
    gains = []
    for score in scores:
        if score.own is not None and name in score.alternatives:
            gains.append(score.alternatives[name] - score.own)
    return np.array(gains)


def _image_edges(img: np.ndarray) -> np.ndarray:
    """Return the gradient of log brightness, (h, w), compressed so that no edge dominates."""
    gray = cv2.cvtColor(img, cv2.COLOR_BGR2GRAY)
    coarse = cv2.resize(gray, _coarse_size(gray), interpolation=cv2.INTER_AREA).astype(np.float32)
    # 8 grey levels are added, or the sensor noise of dark areas would be the strongest edges.
    return np.log1p(_gradient(np.log(coarse + 8)))


def _depth_edges(depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the gradient of log depth, (h, w), and where it is known."""
    valid = (depth > 0).astype(np.float32)
    log_depth = np.where(depth > 0, np.log(np.maximum(depth, 1e-6)), 0).astype(np.float32)
    size = _coarse_size(depth)
    cover = cv2.resize(valid, size, interpolation=cv2.INTER_AREA)
    # Pixels without depth add 0 to both sums, so their quotient is the mean over the others.
    total = cv2.resize(log_depth, size, interpolation=cv2.INTER_AREA)
    has_depth = cover > MIN_COVER
    coarse = np.where(has_depth, total / np.maximum(cover, 1e-6), 0)
    # The Sobel filter reads the 3x3 neighbours, so all nine need depth.
    surrounded = cv2.erode(has_depth.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.minimum(_gradient(coarse), MAX_STEP), surrounded


def _coarse_size(array: np.ndarray) -> tuple[int, int]:
    height, width = array.shape[:2]
    scale = min(1.0, WIDTH / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _gradient(array: np.ndarray) -> np.ndarray:
    across = cv2.Sobel(array, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(array, cv2.CV_32F, 0, 1, ksize=3)
    return np.hypot(across, down)


def _correlation(image: np.ndarray, edges: np.ndarray, valid: np.ndarray) -> float | None:
    if valid.mean() < MIN_AREA:
        return None
    a, b = image[valid], edges[valid]
    # A flat wall has no edges, and the correlation of a constant is 0 / 0.
    if a.std() < MIN_STRUCTURE or b.std() < MIN_STRUCTURE:
        return None
    return float(np.corrcoef(a, b)[0, 1])
