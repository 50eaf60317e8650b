"""DIML RGB-D, outdoor part."""

from collections.abc import Iterator
from pathlib import Path

from depth.registry import DATASETS

from .base import BaseDepthDataset
from .published import Archive


@DATASETS.register_module()
class DIMLOutdoorDataset(BaseDepthDataset):
    """DIML outdoor, for evaluation: stereo depth in millimetres (16-bit PNG), 500 test images.

    ::

        data/diml_outdoor/
        └── test/LR|HR/.../
            ├── outleft/X.png        384x640 (LR) or 1080x1920 (HR)
            └── depthmap/X.png       same name

    Sixteen bits of millimetres end at 65.5 m. The protocol counts 2 to 80 m.

    Args:
        folder: What is searched below ``data_root``.
        **kwargs: See :class:`BaseDepthDataset`; with ``ann_file`` its lines "IMAGE DEPTH" choose
            instead.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If it holds no image.

    Reference: Deep Monocular Depth Estimation via Integration of Global and Local Predictions, IEEE
    TIP 2018, https://dimlrgbd.github.io
    """

    METAINFO = dict(dataset_name='diml_outdoor', min_depth=1e-3, max_depth=80.0)
    SELECTION = ('folder',)
    DEPTH_SCALE = 1000.0
    PREPARE_HINT = 'it should hold test/LR with outleft/ and depthmap/'

    LICENCE = 'academic use, on request'
    PAGE = 'https://dimlrgbd.github.io'
    SPLIT_COUNTS = {'test/LR': 500}
    PREPARE_NAME = 'diml'
    ROOT = 'data/diml_outdoor'
    CONFIGS = ('diml_outdoor.py',)
    ARCHIVES = (Archive('diml_outdoor_test.zip'),)
    ARCHIVE_MEMBERS = r'(?:^|/)(test/(?:LR|HR)/.*?(?:outleft|depthmap)/[^/]+\.png)$'
    # There is no public address: the owners send a link on request.
    GET_BY_HAND = (
        'ask for the outdoor test set at https://dimlrgbd.github.io and save it under this name'
    )
    CONTENTS = {'test/LR/**/outleft/*.png': 'images of 500 at low resolution'}

    def __init__(self, data_root: str = '', folder: str = 'test/LR', **kwargs) -> None:
        self.folder = folder
        super().__init__(data_root=data_root, **kwargs)

    def split_name(self) -> str:
        """Return the name of the list, or the folder."""
        if self.ann_file:
            return Path(self.ann_file).name
        return self.folder

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the listed images, or all of the folder sorted by path."""
        if self.ann_file:
            yield from super().find_samples()
            return
        folder = Path(self.data_root, self.folder)
        if not folder.is_dir():
            raise FileNotFoundError(
                f'{type(self).__name__}: folder {folder} does not exist; {self.PREPARE_HINT}'
            )
        for image in sorted(folder.glob('**/outleft/*.png')):
            depth = image.parents[1] / 'depthmap' / image.name
            sample = dict(img_path=str(image), depth_path=str(depth), scene='outdoor_scene')
            yield sample, str(folder)
