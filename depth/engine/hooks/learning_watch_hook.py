"""Watch over a training that runs without an error but does not learn."""

import copy

import numpy as np
import torch
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn

from depth.evaluation.baselines import best_constant, mean_abs_rel
from depth.models.estimators import DepthEstimator
from depth.registry import HOOKS
from depth.structures import DepthDataSample

from ..distributed import unwrap_model
from ..errors import NothingToLearnError
from ..loops import preserved_random_state

FEWEST_SAMPLES = 4  # so many without a valid pixel are no accident of a crop
PIXELS_PER_IMAGE = 4096  # sampled of each validation image for the comparison with a constant


@HOOKS.register_module()
class LearningWatchHook(Hook):
    """Say, once each, that a training has no ground truth or does not learn.

    - No sample of a data set has a valid pixel: an error after ``no_depth_after`` iterations, at the first validation
      and at the end of the training.
    - The loss is the same number, or no weight has changed, for ``still_after`` iterations: a warning.
    - The prediction is the same depth everywhere: a warning after ``constant_after`` iterations and at validations.
    - At the first validation after ``baseline_after`` iterations, or the last, abs_rel is no better than that of the
      best constant depth: a warning.

    Looking costs nothing once every data set has shown a valid pixel; the others run once.

    Args:
        no_depth_after: Iterations after which a data set without any valid pixel is an error.
        still_after: Iterations in which the loss and the weights must have moved.
        constant_after: Iterations after which the prediction must vary.
        constant_spread: Standard deviation of the prediction over its mean, below which it counts as constant.
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
        self.no_depth_after, self.still_after, self.constant_after = no_depth_after, still_after, constant_after
        self.constant_spread, self.baseline_after = constant_spread, baseline_after
        self.samples_without_depth: dict[str, int] = {}
        self.sets_with_depth: set[str] = set()
        self.example: str | None = None  # path of a sample without depth
        self.said: set[str] = set()

    def before_train(self, runner: Runner) -> None:
        """Remember where the weights start."""
        self.first_iter = runner.iter
        self.start = _fingerprint(unwrap_model(runner))

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: dict | None = None
    ) -> None:
        """Look at the ground truth of the batch and, when it is time, at losses, weights and prediction."""
        self._count_depth(runner, data_batch)
        done = runner.iter + 1 - self.first_iter
        if done % self.no_depth_after == 0:
            self._check_depth(runner)
        if done == self.still_after:
            self._check_movement(runner)
        if done == self.constant_after:
            self._check_spread(runner, _predict(runner, data_batch), 'the last training batch')

    def before_val(self, runner: Runner) -> None:
        """See that what will be measured was trained on something."""
        self._check_depth(runner)

    def after_train(self, runner: Runner) -> None:
        """Look at the ground truth of a training that was shorter than ``no_depth_after``."""
        self._check_depth(runner)

    def before_val_epoch(self, runner: Runner) -> None:
        """Start collecting predictions and ground truth."""
        self.pixels: list[tuple[np.ndarray, np.ndarray]] = []
        self.predictions: list[Tensor] = []

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: list | None = None
    ) -> None:
        """Keep a few pixels of each image."""
        for sample in outputs or []:
            self.predictions.append(_sampled(sample.pred_depth.float().reshape(-1)))
            is_metric = sample.metainfo.get('prediction_type', 'metric') == 'metric'
            is_comparable = 'gt_depth' in sample and sample.gt_depth.shape == sample.pred_depth.shape
            if is_metric and is_comparable and self._wants_baseline(runner):
                self.pixels.append(_scored_pixels(sample))

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Look at the spread of the predictions and at their error."""
        if runner.iter > 0 and self.predictions:
            self._check_spread(runner, torch.cat(self.predictions), 'the validation images')
        if self._wants_baseline(runner) and self.pixels:
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
            if bool((sample.gt_depth > 0).any()):
                self.sets_with_depth.add(name)
                self.samples_without_depth.pop(name, None)
            else:
                self.samples_without_depth[name] = self.samples_without_depth.get(name, 0) + 1
                self.example = sample.metainfo.get('depth_path', sample.metainfo.get('img_path'))

    def _check_depth(self, runner: Runner) -> None:
        """Stop if a data set had nothing to learn from; all processes come here in the same iteration.

        Raises:
            NothingToLearnError: If none of its samples had a valid pixel.
        """
        counts, example = self.samples_without_depth, self.example
        if is_distributed():
            counts, example = self._shared_counts()
        for name, count in counts.items():
            if count >= FEWEST_SAMPLES:
                raise NothingToLearnError(
                    f'none of the {count} training samples of {name!r} so far has a valid depth, the last was '
                    f'{example}. depth_scale{_scale(runner.train_dataloader.dataset, name)} turns stored integers into '
                    'metres, stored zeros count as no ground truth; look at the data with '
                    'python tools/analysis_tools/check_dataset.py CONFIG'
                )

    def _shared_counts(self) -> tuple[dict[str, int], str | None]:
        """Return the counts of all processes together, so that they stop together."""
        everyone: list = [None] * torch.distributed.get_world_size()
        own = (self.samples_without_depth, self.sets_with_depth, self.example)
        torch.distributed.all_gather_object(everyone, own)
        self.sets_with_depth = set().union(*(sets for _, sets, _ in everyone))
        totals: dict[str, int] = {}
        for counts, _, _ in everyone:
            for name, count in counts.items():
                if name not in self.sets_with_depth:
                    totals[name] = totals.get(name, 0) + count
        return totals, next((example for _, _, example in everyone if example), None)

    def _check_movement(self, runner: Runner) -> None:
        losses, _ = runner.message_hub.get_scalar('train/loss').data
        losses = losses[-self.still_after :]
        spread = float(losses.max() - losses.min())
        if spread <= 1e-6 * max(abs(float(losses.mean())), 1e-6):
            self._say(
                runner,
                'loss',
                f'the loss has been {float(losses[-1]):.6g} in all of the last {len(losses)} iterations: look at the '
                'ground truth (valid pixels), at the loss and at the head (is its output constant?)',
            )
        if _fingerprint(unwrap_model(runner)) == self.start:
            rates = {name: values[0] for name, values in runner.optim_wrapper.get_lr().items()}
            self._say(
                runner,
                'weights',
                f'no weight has changed in {self.still_after} iterations: look at the learning rate (now {rates}), at '
                'frozen parameters and at skipped steps',
            )

    def _check_spread(self, runner: Runner, depth: Tensor, place: str) -> None:
        mean, spread = float(depth.mean()), float(depth.std(correction=0))
        if spread <= self.constant_spread * abs(mean):
            self._say(
                runner,
                'constant',
                f'the prediction is {mean:.4g} m everywhere on {place} (standard deviation {spread:.2g} m): the head '
                'is dead or saturated. Look at its last layer, start it with DepthBiasInitHook, lower the learning '
                'rate',
            )

    def _wants_baseline(self, runner: Runner) -> bool:
        if runner.iter == 0 or 'baseline' in self.said:
            return False
        return runner.iter >= min(self.baseline_after, runner.max_iters)

    def _check_baseline(self, runner: Runner) -> None:
        width = max(len(gt) for _, gt in self.pixels)
        pred, gt_depth = (np.zeros((len(self.pixels), 1, width), np.float32) for _ in range(2))
        for row, (own_pred, own_gt) in enumerate(self.pixels):
            pred[row, 0, : len(own_pred)], gt_depth[row, 0, : len(own_gt)] = own_pred, own_gt
        if not (gt_depth > 0).any():
            return
        constant = best_constant(gt_depth)
        baseline = mean_abs_rel(np.full((1, width), constant, np.float32), gt_depth)
        error = float(np.mean([mean_abs_rel(*pair) for pair in _with_depth(pred, gt_depth)]))
        if error >= baseline:
            self._say(
                runner,
                'baseline',
                f'after {runner.iter} iterations abs_rel on the validation images is {error:.4g}, no better than '
                f'{baseline:.4g} of the constant {constant:.4g} m: look at depth_scale of both sets, at the learning '
                'rate, and at the pairs of image and depth (tools/analysis_tools/check_dataset.py)',
            )

    def _say(self, runner: Runner, topic: str, text: str) -> None:
        if topic not in self.said:
            self.said.add(topic)
            runner.logger.warning(text)


def _fingerprint(model: nn.Module) -> list[float]:
    """Return a number for each trained weight that changes with it."""
    sums = [parameter.detach().double().abs().sum() for parameter in model.parameters() if parameter.requires_grad]
    return torch.stack(sums).tolist() if sums else []


def _predict(runner: Runner, data_batch: dict) -> Tensor:
    """Return depth (K,) in metres of a training batch's first images; the training does not notice."""
    model = unwrap_model(runner)
    samples = copy.deepcopy(list(data_batch['data_samples'])[:2])
    batch = dict(inputs=list(data_batch['inputs'])[:2], data_samples=samples)
    with preserved_random_state(), torch.no_grad():
        model.eval()
        try:
            outputs = model.val_step(batch)
        finally:
            model.train()
    return torch.cat([_sampled(sample.pred_depth.float().reshape(-1)) for sample in outputs])


def _sampled(values: Tensor) -> Tensor:
    """Return about ``PIXELS_PER_IMAGE`` of the values, evenly spread."""
    return values[:: max(1, len(values) // PIXELS_PER_IMAGE)]


def _scored_pixels(sample: DepthDataSample) -> tuple[np.ndarray, np.ndarray]:
    """Return prediction and ground truth of a few valid pixels, in metres; ground truth of 0 does not count."""
    gt_depth = sample.gt_depth.to(sample.pred_depth.device).reshape(-1)
    pred = sample.pred_depth.float().reshape(-1)
    near, far = sample.metainfo.get('min_depth', 0.0), sample.metainfo.get('max_depth', float('inf'))
    valid = (gt_depth > near) & (gt_depth <= far)
    return _sampled(pred[valid]).cpu().numpy(), _sampled(gt_depth[valid]).cpu().numpy()


def _with_depth(pred: np.ndarray, gt_depth: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the pairs of maps (1, L) and (1, 1, L) that have ground truth."""
    return [(own, gt[None]) for own, gt in zip(pred, gt_depth, strict=True) if (gt > 0).any()]


def _scale(dataset: object, name: str) -> str:
    """Return ``=1000`` for a data set whose scale is known, nothing otherwise."""
    for part in getattr(dataset, 'datasets', [dataset]):
        if getattr(part, 'metainfo', {}).get('dataset_name') == name and hasattr(part, 'depth_scale'):
            return f'={part.depth_scale:g}'
    return ''
