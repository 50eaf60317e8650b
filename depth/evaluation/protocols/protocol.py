"""What a protocol is: everything besides the predictions that a number depends on."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..alignment import ALIGNMENTS, align
from ..crops import CROPS
from ..functional import AVERAGES, LOG10S, SILOGS
from ..prediction_types import PredictionType, get_prediction_type
from ..views import VIEWS, scored_view, shows

RESIZES = dict(
    none='must have the size of the ground truth',
    bilinear='bilinear, half-pixel centres',
    bilinear_corners='bilinear, corner pixels aligned',
)
TTAS = dict(
    any='as the model is configured',
    none='none',
    flip='mean with the mirrored image',
    flip_ramps='mean with the mirrored image, 5 % of the columns at each border from one of the two',
)


@dataclass(frozen=True)
class Protocol:
    """How predictions of one benchmark are scored.

    The order is: cap the ground truth, mask, resize the prediction, align, clamp, measure, average.

    Attributes:
        name: Name in configs and results.
        description: What it is, in a line.
        min_depth: Near end of the ground truth that counts, in metres.
        max_depth: Far end, in metres; ``inf`` for no limit.
        strict: At which ends ground truth exactly at the end does not count: ``both``, ``near``, ``far``, ``none``.
        datasets: ``dataset_name`` of the data sets it is made for; empty: any.
        data_list: The images: a published split file with the first eight digits of its SHA-256, or what chooses them.
        num_images: Images of that list with ground truth, None where it has no fixed number.
        view: What the test pipeline must leave of a frame, see ``VIEWS``.
        crop: Which part of the map counts, see ``depth.evaluation.crops``.
        cap_gt: Ground truth beyond it is set to it first, in metres.
        resize: How a prediction of another size is brought to that of the ground truth, see ``RESIZES``.
        resize_inverse: Resize inverse depth instead of depth.
        alignment: What is fitted to the ground truth, see ``depth.evaluation.alignment``.
        clamp: Range in metres that predictions are brought into last, None: scored as they are.
        average: See ``AVERAGES``.
        silog: See ``SILOGS``.
        log10: See ``LOG10S``.
        eps_ratio: Metres added to the denominators of abs_rel and the thresholds.
        eps_log: Metres added inside logarithms.
        tta: Test-time augmentation of the published numbers, see ``TTAS``. It is the model's business: recorded and
            compared with what the model did, not applied here.
        version: Grows whenever the definition changes.
        filled: Whether the ground truth has its holes filled by an algorithm, which no other protocol takes.
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

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: If a range is empty or an option unknown.
        """
        if not 0 <= self.min_depth < self.max_depth:
            raise ValueError(f'protocol {self.name}: need 0 <= min_depth < max_depth, got {self}')
        if self.clamp is not None and not 0 <= self.clamp[0] < self.clamp[1]:
            raise ValueError(f'protocol {self.name}: clamp must be (near, far) in metres, got {self.clamp}')
        for field, known in _OPTIONS.items():
            value = getattr(self, field)
            if value not in known:
                raise ValueError(f'protocol {self.name}: unknown {field} {value!r}, there are {", ".join(known)}')

    def accepts(self, kind: str | PredictionType) -> bool:
        """Return whether predictions of a type can be scored."""
        return ALIGNMENTS[self.alignment].accepts(get_prediction_type(kind))

    def check_type(self, kind: str | PredictionType) -> None:
        """Refuse predictions that the protocol cannot score.

        Raises:
            ValueError: In words.
        """
        kind = get_prediction_type(kind)
        if self.accepts(kind):
            return
        alignment = ALIGNMENTS[self.alignment]
        if kind.ambiguity > alignment.freedom:
            reason = f'this protocol fits too little ({alignment.meaning}), so the unknown part would count as error'
        else:
            reason = f'this protocol fits {alignment.meaning}, and an offset cannot be carried from one to the other'
        raise ValueError(
            f'protocol {self.name} cannot score predictions of type {kind.value} ({kind.meaning}): {reason}. '
            f'It scores {", ".join(kind.value for kind in PredictionType if self.accepts(kind))}'
        )

    def check_sample(self, sample: dict) -> None:
        """Refuse ground truth of another view or another kind than the protocol's.

        Args:
            sample: With ``gt_depth`` (H, W) and, as far as they are known, ``img_path``, ``crop_box``, ``frame_shape``
                and ``gt_filled``.

        Raises:
            ValueError: In words.
        """
        name, gt_size = sample.get('img_path', 'a sample'), tuple(sample['gt_depth'].shape)
        view = scored_view(gt_size, sample.get('crop_box'), sample.get('frame_shape'))
        if not shows(view, self.view, gt_size):
            raise ValueError(
                f'{name}: the test pipeline leaves ground truth of {gt_size}, {_FOUND.get(view, view)}, but '
                f'protocol {self.name} scores {_WANTED[self.view]}. Change the pipeline or take another protocol; '
                "view='any' (--view any) scores it nevertheless, which then shows in the protocol's name"
            )
        if self.filled != bool(sample.get('gt_filled', False)):
            found, wanted = ('measured', 'filled') if self.filled else ('filled', 'measured')
            raise ValueError(
                f'{name} has {found} ground truth, but protocol {self.name} scores {wanted} depth; for '
                'NYULabeledDataset raw_depth=True reads depth as measured, and nyu_filled_10 scores the filled one'
            )

    def check_size(self, size: Sequence[int], gt_size: Sequence[int], name: str = 'a map') -> None:
        """Refuse a prediction (h, w) of another size than its ground truth (H, W) if there is no rule for resizing.

        Raises:
            ValueError: In words.
        """
        if self.resize == 'none' and tuple(size) != tuple(gt_size):
            raise ValueError(
                f'{name}: the prediction is {tuple(size)}, the ground truth {tuple(gt_size)}, and protocol {self.name} '
                'has no rule for resizing. Test pipelines crop both alike and resize the image only '
                "(resize_depth=False); to resize predictions say resize='bilinear' (--resize), which then shows in the "
                "protocol's name"
            )

    def cap(self, gt_depth: Tensor) -> Tensor:
        """Return ground truth in metres as the protocol takes it."""
        return gt_depth if self.cap_gt is None else gt_depth.clamp(max=self.cap_gt)

    def valid_mask(self, gt_depth: Tensor) -> Tensor:
        """Return where capped ground truth (..., H, W) in metres counts, boolean of the same shape."""
        top, bottom, left, right = CROPS[self.crop](*gt_depth.shape[-2:])
        inside = torch.zeros(gt_depth.shape[-2:], dtype=torch.bool, device=gt_depth.device)
        inside[top:bottom, left:right] = True
        beyond_near = gt_depth > self.min_depth if self.strict in ('both', 'near') else gt_depth >= self.min_depth
        before_far = gt_depth < self.max_depth if self.strict in ('both', 'far') else gt_depth <= self.max_depth
        return inside & beyond_near & before_far & (gt_depth > 0)

    def prepare(
        self, pred: Tensor, gt_depth: Tensor, kind: str | PredictionType = PredictionType.METRIC
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return depth, ground truth and mask, ready to be measured.

        Args:
            pred: Predictions (N, h, w), meaning what ``kind`` says.
            gt_depth: Ground truth in metres, (N, H, W), 0 = none.
            kind: Type of the predictions.

        Returns:
            Depth in metres, ground truth in metres and the boolean mask, of the part that the crop leaves. Depth is
            NaN where the prediction can be no depth: not finite, zero or negative. A clamp does not hide that: the
            near end may be right by chance.

        Raises:
            ValueError: If the type cannot be scored, or the sizes differ and the protocol has no rule for it.
        """
        self.check_type(kind)
        gt_depth = self.cap(gt_depth)
        mask = self.valid_mask(gt_depth)
        pred = torch.where(self._is_possible(pred, get_prediction_type(kind)), pred, torch.nan)
        inverse = get_prediction_type(kind).is_inverse
        if pred.shape[-2:] != gt_depth.shape[-2:]:
            # What is known up to an offset can only be resized as it is.
            wanted = inverse if get_prediction_type(kind).ambiguity == 2 else self.resize_inverse
            pred, inverse = _finite_inverse(pred) if inverse != wanted else pred, wanted
            pred = self._resize(pred, gt_depth.shape[-2:])
        top, bottom, left, right = CROPS[self.crop](*gt_depth.shape[-2:])
        pred, gt_depth, mask = (values[..., top:bottom, left:right] for values in (pred, gt_depth, mask))
        fit_inverse = ALIGNMENTS[self.alignment].inverse
        pred = _invert_if(pred, inverse != fit_inverse)
        truth = gt_depth.reciprocal() if fit_inverse else gt_depth
        pred = align(pred, truth, mask & pred.isfinite(), self.alignment)
        return self._clamped_depth(pred, fit_inverse), gt_depth, mask

    @staticmethod
    def _is_possible(pred: Tensor, kind: PredictionType) -> Tensor:
        """Return where a prediction can be scored at all, boolean of the same shape."""
        finite = pred.isfinite()
        if kind.ambiguity == 2:  # an offset is unknown, so any number can be meant
            return finite
        if kind.is_inverse:
            return finite & (pred >= 0)  # an inverse depth of zero is infinitely far
        return finite & (pred > 0)

    def _resize(self, pred: Tensor, size: tuple[int, int]) -> Tensor:
        self.check_size(pred.shape[-2:], size)
        corners = self.resize == 'bilinear_corners'
        return F.interpolate(pred[:, None], size=tuple(size), mode='bilinear', align_corners=corners)[:, 0]

    def _clamped_depth(self, pred: Tensor, inverse: bool) -> Tensor:
        if self.clamp is None:
            return _invert_if(pred, inverse)
        near, far = self.clamp
        if not inverse:
            return pred.clamp(near, far)
        # Clamped before it is inverted: an inverse depth of zero or less is farther than anything.
        return pred.clamp(1 / far, 1 / near if near > 0 else None).reciprocal()

    def modified(self, **changes: object) -> 'Protocol':
        """Return the protocol with other values; None or an equal value is no change. A change shows in the name.

        A clamp that was the depth range moves with it.
        """
        changes = {key: value for key, value in changes.items() if value is not None and value != getattr(self, key)}
        if not changes:
            return self
        listed = ', '.join(f'{key}={value}' for key, value in sorted(changes.items()))
        if self.clamp == (self.min_depth, self.max_depth) and 'clamp' not in changes:
            ends = changes.get('min_depth', self.min_depth), changes.get('max_depth', self.max_depth)
            changes['clamp'] = ends
        return dataclasses.replace(self, name=f'{self.name} (modified: {listed})', **changes)

    def describe(self) -> dict:
        """Return the definition and its fingerprint, plain values that JSON can hold (no limit: None).

        The fingerprint depends on everything but the description's wording.
        """
        definition = {key: _plain(value) for key, value in asdict(self).items()}
        fingerprinted = {key: value for key, value in definition.items() if key != 'description'}
        if not self.filled:  # the fields that there were before it came
            del fingerprinted['filled']
        return dict(definition, fingerprint=fingerprint(fingerprinted))


def fingerprint(definition: dict) -> str:
    """Return twelve digits that tell definitions apart."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:12]


_FOUND = dict(
    full='the full frame', kb_crop='the KB crop of its frame', unknown='of a frame whose size it does not say'
)
_WANTED = dict(
    full='full frames',
    native='full frames with ground truth at their own size (LoadVelodyneDepth with size=None)',
    kb_crop='the KB crop (KBCrop as the only geometric step: the bottom 352 rows, the central 1216 columns)',
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


def _invert_if(values: Tensor, condition: bool) -> Tensor:
    return values.reciprocal() if condition else values


def _finite_inverse(values: Tensor) -> Tensor:
    """Return the reciprocals of maps (N, h, w), finite, so that they can be interpolated.

    Values of zero or less, and below a millionth of the map's largest, count as that millionth: an inverse depth of
    zero is farther than anything, but an infinite depth would make NaN of its neighbours.
    """
    floor = values.amax(dim=(-2, -1), keepdim=True) * 1e-6
    return values.maximum(floor.clamp(min=1e-12)).reciprocal()


def _plain(value: object) -> object:
    if isinstance(value, float) and value == float('inf'):
        return None
    return list(value) if isinstance(value, tuple) else value
