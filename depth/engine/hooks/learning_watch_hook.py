"""Hook that detects trainings without ground truth or without progress."""

import copy

import numpy as np
import torch
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from depth.evaluation import DepthMetric, MixedDepthMetric
from depth.evaluation.baselines import best_constant, mean_abs_rel
from depth.models.estimators import DepthEstimator
from depth.registry import HOOKS
from depth.sharded_tensors import local_tensor
from depth.structures import RELATIVE_FIELDS, DepthDataSample

from ..distributed import unwrap_model
from ..errors import NothingToLearnError
from ..loops import preserved_random_state
from ..sharding import gathered

# A crop of a valid sample can lack ground truth by chance; this many samples in a row hardly do.
FEWEST_SAMPLES = 4
LABELS = ('gt_depth', *RELATIVE_FIELDS)
# Pixels of each validation image that are compared with a constant depth.
PIXELS_PER_IMAGE = 4096


@HOOKS.register_module()
class LearningWatchHook(Hook):
    """Stop a training without ground truth, and warn once of each sign that it does not learn.

    - No sample of a data set has a valid pixel: an error after ``no_depth_after`` iterations, at
      the first validation and at the end of the training.
    - The loss is the same number, or no weight has changed, for ``still_after`` iterations: a
      warning.
    - The prediction is the same depth everywhere: a warning after ``constant_after`` iterations and
      at validations.
    - At the first validation after ``baseline_after`` iterations, or the last one, abs_rel is no
      better than that of the best constant depth: a warning. Images whose predictions the protocol
      aligns do not count, because their own unit means nothing.

    Pixels are no longer counted once every data set has shown a valid one; the other checks run
    once each.

    Args:
        no_depth_after: Iterations after which a data set without any valid pixel is an error.
        still_after: Iterations in which the loss and the weights must have changed.
        constant_after: Iterations after which the prediction must vary.
        constant_spread: Standard deviation of the prediction over its mean, below which it counts
            as constant.
        baseline_after: Iterations after which the model must beat the best constant.

    Raises:
        ValueError: If an argument is not positive.
    """

    priority = 'LOW'  # after the log has fetched the losses

    def __init__(
        self,
        no_depth_after: int = 50,
        still_after: int = 100,
        constant_after: int = 200,
        constant_spread: float = 1e-5,
        baseline_after: int = 1000,
    ) -> None:
        numbers = dict(
            no_depth_after=no_depth_after,
            still_after=still_after,
            constant_after=constant_after,
            constant_spread=constant_spread,
            baseline_after=baseline_after,
        )
        for name, value in numbers.items():
            if not value > 0:
                raise ValueError(f'LearningWatchHook.{name} must be positive, got {value!r}')
        self.no_depth_after, self.still_after, self.constant_after = (
            no_depth_after,
            still_after,
            constant_after,
        )
        self.constant_spread, self.baseline_after = constant_spread, baseline_after
        self.samples_without_depth: dict[str, int] = {}
        self.sets_with_depth: set[str] = set()
        self.example: str | None = None  # path of a sample without depth
        self.warned_topics: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Record the weights at the start."""
        self.first_iter = runner.iter
        self.start = _fingerprint(unwrap_model(runner))

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Count valid pixels of the batch; at their iterations, check losses, weights and depth."""
        self._count_depth(runner, data_batch)
        num_iters = runner.iter + 1 - self.first_iter
        if num_iters % self.no_depth_after == 0:
            self._check_depth(runner)
        if num_iters == self.still_after:
            self._check_movement(runner)
        if num_iters == self.constant_after:
            self._check_spread(runner, _predict(runner, data_batch), 'the last training batch')

    def before_val(self, runner: Runner) -> None:
        """Check that the model was trained on valid pixels."""
        self._check_depth(runner)

    def after_train(self, runner: Runner) -> None:
        """Check the ground truth of a training that was shorter than ``no_depth_after``."""
        self._check_depth(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Start collecting predictions and ground truth."""
        self.pixels: list[tuple[np.ndarray, np.ndarray]] = []
        self.predictions: list[Tensor] = []

    def after_val_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: list | None = None,
    ) -> None:
        """Store a few pixels of each image."""
        for sample in outputs or []:
            self.predictions.append(_subsample(sample.pred_depth.float().reshape(-1)))
            is_comparable = (
                'gt_depth' in sample and sample.gt_depth.shape == sample.pred_depth.shape
            )
            if is_comparable and self._is_baseline_due(runner) and _is_in_metres(runner, sample):
                self.pixels.append(_scored_pixels(sample))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Check the spread of the predictions and their error."""
        if runner.iter > 0 and self.predictions:
            self._check_spread(runner, torch.cat(self.predictions), 'the validation images')
        if self._is_baseline_due(runner) and self.pixels:
            self._check_baseline(runner)
        self.pixels, self.predictions = [], []

    def _count_depth(self, runner: Runner, data_batch: dict | None) -> None:
        """Count the samples of each data set that has not shown a valid pixel yet."""
        model = unwrap_model(runner)
        if not isinstance(model, DepthEstimator) or not model.needs_depth:
            return
        for sample in (data_batch or {}).get('data_samples') or []:
            name = sample.metainfo.get('dataset', 'the training set')
            if name in self.sets_with_depth or 'gt_depth' not in sample:
                continue
            labels = [sample.get(field) for field in LABELS if field in sample]
            if any(bool((label > 0).any()) for label in labels):
                self.sets_with_depth.add(name)
                self.samples_without_depth.pop(name, None)
            else:
                self.samples_without_depth[name] = self.samples_without_depth.get(name, 0) + 1
                self.example = sample.metainfo.get('depth_path', sample.metainfo.get('img_path'))

    def _check_depth(self, runner: Runner) -> None:
        """Stop if a data set has no ground truth; all processes call it in the same iteration.

        Raises:
            NothingToLearnError: If none of its samples had a valid pixel.
        """
        counts, example = self.samples_without_depth, self.example
        if is_distributed():
            counts, example = self._shared_counts()
        for name, count in counts.items():
            if count >= FEWEST_SAMPLES:
                raise NothingToLearnError(
                    f'none of the {count} training samples of {name!r} so far has a valid depth, '
                    f'the last was {example}. '
                    f'depth_scale{_scale(runner.train_dataloader.dataset, name)} turns stored '
                    'integers into metres, stored zeros count as no ground truth; look at the data '
                    'with python tools/analysis_tools/check_dataset.py CONFIG'
                )

    def _shared_counts(self) -> tuple[dict[str, int], str | None]:
        """Return the counts over all processes and an example, so that all stop together."""
        entries: list = [None] * torch.distributed.get_world_size()
        own_entry = (self.samples_without_depth, self.sets_with_depth, self.example)
        torch.distributed.all_gather_object(entries, own_entry)
        for _, sets_with_depth, _ in entries:
            self.sets_with_depth = self.sets_with_depth | sets_with_depth
        totals: dict[str, int] = {}
        first_example = None
        for counts, _, example in entries:
            first_example = first_example or example
            for name, count in counts.items():
                if name not in self.sets_with_depth:
                    totals[name] = totals.get(name, 0) + count
        return totals, first_example

    def _check_movement(self, runner: Runner) -> None:
        """Warn if the loss or the weights have not changed since the start."""
        losses, _ = runner.message_hub.get_scalar('train/loss').data
        losses = losses[-self.still_after :]
        spread = float(losses.max() - losses.min())
        if spread <= 1e-6 * max(abs(float(losses.mean())), 1e-6):
            self._warn_once(
                runner,
                'loss',
                f'the loss has been {float(losses[-1]):.6g} in all of the last {len(losses)} '
                'iterations: look at the ground truth (valid pixels), at the loss and at the head '
                '(is its output constant?)',
            )
        if _fingerprint(unwrap_model(runner)) == self.start:
            rates = {name: values[0] for name, values in runner.optim_wrapper.get_lr().items()}
            self._warn_once(
                runner,
                'weights',
                f'no weight has changed in {self.still_after} iterations: look at the learning '
                f'rate (now {rates}), at frozen parameters and at skipped steps',
            )

    def _check_spread(self, runner: Runner, depth: Tensor, source: str) -> None:
        """Warn if the predicted depth of the images of ``source`` is the same everywhere."""
        mean, spread = float(depth.mean()), float(depth.std(correction=0))
        if spread <= self.constant_spread * abs(mean):
            self._warn_once(
                runner,
                'constant',
                f'the prediction is {mean:.4g} m everywhere on {source} (standard deviation '
                f'{spread:.2g} m): the head is dead or saturated. Look at its last layer, start it '
                'with DepthBiasInitHook, lower the learning rate',
            )

    def _is_baseline_due(self, runner: Runner) -> bool:
        if runner.iter == 0 or 'baseline' in self.warned_topics:
            return False
        return runner.iter >= min(self.baseline_after, runner.max_iters)

    def _check_baseline(self, runner: Runner) -> None:
        """Warn if abs_rel is no better than that of the best constant depth."""
        # Images (N, 1, L) of one row, padded with 0, which counts as no ground truth.
        length = max(len(image_gt) for _, image_gt in self.pixels)
        pred = np.zeros((len(self.pixels), 1, length), np.float32)
        gt_depth = np.zeros_like(pred)
        for index, (image_pred, image_gt) in enumerate(self.pixels):
            pred[index, 0, : len(image_pred)] = image_pred
            gt_depth[index, 0, : len(image_gt)] = image_gt
        if not (gt_depth > 0).any():
            return
        constant = best_constant(gt_depth)
        baseline = mean_abs_rel(np.full((1, length), constant, np.float32), gt_depth)
        errors = []
        for image_pred, image_gt in zip(pred, gt_depth, strict=True):
            if (image_gt > 0).any():
                errors.append(mean_abs_rel(image_pred, image_gt[None]))
        error = float(np.mean(errors))
        if error >= baseline:
            self._warn_once(
                runner,
                'baseline',
                f'after {runner.iter} iterations abs_rel on the validation images is {error:.4g}, '
                f'no better than {baseline:.4g} of the constant {constant:.4g} m: look at '
                'depth_scale of both sets, at the learning rate, and at the pairs of image and '
                'depth (tools/analysis_tools/check_dataset.py)',
            )

    def _warn_once(self, runner: Runner, topic: str, text: str) -> None:
        if topic not in self.warned_topics:
            self.warned_topics.add(topic)
            runner.logger.warning(text)


def _fingerprint(model: nn.Module) -> list[float]:
    """Return the absolute sum of each trainable weight, or of this process's piece of it."""
    sums = []
    for parameter in model.parameters():
        if parameter.requires_grad:
            sums.append(local_tensor(parameter).detach().double().abs().sum())
    return torch.stack(sums).tolist() if sums else []


def _predict(runner: Runner, data_batch: dict) -> Tensor:
    """Return depths (L,), metres, of a batch's first two images; no effect on the training."""
    model = unwrap_model(runner)
    samples = copy.deepcopy(list(data_batch['data_samples'])[:2])
    batch = dict(inputs=list(data_batch['inputs'])[:2], data_samples=samples)
    with preserved_random_state(), torch.no_grad(), gathered(model):
        model.eval()
        try:
            outputs = model.val_step(batch)
        finally:
            model.train()
    return torch.cat([_subsample(sample.pred_depth.float().reshape(-1)) for sample in outputs])


def _subsample(values: Tensor) -> Tensor:
    """Return about ``PIXELS_PER_IMAGE`` of the values, evenly spread."""
    return values[:: max(1, len(values) // PIXELS_PER_IMAGE)]


def _scored_pixels(sample: DepthDataSample) -> tuple[np.ndarray, np.ndarray]:
    """Return prediction and ground truth of a subsample of the valid pixels, in metres."""
    gt_depth = sample.gt_depth.to(sample.pred_depth.device).reshape(-1)
    pred = sample.pred_depth.float().reshape(-1)
    near, far = (
        sample.metainfo.get('min_depth', 0.0),
        sample.metainfo.get('max_depth', float('inf')),
    )
    valid = (gt_depth > near) & (gt_depth <= far)
    return _subsample(pred[valid]).cpu().numpy(), _subsample(gt_depth[valid]).cpu().numpy()


def _is_in_metres(runner: Runner, sample: DepthDataSample) -> bool:
    """Return whether a prediction is scored as it is, in metres."""
    if sample.metainfo.get('prediction_type', 'metric') != 'metric':
        return False
    for metric in runner.val_loop.evaluator.metrics:
        if isinstance(metric, MixedDepthMetric):
            metric = metric.metrics.get(sample.metainfo.get('dataset'))
        if isinstance(metric, DepthMetric):
            # Relative labels teach neither scale nor shift, even to a head that has a depth range.
            return metric.protocol.alignment == 'none'
    return True


def _scale(dataset: object, name: str) -> str:
    """Return ``=1000`` for a data set whose scale is known, nothing otherwise."""
    for member in getattr(dataset, 'datasets', [dataset]):
        member_name = getattr(member, 'metainfo', {}).get('dataset_name')
        if member_name == name and hasattr(member, 'depth_scale'):
            return f'={member.depth_scale:g}'
    return ''
