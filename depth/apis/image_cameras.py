"""Camera of each input image of inference."""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from depth.cameras import check_camera, pinhole_matrix
from depth.datasets.folder import OtherCamerasError, read_cameras

# Numbers of the block of EXIF data and of its entry, see the EXIF standard 2.3, section 4.6.
EXIF_BLOCK, FOCAL_LENGTH_35MM = 0x8769, 0xA405
FILM_DIAGONAL = math.hypot(36, 24)  # mm


def camera_from_exif(path: str | Path) -> np.ndarray | None:
    """Return K (3, 3) in pixels of the stored image from the focal length in its EXIF data.

    The focal length is the one for 35 mm film; its ratio to the diagonal is that of the image. The
    principal point is the centre.

    Args:
        path: Image file.

    Returns:
        None if the file states no such focal length.

    Reference: the reader of Depth Pro, https://github.com/apple/ml-depth-pro.
    """
    try:
        with Image.open(path) as image:
            width, height = image.size
            focal_mm = float(image.getexif().get_ifd(EXIF_BLOCK).get(FOCAL_LENGTH_35MM, 0))
    # No image of Pillow's, one of too many pixels, or damaged data.
    except (OSError, SyntaxError, ValueError, TypeError, Image.DecompressionBombError):
        return None
    if not 0 < focal_mm < math.inf:
        return None
    focal = focal_mm * math.hypot(width, height) / FILM_DIAGONAL
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


class ImageCameras:
    """Camera of each image: from the caller, ``intrinsics.json``, the config or EXIF data.

    Args:
        intrinsics: fx, fy, cx, cy in pixels, for all images.
        fov: Horizontal field of view in degrees, for all images.
        default: K (3, 3) of the config, for images without any other camera.

    Attributes:
        notes: One line per ``intrinsics.json`` of another format, which is not used.

    Raises:
        ValueError: If a value cannot be one of a camera.
    """

    def __init__(
        self,
        intrinsics: Sequence[float] | None,
        fov: float | None,
        default: Sequence[Sequence[float]] | None,
    ) -> None:
        self.notes: list[str] = []
        self.fov = None if fov is None else float(fov)
        self.default = None
        if default is not None:
            self.default = check_camera(default, 'default_intrinsics of the config')
        self.intrinsics = None
        if intrinsics is not None:
            values = list(np.ravel(np.asarray(intrinsics, object)))
            if len(values) != 4:
                raise ValueError(f'--intrinsics takes four numbers, fx fy cx cy, got {len(values)}')
            fx, fy, cx, cy = values
            self.intrinsics = pinhole_matrix(fx, fy, cx, cy, '--intrinsics')
        self._cameras_of_file: dict[Path, dict[str, list[list[float]]]] = {}
        self._file_of_folder: dict[Path, Path | None] = {}

    def check(self, paths: Sequence[str]) -> None:
        """Read the ``intrinsics.json`` of all images.

        Raises:
            ValueError: If one is damaged or holds an impossible camera.
        """
        if self.intrinsics is None and self.fov is None:
            for path in paths:
                self._camera_from_file(path)

    def matrix(self, size: tuple[int, int], path: str | None) -> np.ndarray | None:
        """Return K (3, 3) in pixels of the full image, of ``size`` (H, W); None if it is unknown.

        Raises:
            ValueError: If it does not fit the image.
        """
        height, width = size
        if self.intrinsics is not None:
            return check_camera(self.intrinsics, '--intrinsics', size)
        if self.fov is not None:
            # Square pixels, centres at whole numbers, no lens distortion.
            focal = width / 2 / math.tan(math.radians(self.fov) / 2)
            return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
        camera = self._camera_from_file(path) if path else None
        if camera is not None:
            file = self._file_of_folder[_real_folder(path)]
            return check_camera(camera, str(file), size)
        if self.default is not None or path is None:
            return self.default
        return camera_from_exif(path)

    def _camera_from_file(self, path: str) -> list[list[float]] | None:
        """Return K of an image from the nearest ``intrinsics.json``, None if there is none.

        A folder data set keeps images in ``ROOT/images/`` and the file in ``ROOT``.
        """
        folder = _real_folder(path)
        if folder not in self._file_of_folder:
            self._file_of_folder[folder] = None
            # Three levels: `images/sub/N.png` of a folder data set is below its root by two.
            for ancestor in (folder, folder.parent, folder.parent.parent):
                if (ancestor / 'intrinsics.json').is_file():
                    self._file_of_folder[folder] = ancestor / 'intrinsics.json'
                    break
        file = self._file_of_folder[folder]
        if file is None:
            return None
        if file not in self._cameras_of_file:
            try:
                self._cameras_of_file[file] = read_cameras(file)
            except OtherCamerasError as error:
                # A file of the same name from another program.
                self._cameras_of_file[file] = {}
                self.notes.append(f'not used as cameras: {error}')
        cameras = self._cameras_of_file[file]
        return cameras.get(Path(path).stem, cameras.get(''))


def _real_folder(path: str) -> Path:
    """Return the folder of a file without symbolic links; also of a link that leads to itself."""
    return Path(os.path.realpath(path)).parent
