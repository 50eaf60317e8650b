"""Scene category of a sample, read from the path of its image."""

import re

from mmcv.transforms import BaseTransform

from depth.registry import TRANSFORMS

from .text import CATEGORIES

OUTDOOR = ('kitti', 'kitti_benchmark', 'vkitti2')


@TRANSFORMS.register_module()
class AddSceneCategory(BaseTransform):
    """Set ``scene_class``, the number of the scene category that an image shows.

    Outdoor data sets are all ``outdoor_scene``. Elsewhere the category stands in the image's path:
    a folder or file name up to its first digit, as in ``living_room_0012a/rgb_00001.jpg`` or
    ``living_room_0012.jpg``. An image of no known category gets none; a head that learns categories
    then raises an error.

    Args:
        categories: Names, in the order of the text embeddings.
        outdoor: Data sets whose images are all ``outdoor_scene``.
    """

    def __init__(
        self,
        categories: tuple[str, ...] = tuple(CATEGORIES),
        outdoor: tuple[str, ...] = OUTDOOR,
    ) -> None:
        self.numbers = {name: number for number, name in enumerate(categories)}
        self.outdoor = frozenset(outdoor)

    def transform(self, results: dict) -> dict:
        """Read ``dataset`` and ``img_path``, set ``scene_class`` or take it out."""
        results.pop('scene_class', None)
        if results.get('dataset') in self.outdoor:
            number = self.numbers.get('outdoor_scene')
        else:
            number = self._from_path(results['img_path'])
        if number is None:
            return results
        return results | dict(scene_class=number)

    def _from_path(self, path: str) -> int | None:
        # The file's own name first: flat copies of NYU carry the scene there.
        for component in reversed(path.replace('\\', '/').split('/')):
            name = re.split(r'\d', component, maxsplit=1)[0].rstrip('_').removeprefix('nyu_')
            if name in self.numbers:
                return self.numbers[name]
        return None
