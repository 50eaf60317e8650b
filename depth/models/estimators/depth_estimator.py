"""Supervised depth estimator: backbone, optional neck, depth head."""

import difflib
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.logging import print_log
from mmengine.model import BaseModel
from torch import Tensor, nn

from depth.calibration import DepthCalibration
from depth.registry import MODELS
from depth.structures import RELATIVE_FIELDS, DepthDataSample

from ..backbones.fine_tuning import build_backbone, hold_frozen
from ..layers.canonical_camera import CameraCheck
from ..layers.sparse_points import append_points, has_points
from .canonical_depth import CANONICAL_OPTIONS, CanonicalDepth
from .feature_channels import check_feature_channels
from .test_time import WindowCorner, mirrored_samples, shifted_samples, slide_inference


@MODELS.register_module()
class DepthEstimator(BaseModel):
    """Depth from one image: metric, or the quantity of the head's ``prediction_type``.

    A model whose head has a ``prompt``, or whose backbone has ``early_fusion``, also takes sparse
    depth: ``sparse_depth`` of the samples, (H, W) in metres at the size of the network's input, 0 =
    no point. Without it that model predicts from the image alone.

    Args:
        backbone: Config of the backbone, with ``freeze`` or ``lora`` to fine-tune it, see
            :func:`~depth.models.backbones.fine_tuning.build_backbone`.
        decode_head: Config of the head.
        neck: Config of the neck, or a list of configs that are applied in order. In checkpoints the
            last neck is called ``neck`` and the others ``pre_necks``, so that weights still fit
            after one is inserted.
        data_preprocessor: Config of the preprocessor that batches and normalises.
        train_cfg: Training options that a subclass names in ``TRAIN_OPTIONS``; this class has none.
        test_cfg: ``mode``: ``'whole'`` or ``'slide'`` (then ``crop_size`` and ``stride``,
            (height, width) each, and ``window_batch``, the number of windows predicted at once, 1
            by default); ``flip``: average with the prediction of the mirrored image;
            ``align_corners``: convention of the resize of predictions to ``ori_shape``, False by
            default.
        extra_losses: Configs by name of losses on the final depth of any head, beside the head's
            own; each is logged as ``loss_<name>``. See
            :class:`~depth.models.losses.SampleLoss`.
        canonical_camera: ``focal``, ``focal_range`` and ``scaled`` of the canonical camera in which
            the head predicts depth, see
            :class:`~depth.models.estimators.canonical_depth.CanonicalDepth`. Samples then need
            ``intrinsics``; depth of bare tensors stays canonical.

    Raises:
        ValueError: If ``train_cfg`` or ``test_cfg`` hold an unknown option or value, or if
            ``in_channels`` of a neck or of the head are not the channels of the features that it
            gets, or if the backbone has ``early_fusion`` in an estimator that brings no points to
            it.
    """

    TRAIN_OPTIONS: tuple[str, ...] = ()
    needs_depth = True  # a training without any ground truth is an error
    prediction_type = 'metric'  # the head's, see depth.evaluation.PredictionType
    # Applied to what mode='predict' returns; that of the checkpoint in inference and tests.
    calibration: DepthCalibration | None = None
    # Whether predictions use the camera of a sample, and whether they cannot do without.
    takes_camera = False
    needs_camera = False
    # Whether the model looks at ``sparse_depth``, by its head or its backbone.
    takes_sparse_depth = False
    _has_noted_missing_points = False
    # Whether the estimator brings points to the backbone; depth in another unit would not go with
    # them.
    supports_early_fusion = True
    TEST_OPTIONS: tuple[str, ...] = (
        'mode',
        'crop_size',
        'stride',
        'window_batch',
        'flip',
        'align_corners',
    )

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        neck: dict | Sequence[dict] | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        extra_losses: dict[str, dict] | None = None,
        canonical_camera: dict | None = None,
    ) -> None:
        super().__init__(
            data_preprocessor=MODELS.build(data_preprocessor or dict(type='DepthDataPreprocessor'))
        )
        self.backbone = build_backbone(backbone)
        neck_configs = _neck_configs(neck)
        necks = [MODELS.build(config) for config in neck_configs.values()]
        self.pre_necks = nn.ModuleList(necks[:-1])
        self.neck = necks[-1] if necks else None
        self.canonical_camera: CanonicalDepth | None = None
        if canonical_camera is not None:
            _check_options('canonical_camera', canonical_camera, CANONICAL_OPTIONS)
            if canonical_camera.get('focal') is None:
                raise ValueError(
                    'model.canonical_camera needs focal, the focal length of the canonical camera '
                    'in pixels'
                )
            self.canonical_camera = CanonicalDepth(decode_head, **canonical_camera)
            decode_head = self.canonical_camera.head_config(decode_head)
        self.decode_head = self.build_head(decode_head)
        self.prediction_type = getattr(self.decode_head, 'prediction_type', self.prediction_type)
        if getattr(self.decode_head, 'needs_camera', False):
            self.takes_camera = self.needs_camera = True
        if self.takes_camera:
            self.data_preprocessor.camera_check = CameraCheck()
        if self.canonical_camera is not None:
            self.canonical_camera.check_head(self.decode_head)
            self.takes_camera = self.needs_camera = True
            self.data_preprocessor.camera_check = self.canonical_camera.camera_check()
        has_early_fusion = getattr(self.backbone, 'takes_points', False)
        self.takes_sparse_depth = (
            has_early_fusion or getattr(self.decode_head, 'prompt_fusion', None) is not None
        )
        brings_points = (
            self.supports_early_fusion
            and type(self).loss is DepthEstimator.loss
            and type(self).predict_depth is DepthEstimator.predict_depth
        )
        if has_early_fusion and not brings_points:
            raise ValueError(
                f'model.backbone.early_fusion: {type(self).__name__} brings no points to its '
                'backbone'
            )
        if self.takes_sparse_depth and self.canonical_camera is not None:
            raise ValueError(
                'model.canonical_camera: sparse depth is in metres of the real camera, so a model '
                'that takes points cannot have a canonical one'
            )
        # A subclass with an ``extract_feat`` of its own may change the channels on the way.
        if type(self).extract_feat is DepthEstimator.extract_feat:
            check_feature_channels(
                self.backbone, necks, self.decode_head, neck_configs, decode_head
            )
        self.train_cfg = dict(train_cfg or {})
        self.test_cfg = dict(mode='whole', flip=False) | dict(test_cfg or {})
        _check_options('train_cfg', self.train_cfg, self.TRAIN_OPTIONS)
        _check_options('test_cfg', self.test_cfg, self.TEST_OPTIONS)
        _check_test_cfg(self.test_cfg)
        if self.test_cfg['mode'] == 'slide' and self.prediction_type != 'metric':
            raise ValueError(
                f"model.test_cfg.mode is 'whole' for predictions of type {self.prediction_type}: "
                'each window would have a factor of its own, and their mean would mean nothing'
            )
        self.extra_losses = nn.ModuleDict(
            {name: MODELS.build(config) for name, config in (extra_losses or {}).items()}
        )
        if self.extra_losses and type(self).loss is not DepthEstimator.loss:
            raise ValueError(
                f'model.extra_losses: {type(self).__name__} has losses of its own and takes none'
            )

    def build_head(self, decode_head: dict) -> nn.Module:
        """Build the head, after the backbone and the necks; a subclass may take sizes from them."""
        return MODELS.build(decode_head)

    @property
    def depth_range(self) -> tuple[float | None, float | None]:
        """Near and far end of predicted depth in metres; None for an end that the head has not."""
        near = getattr(self.decode_head, 'min_depth', None)
        far = getattr(self.decode_head, 'max_depth', None)
        if self.canonical_camera is not None and self.canonical_camera.is_bounded:
            near, far = self.canonical_camera.metric_range
        if far is not None and math.isinf(far):
            far = None
        return near, far

    def forward(
        self,
        inputs: Tensor,
        data_samples: list[DepthDataSample] | None = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | list[DepthDataSample]:
        """Run the model on normalised images (N, 3, H, W).

        Args:
            inputs: Output of the preprocessor.
            data_samples: One per image; needed for ``loss`` and ``predict``.
            mode: ``'loss'`` -> dict of losses; ``'predict'`` -> the samples with ``pred_depth``;
                ``'tensor'`` -> depth (N, 1, H, W) at the size of ``inputs``, in metres or the unit
                of ``prediction_type``.

        Raises:
            ValueError: If the mode, the shape of ``inputs`` or the samples do not fit.
        """
        if not isinstance(inputs, Tensor) or inputs.ndim != 4 or not inputs.is_floating_point():
            received = type(inputs).__name__
            if isinstance(inputs, Tensor):
                received = f'{tuple(inputs.shape)} {inputs.dtype}'
            raise ValueError(
                f'inputs must be a normalised float batch of shape (N, 3, H, W), got {received}'
            )
        if mode == 'tensor':
            return self.predict_depth(inputs, data_samples)
        if mode not in ('loss', 'predict'):
            raise ValueError(f"mode is 'loss', 'predict' or 'tensor', got {mode!r}")
        if data_samples is None or len(data_samples) != len(inputs):
            count = 'none' if data_samples is None else len(data_samples)
            raise ValueError(
                f'mode {mode!r} needs one data sample an image: {len(inputs)} images, {count} '
                'samples'
            )
        self._note_missing_points(data_samples)
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        samples = self.predict(inputs, data_samples)
        if self.calibration is not None:
            for sample in samples:
                sample.pred_depth = self.calibration(sample.pred_depth)
                sample.set_metainfo(dict(calibration=self.calibration.describe()))
        return samples

    def train(self, mode: bool = True) -> 'DepthEstimator':
        """Switch to training mode; frozen layers of the backbone stay in eval mode."""
        super().train(mode)
        if mode:
            hold_frozen(self.backbone)
        return self

    def _note_missing_points(self, data_samples: list[DepthDataSample]) -> None:
        """Log once that a model which takes sparse depth got none."""
        if not self.takes_sparse_depth or self._has_noted_missing_points:
            return
        if not has_points(data_samples):
            self._has_noted_missing_points = True
            print_log(
                'the model takes sparse depth, and '
                f'{data_samples[0].get("img_path", "a sample")} has none: depth is predicted from '
                'the image alone',
                logger='current',
            )

    def _with_points(self, inputs: Tensor, data_samples: list[DepthDataSample] | None) -> Tensor:
        """Return the images, with the channels of their points if the backbone takes them."""
        if getattr(self.backbone, 'takes_points', False):
            return append_points(inputs, data_samples)
        return inputs

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Return the feature maps that the head takes, finest first."""
        feats = self.backbone(inputs)
        for pre_neck in self.pre_necks:
            feats = pre_neck(feats)
        return self.neck(feats) if self.neck is not None else feats

    def _decode(
        self,
        feats: Sequence[Tensor],
        inputs: Tensor,
        data_samples: list[DepthDataSample] | None,
    ) -> dict[str, Tensor]:
        """Return the outputs of the head, which gets the images too if they guide its prompt."""
        prompt = getattr(self.decode_head, 'prompt_fusion', None)
        if prompt is not None and prompt.guide is not None:
            return self.decode_head(feats, data_samples, inputs)
        return self.decode_head(feats, data_samples)

    def loss(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> dict[str, Tensor]:
        """Return the head's losses against the samples' ground truth.

        Raises:
            ValueError: If a sample has no ground truth.
        """
        gt_depth = stack_gt_depth(data_samples)
        self._check_labels(data_samples)
        feats = self.extract_feat(self._with_points(inputs, data_samples))
        outputs = self._decode(feats, inputs, data_samples)
        factors = None
        if self.canonical_camera is None:
            losses = self.decode_head.loss(outputs, gt_depth, data_samples)
        else:
            factors = self.canonical_camera.focal_factors(
                data_samples, gt_depth, self.training, self.input_scale(gt_depth.shape[-2:])
            )
            losses = self.canonical_camera.losses(
                self.decode_head, outputs, gt_depth, data_samples, factors
            )
        if self.extra_losses:
            depth = self._trained_depth(outputs, gt_depth.shape[-2:])
            if factors is not None:
                depth = depth * factors
            for name, loss in self.extra_losses.items():
                losses[f'loss_{name}'] = loss(depth, data_samples, inputs, self.prediction_type)
        return losses

    def _trained_depth(self, outputs: dict[str, Tensor], size: Sequence[int]) -> Tensor:
        """Return the depth (N, 1, H, W) of a head's outputs at ``size``, not clamped."""
        return self.decode_head.resize(outputs['depth'].float(), size)

    def _check_labels(self, data_samples: list[DepthDataSample]) -> None:
        """Raise ValueError if samples have relative labels, which no loss of the model takes."""
        for field in RELATIVE_FIELDS:
            if field in data_samples[0] and not any(
                loss.takes_relative_labels for loss in self.extra_losses.values()
            ):
                raise ValueError(
                    'a data set of the batch has relative labels (its label_type), for which the '
                    "model has no loss: set model.extra_losses=dict(relative=dict(type='"
                    "RelativeLabelLoss'))"
                )

    def predict_depth(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> Tensor:
        """Return depth (N, 1, H, W) of whole images, without test-time augmentation.

        The head's depth is clamped to the depth range first and then resized, as the published
        evaluation does.
        """
        feats = self.extract_feat(self._with_points(inputs, data_samples))
        outputs = self._decode(feats, inputs, data_samples)
        depth = self._depth_of(outputs, inputs.shape[-2:])
        return self.to_metres(depth, data_samples)

    def to_metres(self, depth: Tensor, data_samples: list[DepthDataSample] | None) -> Tensor:
        """Return depth (N, 1, H, W) of the head in metres, if it is that of a canonical camera.

        Args:
            depth: At the size of the batch.
            data_samples: One per image; depth of bare tensors stays as it is.
        """
        if self.canonical_camera is None:
            return depth
        scale = self.input_scale(depth.shape[-2:])
        return self.canonical_camera.to_metric(depth, data_samples, self.training, scale)

    def input_scale(self, size: Sequence[int]) -> tuple[float, float]:
        """Return the (vertical, horizontal) factor by which the network resizes a batch (H, W)."""
        return 1.0, 1.0

    def predict_maps(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return ``depth`` as :meth:`predict_depth` does, and the head's further predictions.

        These have the names of the head's ``map_names``, see
        :meth:`~depth.models.heads.BaseDepthHead.further_maps`.
        """
        feats = self.extract_feat(self._with_points(inputs, data_samples))
        outputs = self._decode(feats, inputs, data_samples)
        size = inputs.shape[-2:]
        depth = self.to_metres(self._depth_of(outputs, size), data_samples)
        return dict(depth=depth, **self.decode_head.further_maps(outputs, size))

    def predict_outputs(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return all that an exported file predicts, at the size of ``inputs``.

        That is ``depth`` (N, 1, H, W) as tests score it, and the method's further predictions, of
        whole images that are not mirrored.
        """
        if getattr(self.decode_head, 'map_names', ()):
            return self.predict_maps(inputs, data_samples)
        return dict(depth=self.predict_depth(inputs, data_samples))

    def fixed_size_reason(self) -> str | None:
        """Return why an exported file has one size, None if its size is free."""
        return None

    def _depth_of(self, outputs: dict[str, Tensor], size: Sequence[int]) -> Tensor:
        """Return the depth (N, 1, H, W) of a head's outputs at ``size``."""
        return self.decode_head.resize(self.decode_head.clamp(outputs['depth'].float()), size)

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> list[DepthDataSample]:
        """Set ``pred_depth`` (H, W) in metres at ``ori_shape``, with its meta, on every sample.

        Images of unequal size run one size after another, without the padding to the largest: a
        network sees padding, so predictions would depend on the other images of the batch.
        """
        for (height, width), indices in _indices_by_size(inputs, data_samples).items():
            images = inputs[..., :height, :width]
            if len(indices) < len(inputs):
                images = torch.stack([images[index] for index in indices])
            self._predict_equal(images, [data_samples[index] for index in indices])
        return data_samples

    def _predict_equal(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> None:
        """Set the predictions of images of one size.

        Further maps of the head come with whole images that are not mirrored; normals or points of
        several views cannot be averaged.
        """
        maps = {}
        is_plain = self.test_cfg['mode'] == 'whole' and not self.test_cfg['flip']
        if is_plain and getattr(self.decode_head, 'map_names', ()):
            maps = self.predict_maps(inputs, data_samples)
            depth = maps.pop('depth')
        else:
            depth = self._infer(inputs, data_samples)
        for index, sample in enumerate(data_samples):
            unpadded = _without_padding(depth[index : index + 1], sample)
            size = tuple(unpadded.shape[-2:])
            ori_shape = sample.metainfo.get('ori_shape', size)
            tta = 'flip' if self.test_cfg['flip'] else 'none'
            sample.set_metainfo(dict(prediction_type=self.prediction_type, tta=tta))
            sample.pred_depth = self._to_original(unpadded, ori_shape)[0, 0]
            for name, values in maps.items():
                item = values[index : index + 1]
                if name != 'intrinsics':
                    item = _without_padding(item, sample)
                self._set_field(sample, name, item, size, ori_shape)

    def _set_field(
        self,
        sample: DepthDataSample,
        name: str,
        values: Tensor,
        size: Sequence[int],
        ori_shape: Sequence[int],
    ) -> None:
        """Set a further prediction, at ``ori_shape``.

        Args:
            sample: Gets the field ``pred_<name>``.
            name: One of the head's ``map_names``.
            values: Map (1, C, h, w) without padding, or intrinsics (1, 3, 3) in pixels of the
                network's input.
            size: (h, w) of the network's input without padding.
            ori_shape: (height, width) before any resizing.
        """
        if name == 'intrinsics':
            scale = values.new_ones(3, 1)
            scale[0], scale[1] = ori_shape[1] / size[1], ori_shape[0] / size[0]
            # x goes to (x + 0.5) * scale - 0.5: pixel centres are at whole numbers.
            intrinsics = values[0] * scale
            intrinsics[:2, 2] += (scale[:2, 0] - 1) / 2
            sample.set_data({'pred_intrinsics': intrinsics})
            return
        is_bool = values.dtype == torch.bool
        resized = self._to_original(values.float(), ori_shape)[0]
        if name == 'normals':
            resized = F.normalize(resized, dim=0)
        if is_bool:
            resized = resized > 0.5
        sample.set_data({f'pred_{name}': resized if len(resized) > 1 else resized[0]})

    def _infer(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> Tensor:
        """Return depth (N, 1, H, W) in metres with the options of ``test_cfg``."""
        predict = self._average_with_mirrored if self.test_cfg['flip'] else self.predict_depth
        if self.test_cfg['mode'] == 'whole':
            return predict(inputs, data_samples)

        def predict_windows(windows: Tensor, corners: list[WindowCorner]) -> Tensor:
            # Windows see a part of the image, so that their principal points differ.
            samples = []
            for top, left in corners:
                samples.extend(shifted_samples(data_samples, top, left, windows.shape[-2:]))
            return predict(windows, samples)

        return slide_inference(
            predict_windows,
            inputs,
            self.test_cfg['crop_size'],
            self.test_cfg['stride'],
            self.test_cfg.get('window_batch', 1),
        )

    def _average_with_mirrored(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> Tensor:
        """Return the mean of the predictions of the image and of its mirror image.

        Both run as one batch.
        """
        widths = [inputs.shape[-1]] * len(inputs)
        if self.test_cfg['mode'] == 'whole':
            # Only the image is mirrored; its padding has to stay at the right.
            widths = [
                sample.metainfo.get('img_shape', inputs.shape[-2:])[1] for sample in data_samples
            ]
        batch = torch.cat([inputs, _mirror(inputs, widths)])
        samples = list(data_samples) + mirrored_samples(data_samples, widths)
        depth, mirrored = self.predict_depth(batch, samples).chunk(2)
        return (depth + _mirror(mirrored, widths)) / 2

    def _to_original(self, values: Tensor, size: Sequence[int]) -> Tensor:
        """Resize (1, C, h, w) to ``size``; by default with half-pixel centres, as images are."""
        if tuple(values.shape[-2:]) == tuple(size):
            return values
        corners = self.test_cfg.get('align_corners', False)
        return F.interpolate(values, size=tuple(size), mode='bilinear', align_corners=corners)


def stack_gt_depth(data_samples: Sequence[DepthDataSample]) -> Tensor:
    """Return the ground truth (N, 1, H, W) of a batch in metres, 0 = none.

    Raises:
        ValueError: If a sample has none.
    """
    for sample in data_samples:
        if 'gt_depth' not in sample:
            raise ValueError(
                f'{sample.get("img_path", "a sample")} has no gt_depth, it cannot be trained on'
            )
    return torch.stack([sample.gt_depth for sample in data_samples]).unsqueeze(1)


def _neck_configs(neck: dict | Sequence[dict] | None) -> dict[str, dict]:
    """Return the configs of the necks by their place in the config file, in order."""
    if not neck:
        return {}
    if isinstance(neck, list | tuple):
        return {f'model.neck.{index}': config for index, config in enumerate(neck)}
    return {'model.neck': neck}


def _without_padding(values: Tensor, sample: DepthDataSample) -> Tensor:
    """Return the image's part of a map (1, C, H, W), which has to be resized alone.

    Padding is at the right and bottom, or around the ``content_box`` of the sample's meta.
    """
    size = sample.metainfo.get('img_shape', values.shape[-2:])
    top, left, height, width = sample.metainfo.get('content_box', (0, 0, *size))
    return values[..., top : top + height, left : left + width]


def _indices_by_size(
    inputs: Tensor, data_samples: Sequence[DepthDataSample]
) -> dict[tuple[int, int], list[int]]:
    """Group the images of a batch by the (height, width) that each would have alone."""
    groups: dict[tuple[int, int], list[int]] = {}
    for index, sample in enumerate(data_samples):
        size = tuple(sample.metainfo.get('batch_input_shape', inputs.shape[-2:]))
        groups.setdefault(size, []).append(index)
    return groups


def _mirror(maps: Tensor, widths: Sequence[int]) -> Tensor:
    """Mirror the first ``widths`` columns of each map (N, C, H, W).

    Further columns stay in place.
    """
    if all(width == maps.shape[-1] for width in widths):
        return maps.flip(-1)
    mirrored = maps.clone()
    for index, width in enumerate(widths):
        mirrored[index, :, :, :width] = maps[index, :, :, :width].flip(-1)
    return mirrored


def _check_options(key: str, options: dict, allowed: Sequence[str]) -> None:
    for name in options:
        if name not in allowed:
            near = difflib.get_close_matches(name, allowed, n=1, cutoff=0)
            hint = f'did you mean {near[0]!r}?' if near else 'this estimator takes none'
            raise ValueError(f'model.{key} has no option {name!r}, {hint}')


def _check_test_cfg(test_cfg: dict) -> None:
    if test_cfg['mode'] not in ('whole', 'slide'):
        raise ValueError(f"model.test_cfg.mode is 'whole' or 'slide', got {test_cfg['mode']!r}")
    if test_cfg['mode'] == 'slide':
        for name in ('crop_size', 'stride'):
            value = test_cfg.get(name)
            if not isinstance(value, Sequence) or len(value) != 2 or min(value) < 1:
                raise ValueError(
                    f'model.test_cfg.{name} must be (height, width) in slide mode, got {value!r}'
                )
        window_batch = test_cfg.get('window_batch', 1)
        if not isinstance(window_batch, int) or window_batch < 1:
            raise ValueError(
                f'model.test_cfg.window_batch is 1 or more windows at once, got {window_batch!r}'
            )
        (step_y, step_x), (height, width) = test_cfg['stride'], test_cfg['crop_size']
        if step_y > height or step_x > width:
            raise ValueError(
                f'model.test_cfg.stride {test_cfg["stride"]} is larger than crop_size '
                f'{test_cfg["crop_size"]}: pixels between the windows would get no depth'
            )
