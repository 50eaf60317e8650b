"""Types of predictions: depth or inverse depth, with or without unknown factor and offset."""

import difflib
from enum import Enum


class PredictionType(str, Enum):
    """Type of a prediction; its value is the name that models, tools and result files use.

    A type has a domain (depth or inverse depth) and an ambiguity: the number of unknowns an image
    (0 none, 1 a factor, 2 a factor and an offset), which a protocol must fit before errors mean
    anything.
    """

    METRIC = 'metric'
    SCALE_INVARIANT = 'scale_invariant'
    AFFINE_INVARIANT = 'affine_invariant'
    INVERSE_DEPTH = 'inverse_depth'
    DISPARITY = 'disparity'
    AFFINE_INVARIANT_DISPARITY = 'affine_invariant_disparity'

    @property
    def is_inverse(self) -> bool:
        """Whether it is inverse depth: a larger value is nearer."""
        return self in (self.INVERSE_DEPTH, self.DISPARITY, self.AFFINE_INVARIANT_DISPARITY)

    @property
    def ambiguity(self) -> int:
        """Number of unknowns an image."""
        if self in (self.METRIC, self.INVERSE_DEPTH):
            return 0
        if self in (self.SCALE_INVARIANT, self.DISPARITY):
            return 1
        return 2

    @property
    def meaning(self) -> str:
        """The type in words."""
        return _MEANINGS[self]


_MEANINGS = {
    PredictionType.METRIC: 'depth in metres',
    PredictionType.SCALE_INVARIANT: 'depth up to a factor an image',
    PredictionType.AFFINE_INVARIANT: 'depth up to a factor and an offset an image',
    PredictionType.INVERSE_DEPTH: 'inverse depth in 1/m',
    PredictionType.DISPARITY: 'inverse depth up to a factor an image',
    PredictionType.AFFINE_INVARIANT_DISPARITY: 'inverse depth up to a factor and an offset an '
    'image',
}


def get_prediction_type(name: str) -> PredictionType:
    """Return a type by its name.

    Raises:
        ValueError: If there is none; the message lists all.
    """
    try:
        return PredictionType(name)
    except ValueError as error:
        values = [kind.value for kind in PredictionType]
        near = difflib.get_close_matches(str(name), values, n=1, cutoff=0.4)
        hint = f'did you mean {near[0]!r}? ' if near else ''
        listed = '; '.join(f'{kind.value} ({kind.meaning})' for kind in PredictionType)
        raise ValueError(f'unknown prediction type {name!r}; {hint}there are: {listed}') from error
