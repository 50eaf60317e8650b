"""Hook that trains a student on the predictions of a frozen teacher, beside its ground truth.

Reference: Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531
"""

import copy
from collections.abc import Sequence

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from depth.models.data_preprocessor import DepthDataPreprocessor
from depth.models.estimators import DepthEstimator
from depth.models.losses.sample_losses import INVERSE_TYPES, SampleLoss
from depth.registry import HOOKS, MODELS
from depth.structures import DepthDataSample

from ..checkpoint import load_checkpoint_file, load_model_state
from ..config import load_config
from ..deployment import build_from_stored
from ..distributed import unwrap_model
from ..errors import ConfigError
from ..stored_config import config_from_data

METRIC_TYPES = ('metric', 'inverse_depth')


@HOOKS.register_module()
class DistillationHook(Hook):
    """Add a loss between the depth of the model that trains and that of a frozen teacher.

    The teacher sees the same augmented images, normalised as it needs them. It has no part in the
    model: its weights are not trained, not in the checkpoints and not needed to use the student.
    The loss is logged as ``loss_distillation``.

    Args:
        checkpoint: The teacher's weights.
        config: Its config; by default the one inside the checkpoint.
        loss: Config of a loss on (pred, target, mask). By default SILog between metric depths, and
            the scale-and-shift-invariant loss if one of both is relative.
        trusted_modules: Modules outside the toolbox that the checkpoint's config may import.

    Raises:
        ConfigError: If the checkpoint carries no config and none is given.
        ValueError: If the weights do not fit, or the model is no estimator with losses of its head.
    """

    priority = 'LOW'  # the average model of EMA is copied before

    def __init__(
        self,
        checkpoint: str,
        config: str | None = None,
        loss: dict | None = None,
        trusted_modules: Sequence[str] = (),
    ) -> None:
        self.checkpoint, self.config, self.loss = checkpoint, config, loss
        self.trusted_modules = tuple(trusted_modules)

    def before_train(self, runner: Runner) -> None:
        """Build the teacher and give the model its loss.

        Raises:
            ValueError: If the student has losses of its own.
        """
        student = unwrap_model(runner)
        has_own_losses = type(student).loss is not DepthEstimator.loss
        if not isinstance(student, DepthEstimator) or has_own_losses:
            raise ValueError(
                f'DistillationHook: {type(student).__name__} is no DepthEstimator with the losses '
                'of its head, so it takes no further loss'
            )
        teacher = self.build_teacher().to(next(student.parameters()).device)
        loss = DistillationLoss(teacher, student.data_preprocessor, self.loss)
        student.extra_losses['distillation'] = loss
        runner.logger.info(
            f'distillation: the teacher of {self.checkpoint} predicts {teacher.prediction_type}'
        )

    def build_teacher(self) -> nn.Module:
        """Return the teacher, frozen and in eval mode.

        Raises:
            ConfigError: If the checkpoint carries no config and none is named.
        """
        content = load_checkpoint_file(self.checkpoint)
        if self.config is not None:
            cfg = load_config(self.config)
        elif isinstance(content.get('meta'), dict) and content['meta'].get('cfg') is not None:
            cfg = config_from_data(content['meta']['cfg'], self.checkpoint, self.trusted_modules)
        else:
            raise ConfigError(
                f'DistillationHook: {self.checkpoint} carries no config; name one with config=...'
            )
        teacher = build_from_stored(cfg)
        load_model_state(teacher, content.get('state_dict', content), self.checkpoint)
        return teacher.requires_grad_(False).eval()


class DistillationLoss(SampleLoss):
    """Loss between the depth of a student and that of a frozen teacher.

    Args:
        teacher: Estimator; it does not become a part of this module.
        preprocessor: The student's, whose normalisation is undone for the teacher.
        loss: See :class:`DistillationHook`.
    """

    def __init__(
        self, teacher: nn.Module, preprocessor: DepthDataPreprocessor, loss: dict | None = None
    ) -> None:
        super().__init__()
        self._unregistered = _Unregistered(teacher, preprocessor)
        self.losses = nn.ModuleDict(
            dict(
                metric=MODELS.build(loss or dict(type='SILogLoss')),
                relative=MODELS.build(loss or dict(type='ScaleShiftInvariantLoss')),
            )
        )

    def forward(
        self,
        depth: Tensor,
        data_samples: Sequence[DepthDataSample],
        inputs: Tensor,
        prediction_type: str,
    ) -> Tensor:
        """Return the loss over all pixels for which the teacher's depth is inside of its range."""
        teacher, preprocessor = self._unregistered.teacher, self._unregistered.preprocessor
        with torch.no_grad():
            images = teacher.data_preprocessor.normalize_rgb(preprocessor.denormalize(inputs))
            target = teacher(images, list(data_samples), mode='tensor').float()
        mask = target > 0
        types = (prediction_type, teacher.prediction_type)
        if teacher.prediction_type == 'metric':
            near, far = teacher.depth_range
            if near is not None:
                mask = mask & (target > near)
            if far is not None:
                mask = mask & (target < far)
        is_inverse, is_inverse_target = (name in INVERSE_TYPES for name in types)
        if is_inverse != is_inverse_target:
            depth = 1 / depth.clamp(min=1e-3)
        kind = 'metric' if all(name in METRIC_TYPES for name in types) else 'relative'
        return self.losses[kind](depth, target, mask)


class _Unregistered:
    """Modules that no other module takes for its own, and that copies of it share."""

    def __init__(self, teacher: nn.Module, preprocessor: nn.Module) -> None:
        self.teacher, self.preprocessor = teacher, preprocessor

    def __deepcopy__(self, memo: dict) -> '_Unregistered':
        return copy.copy(self)
