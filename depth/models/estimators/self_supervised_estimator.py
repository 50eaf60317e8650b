"""Self-supervised depth estimator, trained by view synthesis instead of ground truth."""

from collections.abc import Sequence

import torch
from torch import Tensor

from depth.models.layers import resize_map
from depth.registry import MODELS
from depth.structures import DepthDataSample, ViewBatch

from .depth_estimator import DepthEstimator
from .test_time import blend_mirrored

PREDICTION_TYPES = ('metric', 'scale_invariant')


@MODELS.register_module()
class SelfSupervisedEstimator(DepthEstimator):
    """Depth estimator with a sigmoid head, trained to synthesise one view of a scene from others.

    Runner, hooks, test and inference tools are those of :class:`DepthEstimator`. Here the other
    view is that of a rectified stereo pair; a method with a pose network overrides
    :meth:`collect_views`.

    Args:
        backbone: Config of the backbone.
        decode_head: Config of a :class:`~depth.models.heads.SigmoidDepthHead`.
        view_loss: Config of the loss, :class:`~depth.models.losses.ViewSynthesisLoss` or a
            subclass.
        neck: Config of the neck, if there is one.
        data_preprocessor: Config of the preprocessor that batches and normalises.
        train_cfg: Training options that a subclass names in ``TRAIN_OPTIONS``.
        test_cfg: ``flip``: blend with the prediction of the mirrored image, see
            :func:`blend_mirrored`; ``output_scale``: index of the output, 0 the finest, -1 the mean
            of the three finest; ``resize_as``: ``'inverse_depth'`` or ``'depth'``, the quantity
            interpolated to the original size.
        prediction_type: ``'metric'`` if the baseline of the training pairs fixes the scale,
            ``'scale_invariant'`` if the prediction has to be aligned (by the median, say) before it
            is compared with metres.

    Raises:
        ValueError: If an option is unknown or has an unknown value.
    """

    needs_depth = False
    TEST_OPTIONS = ('mode', 'flip', 'output_scale', 'resize_as')

    def __init__(
        self,
        backbone: dict,
        decode_head: dict,
        view_loss: dict | None = None,
        neck: dict | None = None,
        data_preprocessor: dict | None = None,
        train_cfg: dict | None = None,
        test_cfg: dict | None = None,
        prediction_type: str = 'metric',
    ) -> None:
        test_cfg = dict(output_scale=0, resize_as='inverse_depth') | dict(test_cfg or {})
        super().__init__(backbone, decode_head, neck, data_preprocessor, train_cfg, test_cfg)
        if self.test_cfg['mode'] != 'whole':
            raise ValueError(
                "model.test_cfg.mode is 'whole' for self-supervised models, they see whole images"
            )
        if self.test_cfg['resize_as'] not in ('inverse_depth', 'depth'):
            raise ValueError(
                "model.test_cfg.resize_as is 'inverse_depth' or 'depth', got "
                f'{self.test_cfg["resize_as"]!r}'
            )
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(
                f'model.prediction_type is one of {", ".join(PREDICTION_TYPES)}, got '
                f'{prediction_type!r}'
            )
        self.prediction_type = prediction_type
        self.view_loss = MODELS.build(view_loss or dict(type='ViewSynthesisLoss'))

    def loss(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> dict[str, Tensor]:
        """Return the losses of images (N, 3, H, W) against the other views of their samples."""
        return self.view_losses(inputs, self.collect_views(data_samples))

    def view_losses(self, inputs: Tensor, views: ViewBatch) -> dict[str, Tensor]:
        """Return the losses of normalised images (N, 3, H, W) against a batch of views."""
        sigmoids = self.decode_head(self.extract_feat(inputs))['sigmoids']
        # Variances of 3x3 windows and neighbouring columns of a wide image drown in half precision.
        with torch.autocast(inputs.device.type, enabled=False):
            return self.view_loss(
                [sigmoid.float() for sigmoid in sigmoids], views, self.decode_head.to_depth
            )

    def collect_views(self, data_samples: list[DepthDataSample]) -> ViewBatch:
        """Collect the views of the batch from stereo samples.

        Raises:
            ValueError: If a sample has no other view, or only some have a depth hint.
        """
        for sample in data_samples:
            missing = [
                key
                for key in ('clean_img', 'clean_other_img', 'stereo_extrinsics')
                if key not in sample
            ]
            if missing:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")} has no {missing[0]}; a self-supervised '
                    'train pipeline ends with PackStereoInputs and its data set gives pairs'
                )
        hinted = ['depth_hint' in sample for sample in data_samples]
        if any(hinted) and not all(hinted):
            raise ValueError(
                f'only {sum(hinted)} of the {len(hinted)} samples of a batch have a depth_hint'
            )

        def stack(key: str) -> Tensor:
            return torch.stack([sample.get(key) for sample in data_samples])

        return ViewBatch(
            target=stack('clean_img').float() / 255,
            sources=[stack('clean_other_img').float() / 255],
            transforms=[stack('stereo_extrinsics')],
            intrinsics=stack('intrinsics'),
            source_intrinsics=[stack('other_intrinsics')],
            depth_hint=stack('depth_hint').unsqueeze(1) if all(hinted) else None,
        )

    def predict_depth(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> Tensor:
        """Return depth (N, 1, H, W) in metres of the finest output, without test-time options."""
        sigmoid = self.decode_head(self.extract_feat(inputs))['sigmoids'][0]
        return 1 / resize_map(self.decode_head.to_inverse_depth(sigmoid), inputs.shape[-2:])

    @torch.no_grad()
    def predict(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> list[DepthDataSample]:
        """Set ``pred_depth`` (H, W) at ``ori_shape`` and ``pred_inverse_depth`` on every sample.

        Raises:
            ValueError: If the images of the batch had to be padded.
        """
        for sample in data_samples:
            if tuple(sample.metainfo.get('img_shape', inputs.shape[-2:])) != tuple(
                inputs.shape[-2:]
            ):
                raise ValueError(
                    f'{sample.get("img_path", "a sample")}: {sample.metainfo["img_shape"]} was '
                    'padded to '
                    f'{tuple(inputs.shape[-2:])}; the test pipeline of a self-supervised model '
                    'resizes to one size (Resize without keep_ratio)'
                )
        if self.test_cfg['flip']:
            direct, mirrored = self.predict_inverse_depth(
                torch.cat([inputs, inputs.flip(-1)])
            ).chunk(2)
            inverse = blend_mirrored(direct, mirrored.flip(-1))
        else:
            inverse = self.predict_inverse_depth(inputs)
        for index, sample in enumerate(data_samples):
            sample.pred_inverse_depth = inverse[index, 0]
            ori_shape = sample.metainfo.get('ori_shape', inputs.shape[-2:])
            sample.pred_depth = self._resize_to_depth(inverse[index : index + 1], ori_shape)[0, 0]
            tta = 'flip_ramps' if self.test_cfg['flip'] else 'none'
            sample.set_metainfo(dict(prediction_type=self.prediction_type, tta=tta))
        return data_samples

    def predict_outputs(
        self, inputs: Tensor, data_samples: list[DepthDataSample] | None = None
    ) -> dict[str, Tensor]:
        """Return ``depth`` of the output that ``test_cfg`` chooses."""
        inverse = self.predict_inverse_depth(inputs)
        return dict(depth=self._resize_to_depth(inverse, inputs.shape[-2:]))

    def predict_inverse_depth(self, inputs: Tensor) -> Tensor:
        """Return inverse depth (N, 1, h, w) in 1/m of the output that ``test_cfg`` chooses.

        Raises:
            ValueError: If there is no such output.
        """
        sigmoids = self.decode_head(self.extract_feat(inputs))['sigmoids']
        scale = self.test_cfg['output_scale']
        if scale == -1:
            maps = []
            for sigmoid in sigmoids[:3]:
                maps.append(
                    resize_map(self.decode_head.to_inverse_depth(sigmoid), inputs.shape[-2:])
                )
            return torch.stack(maps).mean(dim=0)
        if not 0 <= scale < len(sigmoids):
            raise ValueError(
                f'model.test_cfg.output_scale is -1 or 0 to {len(sigmoids) - 1}, got {scale}'
            )
        return self.decode_head.to_inverse_depth(sigmoids[scale])

    def _resize_to_depth(self, inverse: Tensor, size: Sequence[int]) -> Tensor:
        """Return depth at ``size`` (H, W) of inverse depth (N, 1, h, w)."""
        if self.test_cfg['resize_as'] == 'depth':
            return resize_map(1 / inverse, size)
        return 1 / resize_map(inverse, size)
