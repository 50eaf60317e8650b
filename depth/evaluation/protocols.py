"""Named protocols: everything besides the predictions that a number depends on."""

import difflib
import hashlib
import json
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from .crops import CROPS


@dataclass(frozen=True)
class Protocol:
    """How predictions of one benchmark are scored.

    Attributes:
        name: Name in configs and results.
        description: What it is, in a line.
        min_depth: Ground truth counts above it, strictly, in metres.
        max_depth: Ground truth counts below it, strictly, in metres.
        crop: Which part of the map counts: ``none``, ``garg``, ``eigen`` or ``nyu``.
        clamp_pred: Bring predictions into the depth range first; otherwise they are scored as they are.
        average: Over what a metric is averaged: ``image``, the mean of each image's value.
        version: Grows whenever the definition changes.
    """

    name: str
    description: str
    min_depth: float
    max_depth: float
    crop: str = 'none'
    clamp_pred: bool = False
    average: str = 'image'
    version: int = 1

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If the range is empty or the crop unknown.
        """
        if not 0 <= self.min_depth < self.max_depth:
            raise ValueError(f'protocol {self.name}: need 0 <= min_depth < max_depth, got {self}')
        if self.crop not in CROPS:
            raise ValueError(f'protocol {self.name}: unknown crop {self.crop!r}, there are {", ".join(CROPS)}')

    def valid_mask(self, gt_depth: Tensor) -> Tensor:
        """Return where ground truth (..., H, W) in metres counts, boolean of the same shape."""
        top, bottom, left, right = CROPS[self.crop](*gt_depth.shape[-2:])
        inside = torch.zeros(gt_depth.shape[-2:], dtype=torch.bool, device=gt_depth.device)
        inside[top:bottom, left:right] = True
        return inside & (gt_depth > self.min_depth) & (gt_depth < self.max_depth)

    def prepare_pred(self, pred_depth: Tensor) -> Tensor:
        """Return predictions in metres as the protocol scores them."""
        return pred_depth.clamp(self.min_depth, self.max_depth) if self.clamp_pred else pred_depth

    def describe(self) -> dict:
        """Return the definition and its fingerprint, plain values."""
        definition = asdict(self)
        fingerprint = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:12]
        return dict(definition, fingerprint=fingerprint)


_PROTOCOLS = (
    Protocol('nyu_eigen_10', 'NYU Depth v2, 654 images, Eigen rectangle, 10 m', 1e-3, 10.0, crop='nyu'),
    Protocol('kitti_eigen_garg_80', 'KITTI Eigen split on KB-cropped maps, Garg crop, 80 m', 1e-3, 80.0, crop='garg'),
    Protocol('kitti_eigen_crop_80', 'KITTI Eigen split on KB-cropped maps, Eigen crop, 80 m', 1e-3, 80.0, crop='eigen'),
    Protocol('rooms_10', 'synthetic rooms, every pixel, 10 m', 1e-3, 10.0),
    Protocol('streets_80', 'synthetic streets, every pixel with depth, 80 m', 1e-3, 80.0),
    Protocol('folder', 'a folder of images, every measured pixel', 1e-3, 10.0),
)
PROTOCOLS = {protocol.name: protocol for protocol in _PROTOCOLS}


def get_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ValueError: If there is none; the message lists the nearest names.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=3, cutoff=0.3) or sorted(PROTOCOLS)
        raise ValueError(f'unknown protocol {name!r}, did you mean {", ".join(near)}?')
    return PROTOCOLS[name]
