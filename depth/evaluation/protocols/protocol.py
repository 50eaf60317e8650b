"""Definition of a protocol: everything besides the predictions that a number depends on."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment import ALIGNMENTS, align
from ..crops import CROPS
from ..focal_groups import check_focal_edges, focal_share
from ..functional import AVERAGES, LOG10S, SILOGS
from ..prediction_types import PredictionType, get_prediction_type
from ..views import VIEWS, View, scored_view

RESIZES = dict(
    none='must have the size of the ground truth',
    bilinear='bilinear, half-pixel centres',
    bilinear_corners='bilinear, corner pixels aligned',
)
TTAS = dict(
    any='as the model is configured',
    none='none',
    flip='mean with the mirrored image',
    flip_ramps='mean with the mirrored image, 5 % of the columns at each border from one of the '
    'two',
)


@dataclass(frozen=True)
class Protocol:
    """How predictions of one benchmark are scored.

    The order is: cap the ground truth, mask, resize the prediction, align, clamp, measure, average.

    Attributes:
        name: Name in configs and results.
        description: Data and rules in a line.
        min_depth: Near end of the ground truth that counts, in metres.
        max_depth: Far end, in metres; ``inf`` for no limit.
        strict: At which ends ground truth exactly at the end does not count: ``both``, ``near``,
            ``far``, ``none``.
        datasets: ``dataset_name`` of the data sets it is made for; empty: any.
        data_list: The list of images: a published split file with the first eight digits of its
            SHA-256, or a rule.
        num_images: Images of that list with ground truth, None where it has no fixed number.
        view: Part of a frame that the test pipeline must leave, see ``VIEWS``.
        crop: Part of the map that counts, see ``depth.evaluation.crops``.
        cap_gt: Ground truth beyond it is set to it first, in metres.
        resize: Rule for predictions of another size than the ground truth, see ``RESIZES``.
        resize_inverse: Resize inverse depth instead of depth.
        alignment: Quantities fitted to the ground truth, see ``depth.evaluation.alignment``.
        clamp: Range in metres that predictions are brought into last; None to score them as they
            are.
        average: See ``AVERAGES``.
        silog: See ``SILOGS``.
        log10: See ``LOG10S``.
        eps_ratio: Metres added to the denominators of abs_rel and the thresholds.
        eps_log: Metres added inside logarithms.
        tta: Test-time augmentation of the published numbers, see ``TTAS``. The model applies it;
            here it is only recorded and compared with the one that the model reports.
        version: Grows whenever the definition changes.
        filled: Whether it takes ground truth whose holes an algorithm filled; other protocols
            refuse that.
        focal_edges: Focal lengths in image widths between groups of images, each of which gets its
            metrics, see ``depth.evaluation.focal_groups``; empty: no groups. Images then need a
            camera.
        half_view: Largest |x / z| and |y / z| of the rays whose pixels count, so that cameras of
            all focal lengths are scored on the same part of the scene; empty: all pixels.

    Raises:
        ValueError: If a value is impossible or unknown.
    """

    name: str
    description: str
    min_depth: float
    max_depth: float
    strict: str = 'both'
    datasets: tuple[str, ...] = ()
    data_list: str = ''
    num_images: int | None = None
    view: str = 'any'
    crop: str = 'none'
    cap_gt: float | None = None
    resize: str = 'none'
    resize_inverse: bool = False
    alignment: str = 'none'
    clamp: tuple[float, float] | None = None
    average: str = 'image'
    silog: str = 'sqrt_percent'
    log10: str = 'log10'
    eps_ratio: float = 0.0
    eps_log: float = 0.0
    tta: str = 'any'
    version: int = 1
    filled: bool = False
    focal_edges: tuple[float, ...] = ()
    half_view: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If a range is empty or an option unknown.
        """
        if not 0 <= self.min_depth < self.max_depth:
            raise ValueError(f'protocol {self.name}: need 0 <= min_depth < max_depth, got {self}')
        if self.focal_edges:
            check_focal_edges(self.focal_edges)
        if self.half_view and (len(self.half_view) != 2 or min(self.half_view) <= 0):
            raise ValueError(
                f'protocol {self.name}: half_view is (|x / z|, |y / z|) above 0, got '
                f'{self.half_view}'
            )
        if self.clamp is not None and not 0 <= self.clamp[0] < self.clamp[1]:
            raise ValueError(
                f'protocol {self.name}: clamp must be (near, far) in metres, got {self.clamp}'
            )
        for field, options in _OPTIONS.items():
            value = getattr(self, field)
            if value not in options:
                raise ValueError(
                    f'protocol {self.name}: unknown {field} {value!r}, there are '
                    f'{", ".join(options)}'
                )

    def accepts(self, kind: str | PredictionType) -> bool:
        """Return whether predictions of a type can be scored."""
        return ALIGNMENTS[self.alignment].accepts(get_prediction_type(kind))

    def check_type(self, kind: str | PredictionType) -> None:
        """Check that predictions of a type can be scored.

        Raises:
            ValueError: If not; the message names the types that can.
        """
        kind = get_prediction_type(kind)
        if self.accepts(kind):
            return
        alignment = ALIGNMENTS[self.alignment]
        if kind.ambiguity > alignment.freedom:
            reason = (
                f'this protocol fits too little ({alignment.meaning}), so the unknown part would '
                'count as error'
            )
        else:
            reason = (
                f'this protocol fits {alignment.meaning}, and an offset cannot be carried from one '
                'to the other'
            )
        accepted = [other.value for other in PredictionType if self.accepts(other)]
        raise ValueError(
            f'protocol {self.name} cannot score predictions of type {kind.value} ({kind.meaning}): '
            f'{reason}. It scores {", ".join(accepted)}'
        )

    def check_sample(self, sample: dict) -> None:
        """Check that ground truth is of the view and the kind that the protocol scores.

        Args:
            sample: With ``gt_depth`` (H, W) and, if there are, ``img_path``, ``crop_box``,
                ``frame_shape``, ``ori_cam_intrinsic`` and ``gt_filled``.

        Raises:
            ValueError: If it is of another view, or filled where measured depth is scored, or the
                other way round, or has no camera where images are scored by focal length.
        """
        name = sample.get('img_path', 'a sample')
        gt_size = tuple(sample['gt_depth'].shape)
        view = scored_view(gt_size, sample.get('crop_box'), sample.get('frame_shape'))
        if not view.satisfies(self.view, gt_size):
            raise ValueError(
                f'{name}: the test pipeline leaves ground truth of {gt_size}, '
                f'{_view_phrase(view)}, but protocol {self.name} scores '
                f'{_REQUIRED_VIEWS[self.view]}. '
                "Change the pipeline or take another protocol; view='any' (--view any) scores it "
                "nevertheless, which then shows in the protocol's name"
            )
        if (self.focal_edges or self.half_view) and focal_share(sample) is None:
            raise ValueError(
                f'{name} has no intrinsics, and protocol {self.name} scores images by their '
                'camera: take a data set that has cameras (an intrinsics.json for a folder)'
            )
        if self.filled != bool(sample.get('gt_filled', False)):
            actual, required = ('measured', 'filled') if self.filled else ('filled', 'measured')
            raise ValueError(
                f'{name} has {actual} ground truth, but protocol {self.name} scores {required} '
                'depth; for NYULabeledDataset raw_depth=True reads depth as measured, and '
                'nyu_filled_10 scores the filled one'
            )

    def check_size(self, size: Sequence[int], gt_size: Sequence[int], name: str = 'a map') -> None:
        """Check that a prediction (h, w) has the size (H, W) of its ground truth or can be resized.

        Raises:
            ValueError: If the sizes differ and the protocol has no rule for resizing.
        """
        if self.resize == 'none' and tuple(size) != tuple(gt_size):
            raise ValueError(
                f'{name}: the prediction is {tuple(size)}, the ground truth {tuple(gt_size)}, and '
                f'protocol {self.name} has no rule for resizing. Test pipelines crop both alike '
                'and resize the image only '
                "(resize_depth=False); to resize predictions say resize='bilinear' (--resize), "
                "which then shows in the protocol's name"
            )

    def cap(self, gt_depth: Tensor) -> Tensor:
        """Return ground truth in metres, capped at ``cap_gt``."""
        # Published by some toolboxes: farther depth counts as if it were at the cap.
        if self.cap_gt is None:
            return gt_depth
        return gt_depth.clamp(max=self.cap_gt)

    def limit_view(self, gt_depth: Tensor, samples: Sequence[dict]) -> Tensor:
        """Return ground truth (N, H, W) that is 0 outside of ``half_view``.

        Args:
            gt_depth: Metres.
            samples: One an image, with ``ori_cam_intrinsic`` (3, 3) in pixels of ground truth.
        """
        if not self.half_view:
            return gt_depth
        cameras = [sample['ori_cam_intrinsic'] for sample in samples]
        matrices = torch.as_tensor(np.asarray(cameras, np.float64)).to(gt_depth.device)
        height, width = gt_depth.shape[-2:]
        x = torch.arange(width, device=gt_depth.device) - matrices[:, :1, 2]  # (N, W)
        y = torch.arange(height, device=gt_depth.device) - matrices[:, 1:2, 2]
        across = x.abs() <= self.half_view[0] * matrices[:, 0, :1]
        down = y.abs() <= self.half_view[1] * matrices[:, 1, 1:2]
        return torch.where(down[:, :, None] & across[:, None], gt_depth, 0)

    def valid_mask(self, gt_depth: Tensor) -> Tensor:
        """Return the mask of the pixels of capped ground truth (..., H, W), metres, that count."""
        top, bottom, left, right = CROPS[self.crop](*gt_depth.shape[-2:])
        inside = torch.zeros(gt_depth.shape[-2:], dtype=torch.bool, device=gt_depth.device)
        inside[top:bottom, left:right] = True
        # Published codes differ in whether depth exactly at an end counts, and capped ground truth
        # has many such pixels.
        in_range = (gt_depth >= self.min_depth) & (gt_depth <= self.max_depth)
        if self.strict in ('both', 'near'):
            in_range &= gt_depth != self.min_depth
        if self.strict in ('both', 'far'):
            in_range &= gt_depth != self.max_depth
        return inside & in_range & (gt_depth > 0)

    def prepare(
        self, pred: Tensor, gt_depth: Tensor, kind: str | PredictionType = PredictionType.METRIC
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return depth, ground truth and mask, ready to be measured.

        Args:
            pred: Predictions (N, h, w) of type ``kind``.
            gt_depth: Ground truth in metres, (N, H, W), 0 = none.
            kind: Type of the predictions.

        Returns:
            Depth in metres, ground truth in metres and the boolean mask, cut to the crop. Depth is
            NaN where the prediction cannot be one: not finite, zero or negative.

        Raises:
            ValueError: If the type cannot be scored, or the sizes differ and the protocol has no
                rule for it.
        """
        kind = get_prediction_type(kind)
        self.check_type(kind)
        gt_depth = self.cap(gt_depth)
        mask = self.valid_mask(gt_depth)
        # Before the clamp, which would turn an impossible value into the near end, right by chance.
        pred = torch.where(self._is_possible(pred, kind), pred, torch.nan)
        inverse = kind.is_inverse
        if pred.shape[-2:] != gt_depth.shape[-2:]:
            # A map with an unknown offset is resized as it is: its reciprocal means nothing.
            resize_inverse = inverse if kind.ambiguity == 2 else self.resize_inverse
            if inverse != resize_inverse:
                pred, inverse = _finite_inverse(pred), resize_inverse
            pred = self._resize(pred, gt_depth.shape[-2:])
        top, bottom, left, right = CROPS[self.crop](*gt_depth.shape[-2:])
        pred = pred[..., top:bottom, left:right]
        gt_depth = gt_depth[..., top:bottom, left:right]
        mask = mask[..., top:bottom, left:right]
        fit_inverse = ALIGNMENTS[self.alignment].inverse
        pred = _invert_if(pred, inverse != fit_inverse)
        target = _invert_if(gt_depth, fit_inverse)
        # NaN, an impossible prediction, would make the fit NaN for the whole image.
        pred = align(pred, target, mask & pred.isfinite(), self.alignment)
        return self._clamped_depth(pred, fit_inverse), gt_depth, mask

    @staticmethod
    def _is_possible(pred: Tensor, kind: PredictionType) -> Tensor:
        """Return the mask of values that a prediction of a type can have."""
        finite = pred.isfinite()
        # With an unknown offset every number is possible; an inverse depth of 0 is infinitely far.
        if kind.ambiguity == 2:
            return finite
        if kind.is_inverse:
            return finite & (pred >= 0)
        return finite & (pred > 0)

    def _resize(self, pred: Tensor, size: tuple[int, int]) -> Tensor:
        self.check_size(pred.shape[-2:], size)
        corners = self.resize == 'bilinear_corners'
        maps = pred[:, None]  # (N, 1, h, w), the shape that interpolate needs
        resized = F.interpolate(maps, size=tuple(size), mode='bilinear', align_corners=corners)
        return resized[:, 0]

    def _clamped_depth(self, pred: Tensor, inverse: bool) -> Tensor:
        if self.clamp is None:
            return _invert_if(pred, inverse)
        near, far = self.clamp
        if not inverse:
            return pred.clamp(near, far)
        # Clamped before it is inverted: an inverse depth of zero or less is farther than any depth.
        nearest = 1 / near if near > 0 else None
        return pred.clamp(1 / far, nearest).reciprocal()

    def modified(self, **changes: object) -> 'Protocol':
        """Return the protocol with other values and a name that lists them.

        None or an equal value is no change. A clamp that equals the depth range moves with it.
        """
        for key, value in list(changes.items()):
            if value is None or value == getattr(self, key):
                del changes[key]
        # The published name is kept for the published definition alone.
        if not changes:
            return self
        listed = ', '.join(f'{key}={value}' for key, value in sorted(changes.items()))
        if self.clamp == (self.min_depth, self.max_depth) and 'clamp' not in changes:
            near = changes.get('min_depth', self.min_depth)
            far = changes.get('max_depth', self.max_depth)
            changes['clamp'] = (near, far)
        return dataclasses.replace(self, name=f'{self.name} (modified: {listed})', **changes)

    def describe(self) -> dict:
        """Return the definition and its fingerprint as JSON holds them (None for no limit).

        The fingerprint depends on everything but the description's wording.
        """
        definition = {key: _plain(value) for key, value in asdict(self).items()}
        fingerprinted = {key: value for key, value in definition.items() if key != 'description'}
        # Fields that were added later; without them the fingerprints of older protocols stay as
        # they were.
        if not self.filled:
            del fingerprinted['filled']
        for name in ('focal_edges', 'half_view'):
            if not fingerprinted[name]:
                del fingerprinted[name]
        return dict(definition, fingerprint=fingerprint(fingerprinted))


def fingerprint(definition: dict) -> str:
    """Return the first twelve hexadecimal digits of a definition's SHA-256."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:12]


_VIEW_PHRASES = dict(
    full='the full frame',
    kb_crop='the KB crop of its frame',
    unknown='of a frame whose size it does not say',
)
_REQUIRED_VIEWS = dict(
    full='full frames',
    native='full frames with ground truth at their own size (LoadVelodyneDepth with size=None)',
    kb_crop='the KB crop (KBCrop as the only geometric step: the bottom 352 rows, the central 1216 '
    'columns)',
)
_OPTIONS = dict(
    strict=('both', 'near', 'far', 'none'),
    view=VIEWS,
    crop=CROPS,
    resize=RESIZES,
    alignment=ALIGNMENTS,
    average=AVERAGES,
    silog=SILOGS,
    log10=LOG10S,
    tta=TTAS,
)


def _view_phrase(view: View) -> str:
    if view.resized_to is not None:
        return str(view)
    return _VIEW_PHRASES.get(view.kind, str(view))


def _invert_if(values: Tensor, condition: bool) -> Tensor:
    if condition:
        return values.reciprocal()
    return values


def _finite_inverse(values: Tensor) -> Tensor:
    """Return the reciprocals of maps (N, h, w), finite, so that they can be interpolated.

    Values below a millionth of the map's largest, zero and negative ones included, count as that
    millionth.
    """
    # An inverse depth of zero is infinitely far, but interpolation would make NaN of its
    # neighbours. NaN, an impossible value, must not spread over the whole map through its maximum.
    floor = values.nan_to_num(0).amax(dim=(-2, -1), keepdim=True) * 1e-6
    return values.maximum(floor.clamp(min=1e-12)).reciprocal()


def _plain(value: object) -> object:
    # JSON has neither infinity nor tuples.
    if isinstance(value, float) and value == float('inf'):
        return None
    if isinstance(value, tuple):
        return list(value)
    return value
