"""ScaleDepth estimator: sliding-window inference with one scale per image or per window."""

import torch.nn.functional as F
from torch import Tensor

from depth.models.estimators import DepthEstimator
from depth.registry import MODELS
from depth.structures import DepthDataSample


@MODELS.register_module()
class ScaleDepthEstimator(DepthEstimator):
    """:class:`~depth.models.estimators.DepthEstimator` with one more option of ``test_cfg``.

    Args:
        **kwargs: As :class:`~depth.models.estimators.DepthEstimator`. ``test_cfg['scale']``:
            ``'window'`` (default, as published) predicts the scale of each sliding window by
            itself, so windows may disagree; ``'image'`` takes the scale of the whole image, seen
            once more at the size of a window, for all of them.

    Raises:
        ValueError: If ``test_cfg['scale']`` is unknown.
    """

    TEST_OPTIONS = (*DepthEstimator.TEST_OPTIONS, 'scale')

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.test_cfg.setdefault('scale', 'window')
        if self.test_cfg['scale'] not in ('window', 'image'):
            raise ValueError(
                f"model.test_cfg.scale is 'window' or 'image', got {self.test_cfg['scale']!r}",
            )
        self._shared_scale: Tensor | None = None

    def _infer(self, inputs: Tensor, data_samples: list[DepthDataSample]) -> Tensor:
        if self.test_cfg['mode'] == 'slide' and self.test_cfg['scale'] == 'image':
            self._shared_scale = self._whole_scale(inputs)
        try:
            return super()._infer(inputs, data_samples)
        finally:
            self._shared_scale = None

    def _whole_scale(self, inputs: Tensor) -> Tensor:
        """Return the scale (N, 1) in metres of the whole image, shrunk to fit a window."""
        height, width = inputs.shape[-2:]
        window_height, window_width = self.test_cfg['crop_size']
        factor = min(1.0, window_height / height, window_width / width)
        # 32 is the coarsest stride of the backbone.
        size = (max(round(height * factor), 32), max(round(width * factor), 32))
        small = F.interpolate(
            inputs,
            size=size,
            mode='bilinear',
            align_corners=False,
            antialias=True,
        )
        return self.decode_head(self.extract_feat(small))['scale']

    def predict_depth(
        self,
        inputs: Tensor,
        data_samples: list[DepthDataSample] | None = None,
    ) -> Tensor:
        """Return depth (N, 1, H, W) in metres; a shared scale replaces the predicted one."""
        if self._shared_scale is None:
            return super().predict_depth(inputs, data_samples)
        outputs = self.decode_head(self.extract_feat(inputs), data_samples)
        relative = outputs['relative_depth'].float()
        # A batch may hold several windows of each image, and mirrored copies of them; all take the
        # scale of their image.
        scale = self._shared_scale.repeat(len(inputs) // len(self._shared_scale), 1)
        depth = self.decode_head.resize(relative * scale[:, :, None, None], inputs.shape[-2:])
        return self.to_metres(depth, data_samples)
