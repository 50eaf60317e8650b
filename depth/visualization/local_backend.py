"""Visualisation backend that writes scalars and panels to local files."""

import os
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.fileio import dump
from mmengine.visualization import LocalVisBackend as MMEngineLocalVisBackend
from mmengine.visualization.vis_backend import force_init_env

from depth.atomic_write import free_space, write_atomically
from depth.registry import VISBACKENDS


@VISBACKENDS.register_module()
class LocalVisBackend(MMEngineLocalVisBackend):
    """Local backend of mmengine whose files are complete or absent, also on a full disk.

    The error for a full disk names the file.

    Arguments as in mmengine.
    """

    @force_init_env
    def add_config(self, config: Config, **kwargs) -> None:
        """Write the config as run."""
        write_atomically(self._config_save_file, config.pretty_text)

    @force_init_env
    def add_image(self, name: str, image: np.ndarray, step: int = 0, **kwargs) -> None:
        """Write a panel as PNG.

        Args:
            name: Name of the panel.
            image: RGB, (H, W, 3), uint8.
            step: Iteration.
            **kwargs: Not used.
        """
        encoded = cv2.imencode('.png', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1]
        # Groups such as `val/` are part of the name, not folders.
        file_name = f'{name.replace("/", "_")}_{step}.png'
        write_atomically(Path(self._img_save_dir, file_name), encoded.tobytes())

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        """Append one line of JSON, whole or not at all."""
        line = (dump(value_dict, file_format='json') + '\n').encode('utf-8')
        try:
            with open(file_path, 'ab', buffering=0) as file:
                length = file.tell()
                # An unbuffered write may be short on a full disk: take the partial line back.
                if file.write(line) != len(line):
                    os.truncate(file_path, length)
                    raise OSError('no space left')
        except OSError as error:
            reason = error.strerror or error
            raise OSError(
                f'{file_path} could not be written: {reason} ({free_space(file_path)})',
            ) from error
