"""Images with the labels that a teacher predicted for them, see ``tools/pseudo_label.py``."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from depth.registry import DATASETS, READERS

from .base import BaseDepthDataset
from .transforms.loading import read_depth, read_stored

MANIFEST = 'pseudo_labels.json'
FORMAT = 'depth pseudo labels 1'
KEYS = ('images', 'image_root', 'label_type', 'depth_scale', 'min_depth', 'max_depth', 'confidence')
CONFIDENCE_SCALE = 255  # stored integers of confidence 1


def read_manifest(folder: str | Path) -> dict:
    """Return the content of the manifest in a folder of pseudo-labels.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is damaged or something else.
    """
    path = Path(folder, MANIFEST)
    if not path.is_file():
        raise FileNotFoundError(
            f'{path} does not exist; tools/pseudo_label.py writes it beside its labels'
        )
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
    except (ValueError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} cannot be read as JSON: {error}') from error
    if not isinstance(content, dict) or content.get('format') != FORMAT:
        raise ValueError(f'{path} is no manifest of pseudo-labels (its format is not {FORMAT!r})')
    lacking = [key for key in KEYS if key not in content]
    if lacking:
        raise ValueError(f'{path} has no {", ".join(lacking)}; label the images anew')
    scale = content['depth_scale']
    is_number = isinstance(scale, int | float) and not isinstance(scale, bool)
    if not is_number or not 0 < scale < math.inf:
        raise ValueError(
            f'{path}: depth_scale is a number above 0, the stored integers per unit, got '
            f'{json.dumps(scale)}'
        )
    return content


@READERS.register_module(name='pseudo_labels')
def read_pseudo_label(sample: dict) -> np.ndarray:
    """Return the labels of a sample, float32 (H, W), 0 where the teacher was not confident.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If one is damaged, or label and confidence differ in size.
    """
    labels = read_depth(sample['depth_path'], sample['depth_scale'])
    if sample.get('confidence_path') and sample['min_confidence'] > 0:
        stored = read_stored(sample['confidence_path'])
        if stored.shape != labels.shape:
            raise ValueError(
                f'{sample["confidence_path"]} is {stored.shape}, its label {labels.shape}; label '
                'the images anew'
            )
        labels[stored < sample['min_confidence'] * CONFIDENCE_SCALE] = 0
    return labels


@DATASETS.register_module()
class PseudoLabelDataset(BaseDepthDataset):
    """Images with labels of a teacher, as ``tools/pseudo_label.py`` writes them.

    ::

        data_root/
        ├── pseudo_labels.json   teacher, its range and type of prediction, image and label files
        ├── depth/               16-bit PNG
        └── confidence/          8-bit PNG, 255 = sure

    Labels of a metric teacher are metres within its depth range, which is the range of the data set
    by default. Those of a relative one are relative labels (``label_type``).

    Args:
        data_root: Folder of the labels.
        image_root: Folder of the images, if it has moved since they were labelled.
        min_confidence: Labels below this confidence, from 0 to 1, do not count.
        **kwargs: See :class:`BaseDepthDataset`; ``depth_scale`` and ``label_type`` come from the
            manifest, ``ann_file`` is not used.

    Raises:
        FileNotFoundError: If the manifest, an image or a label is missing.
        ValueError: If the manifest is damaged or incomplete, or the range of a metric teacher does
            not hold the range asked for.
    """

    METAINFO = dict(dataset_name='pseudo_labels', min_depth=1e-3, max_depth=10.0)
    DEPTH_READER = 'pseudo_labels'
    SELECTION = ('min_confidence',)
    PREPARE_HINT = 'label the images with tools/pseudo_label.py'

    def __init__(
        self,
        data_root: str,
        image_root: str | None = None,
        min_confidence: float = 0.9,
        min_depth: float | None = None,
        max_depth: float | None = None,
        **kwargs,
    ) -> None:
        if not 0 <= min_confidence <= 1:
            raise ValueError(
                f'PseudoLabelDataset: min_confidence is from 0 to 1, got {min_confidence}'
            )
        self.manifest = read_manifest(data_root)
        self.image_root = Path(image_root or self.manifest['image_root'])
        self.min_confidence = float(min_confidence)
        far = self.manifest['max_depth']
        if far is not None and max_depth is not None and max_depth > far:
            raise ValueError(
                f'PseudoLabelDataset: max_depth is {max_depth:g} m, but the teacher of {data_root} '
                f'predicts up to {far:g} m; set max_depth to that or leave it out'
            )
        super().__init__(
            data_root=data_root,
            min_depth=self.manifest['min_depth'] if min_depth is None else min_depth,
            max_depth=far if max_depth is None else max_depth,
            depth_scale=self.manifest['depth_scale'],
            label_type=self.manifest['label_type'],
            **kwargs,
        )

    def find_samples(self) -> Iterator[tuple[dict, str]]:
        """Yield the labelled images in the order of the manifest."""
        where = str(Path(self.data_root, MANIFEST))
        missing = 0
        for entry in self.manifest['images']:
            label = Path(self.data_root, 'depth', f'{entry["name"]}.png')
            if not label.is_file():
                missing += 1
                continue
            sample = dict(
                img_path=str(self.image_root / entry['image']),
                depth_path=str(label),
                min_confidence=self.min_confidence,
            )
            if self.manifest['confidence']:
                path = Path(self.data_root, 'confidence', f'{entry["name"]}.png')
                sample['confidence_path'] = str(path)
            yield sample, where
        if missing:
            raise ValueError(
                f'{missing} of {len(self.manifest["images"])} images of {where} have no label yet; '
                'run tools/pseudo_label.py again with the same arguments, it goes on where it '
                'stopped'
            )
