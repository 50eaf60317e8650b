"""Facts of one kind of procedural scenes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .scene import Scene


@dataclass(frozen=True)
class World:
    """One kind of scenes, with everything that renderer, data set and checks have to know of it.

    Attributes:
        draw: Draws a scene from a generator.
        depth_range: Near and far end in metres of what is ground truth.
        category: Scene category, for methods that learn categories.
        focal_share: Focal length of the camera per image width.
        baseline: Metres between the two cameras of a stereo pair.
        excursion: Largest sideways, upward and forward move of a camera path in metres; nothing is
            nearer to its start.
        typical_depth: Range in metres of the median depth over many scenes.
        camera_height: Metres above the road, None where there is no road.
        lamp_range: Metres at which the lamp beside the camera has lost half its light, None where
            the sun shines.
        haze_range: Metres at which haze has taken 63 % of the colour, None without haze.
    """

    draw: Callable[[np.random.RandomState], Scene]
    depth_range: tuple[float, float]
    category: str
    focal_share: float
    baseline: float
    excursion: tuple[float, float, float]
    typical_depth: tuple[float, float]
    camera_height: float | None = None
    lamp_range: float | None = None
    haze_range: float | None = None
