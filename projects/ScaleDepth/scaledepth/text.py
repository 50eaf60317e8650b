"""Names of the scene categories, and the file of their text embeddings."""

from pathlib import Path

import torch
from torch import Tensor

from depth.integrity import check_weights, verify_archive

# In the published order and spelling; the first 27 are NYU's, the last one is every outdoor set's.
CATEGORIES = (
    'printer_room bathroom living_room study conference_room study_room kitchen home_office '
    'bedroom dinette playroom indoor_balcony laundry_room basement excercise_room foyer '
    'home_storage cafe furniture_store office_kitchen student_lounge dining_room reception_room '
    'computer_lab classroom office bookstore outdoor_scene'
).split()
# The published prompt is not known; an ensemble of plain ones is averaged.
TEMPLATES = (
    'a photo of a {}.',
    'a photo of the {}.',
    'a picture of a {}.',
    'a view of a {}.',
    'an image taken in a {}.',
    'this is a {}.',
)


def read_class_embeddings(path: str | Path, shape: tuple[int, int]) -> Tensor:
    """Read text embeddings (K, C), a plain tensor in a file.

    Raises:
        ValueError: If the file holds something else or another shape.
    """
    verify_archive(path)
    try:
        embeddings = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # for a foreign file torch raises half a dozen types of exception
        raise ValueError(
            f'class embeddings {path} cannot be read ({type(error).__name__}: {error})',
        ) from error
    if not isinstance(embeddings, Tensor) or tuple(embeddings.shape) != tuple(shape):
        content = type(embeddings).__name__
        if isinstance(embeddings, Tensor):
            content = tuple(embeddings.shape)
        raise ValueError(
            f'class embeddings {path} must be a tensor of shape {tuple(shape)}, found {content}; '
            'set model.decode_head.num_classes to its rows',
        )
    check_weights(dict(embeddings=embeddings), path)
    return embeddings.float()
