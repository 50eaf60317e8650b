"""Calibration of a checkpoint to a camera: predictions of labelled images, fit and storage."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

from depth.calibration import DepthCalibration, fit_calibration
from depth.engine.checkpoint import load_checkpoint_file, save_atomically
from depth.engine.config import open_config
from depth.engine.errors import ConfigError
from depth.integrity import check_predictions
from depth.registry import DATASETS

from .inference import init_model

PIXELS_PER_IMAGE = 10_000


@dataclass(frozen=True)
class CalibrationResult:
    """A calibration with the cross-validated ``abs_rel`` of each kind that was tried.

    Attributes:
        calibration: The one that was chosen.
        abs_rel: Cross-validated error by kind; ``'none'`` is the error without calibration.
    """

    calibration: DepthCalibration
    abs_rel: dict[str, float]

    def table(self) -> str:
        """Return the errors as a table, and the chosen calibration below it."""
        lines = [f'{"calibration":<22} abs_rel (cross-validated)']
        for kind, error in self.abs_rel.items():
            mark = ' <- chosen' if kind == self.calibration.kind else ''
            lines.append(f'{kind:<22} {error:.4f}{mark}')
        return '\n'.join([*lines, self.calibration.describe()])


def calibrate(
    checkpoint: str | Path,
    out: str | Path,
    dataset_config: str | Path | Config | None = None,
    *,
    split: str = 'val',
    num_images: int = 20,
    kind: str = 'auto',
    device: str = 'cpu',
    cfg_options: dict | None = None,
    trusted_modules: Sequence[str] = (),
    progress: Callable[[Iterable], Iterable] = iter,
    seed: int = 0,
) -> CalibrationResult:
    """Fit a calibration to labelled images and write the checkpoint with it.

    The images are drawn from the data set without repetition. An earlier calibration of the
    checkpoint is replaced.

    Args:
        checkpoint: Checkpoint of a metric model, which carries its config.
        out: File of the calibrated checkpoint; may be ``checkpoint`` itself.
        dataset_config: Config whose data set has the labelled images, with the test pipeline of the
            model; by default the config of the checkpoint.
        split: ``'train'``, ``'val'`` or ``'test'``: the data loader that has them. Images that a
            calibration was fitted to must not be tested on.
        num_images: Number of images; fewer if the set has fewer.
        kind: ``'auto'`` or a key of :data:`depth.calibration.KINDS`.
        device: Device of the model.
        cfg_options: Values by dotted key that replace those of the data set's config.
        trusted_modules: See :func:`~depth.apis.init_model`.
        progress: Wraps the loop over images.
        seed: Of the choice of images and pixels, and of the bootstrap.

    Raises:
        ConfigError: If the config has no such data set.
        ValueError: If the model is not metric, the images are too few, or no calibration fits.
    """
    content = load_checkpoint_file(checkpoint)
    model = init_model(None, checkpoint, device, trusted_modules=trusted_modules)
    if model.prediction_type != 'metric':
        raise ValueError(
            f'{checkpoint} predicts {model.prediction_type}: its factor differs from image to '
            'image, so that no calibration holds for all; score it under an aligned protocol'
        )
    # The fit is made to what the network says, not to what an earlier calibration made of it.
    model.calibration = None
    cfg = open_config(dataset_config if dataset_config is not None else model.cfg, cfg_options)
    dataset = _build_dataset(cfg, split)
    generator = torch.Generator().manual_seed(seed)
    indices = torch.randperm(len(dataset), generator=generator)[:num_images].tolist()
    preds, targets, names = [], [], []
    for index in progress(indices):
        batch = model.data_preprocessor(pseudo_collate([dataset[index]]))
        with torch.inference_mode():
            sample = model(**batch, mode='predict')[0].to('cpu')
        name = str(sample.metainfo.get('img_path', index))
        check_predictions([sample], str(checkpoint), [name])
        if 'gt_depth' not in sample or sample.gt_depth.shape != sample.pred_depth.shape:
            raise ValueError(
                f'{name}: the test pipeline of the data set gives no ground truth of the size of '
                f'the prediction {tuple(sample.pred_depth.shape)}'
            )
        pred, target = _draw_pixels(sample.pred_depth, sample.gt_depth, generator)
        preds.append(pred)
        targets.append(target)
        names.append(name)
    calibration, errors = fit_calibration(
        torch.stack(preds), torch.stack(targets), kind, names, seed=seed
    )
    content['meta'] = dict(content['meta'], calibration=calibration.to_plain())
    save_atomically(content, out)
    return CalibrationResult(calibration, errors)


def _build_dataset(cfg: Config, split: str) -> Sequence:
    """Return the data set of a split, with the pipeline that gives samples ground truth."""
    loader = cfg.get(f'{split}_dataloader')
    if not loader:
        raise ConfigError(f'the config has no {split}_dataloader with labelled images')
    dataset = dict(loader['dataset'])
    if split == 'train':
        tested = cfg.get('val_dataloader') or cfg.get('test_dataloader')
        if not tested or 'pipeline' not in dataset:
            raise ConfigError(
                'train_dataloader has no data set that could be read with the pipeline of '
                'val_dataloader; take another split'
            )
        # Its own pipeline augments.
        dataset['pipeline'] = tested['dataset']['pipeline']
    return DATASETS.build(dataset)


def _draw_pixels(
    pred: torch.Tensor, gt_depth: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return prediction and truth of random labelled pixels, padded with zeros to equal length."""
    labelled = torch.nonzero(gt_depth.flatten() > 0).flatten()
    order = torch.randperm(len(labelled), generator=generator)[:PIXELS_PER_IMAGE]
    drawn = labelled[order]
    padding = PIXELS_PER_IMAGE - len(drawn)
    pair = []
    for depth in (pred, gt_depth):
        values = depth.flatten()[drawn].float()
        pair.append(torch.nn.functional.pad(values, (0, padding)))
    return pair[0], pair[1]
