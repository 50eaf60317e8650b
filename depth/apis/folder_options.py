"""Options of a config for a folder: pipelines, data loaders, schedule and depth range."""

import copy
import math
from typing import Any

from mmengine.config import Config

from depth.data_tools.own_data import FolderPlan
from depth.engine.batch_size import ITERATION_ARGUMENTS, rate_factor
from depth.engine.config_ranges import parts_of_dataset
from depth.engine.config_references import referenced_names
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data

# Transforms that read another data set's files, or cut its images as only it needs it.
READING = frozenset(
    'LoadImage LoadDepth LoadVelodyneDepth LoadNYUH5 LoadNormals NYUCrop KBCrop'.split()
)
RESIZING = frozenset('Resize ResizeShortSide ResizeThenSnap RandomScale FitToCanvas'.split())
LARGEST_CROP = (416, 544)  # height, width, for methods that train on whole images of their own size
CROP_STEPS = (32, 14)  # pixels: the sides of crops are whole strides, or patches of DINOv2
PASSES, LEAST_ITERS, MOST_ITERS = 60, 600, 10000
VALIDATIONS = 10


class FolderOptions:
    """Values that a config for a folder sets differently from the config that it inherits from.

    Args:
        plan: What the folder is.
        cfg: Inherited config.
        unresolved: The same with its references.
    """

    def __init__(self, plan: FolderPlan, cfg: Config, unresolved: Config) -> None:
        self.plan, self.cfg, self.unresolved = plan, cfg, unresolved
        self.variables = referenced_names(unresolved)
        self.batch = min(cfg.train_dataloader.get('batch_size', 1), len(plan.stems['train']))
        passes = math.ceil(PASSES * len(plan.stems['train']) / self.batch)
        self.iters = min(max(passes, LEAST_ITERS), MOST_ITERS)
        _, dataset = next(
            iter(parts_of_dataset('train_dataloader.dataset', cfg.train_dataloader.dataset))
        )
        self.dataset = dataset

    @property
    def is_for_folders(self) -> bool:
        """Whether the inherited config has the pipelines and evaluators of a folder already."""
        variables = {'crop_size', 'train_root', 'val_root', 'max_depth'}
        return self.dataset.type == 'FolderDepthDataset' and variables <= self.variables

    def values(self) -> dict[str, Any]:
        """Return the variables of the config in their order."""
        values: dict[str, Any] = dict(max_depth=float(self.plan.max_depth))
        if self.cfg.get('min_depth') is None:
            values['min_depth'] = 1e-3
        model = self._model_options()
        if model:
            values['model'] = model
        if self.is_for_folders:
            values['crop_size'] = self._crop_size(self.cfg.crop_size)
        values |= self._schedule()
        values |= self._data()
        return values

    def _model_options(self) -> dict:
        """Return a head's depth range where it states numbers, and the slide inference's window."""
        options: dict[str, Any] = {}
        if 'max_depth' not in self.variables:
            head = self.cfg.model.get('decode_head') or {}
            bounds = {}
            for name in ('min_depth', 'max_depth'):
                if head.get(name) is not None:
                    bounds[name] = f'${{{name}}}'
            if bounds:
                options['decode_head'] = bounds
        test_cfg = self.cfg.model.get('test_cfg') or {}
        if test_cfg.get('mode') == 'slide':
            options['test_cfg'] = dict(crop_size=self._crop_size(test_cfg['crop_size']))
        return options

    def _schedule(self) -> dict:
        """Return length, intervals, schedulers and rate of the training."""
        interval = max(self.iters // VALIDATIONS, 1)
        values: dict[str, Any] = {}
        train_cfg: dict[str, Any] = {}
        if 'max_iters' in self.variables:
            values['max_iters'] = self.iters
        else:
            train_cfg['max_iters'] = self.iters
        if 'val_interval' in self.variables:
            values['val_interval'] = interval
        else:
            train_cfg['val_interval'] = interval
        if train_cfg:
            values['train_cfg'] = train_cfg
        values['default_hooks'] = dict(checkpoint=dict(interval=interval))
        schedulers = self._schedulers()
        if schedulers is not None:
            values['param_scheduler'] = schedulers
        published = (self.cfg.get('auto_scale_lr') or {}).get('base_batch_size')
        optimizer = self.cfg.optim_wrapper.get('optimizer') or {}
        if published and published != self.batch:
            # The recipe's rate is for its own batch; square root rule for Adam, linear for SGD.
            factor = rate_factor(optimizer.get('type'), self.batch / published)
            if factor is not None:
                rate = float(f'{optimizer["lr"] * factor:.3g}')
                values['optim_wrapper'] = dict(optimizer=dict(lr=rate))
            values['auto_scale_lr'] = dict(base_batch_size=self.batch)
        return values

    def _schedulers(self) -> list | None:
        """Return the schedulers with scaled iterations; None if all follow ``max_iters``."""
        schedulers = copy.deepcopy(self.unresolved.get('param_scheduler') or [])
        is_single = isinstance(schedulers, dict)
        scaled, changed = [], False
        for scheduler in [schedulers] if is_single else schedulers:
            scheduler = dict(scheduler)
            for name in ITERATION_ARGUMENTS.get(scheduler.get('type'), ()):
                value = scheduler.get(name)
                share = self.iters / self.cfg.train_cfg.max_iters
                if isinstance(value, int) and value > 1:
                    scheduler[name] = max(math.ceil(value * share), 1)
                elif isinstance(value, list | tuple):
                    scheduler[name] = [max(math.ceil(item * share), 1) for item in value]
                changed = changed or scheduler.get(name) != value
            scaled.append(scheduler)
        return scaled if changed else None

    def _data(self) -> dict:
        """Return pipelines, data loaders and evaluators."""
        plan = self.plan
        common = dict(
            type='FolderDepthDataset',
            data_prefix=dict(img_path=plan.image_folder, depth_path=plan.depth_folder),
            depth_scale=plan.depth_scale,
            min_depth='${min_depth}',
            max_depth='${max_depth}',
        )
        if self.is_for_folders:
            del common['type'], common['min_depth'], common['max_depth']
            values: dict[str, Any] = {}
            for split in ('train', 'val', 'test'):
                dataset = dict(data_root=str(plan.roots[split]), ann_file=None, **common)
                values[f'{split}_dataloader'] = dict(dataset=dataset)
            values['train_dataloader'] = dict(batch_size=self.batch, **values['train_dataloader'])
            return values
        values = {}
        pipeline = self._train_pipeline()
        for transform in pipeline:
            if transform['type'] == 'RandomCrop':
                values['crop_size'] = tuple(transform['crop_size'])
                transform['crop_size'] = '${crop_size}'
        values |= dict(train_pipeline=pipeline, test_pipeline=self._test_pipeline())
        for split in ('train', 'val', 'test'):
            dataset = dict(_delete_=True, data_root=str(plan.roots[split]), ann_file=None, **common)
            batch_size = self.batch
            pipeline = '${train_pipeline}'
            if split != 'train':
                dataset['test_mode'] = True
                batch_size, pipeline = 1, '${test_pipeline}'
            dataset['pipeline'] = pipeline
            values[f'{split}_dataloader'] = dict(batch_size=batch_size, dataset=dataset)
        for split in ('val', 'test'):
            values[f'{split}_evaluator'] = dict(
                _delete_=True, type='DepthMetric', protocol='folder', max_depth='${max_depth}'
            )
        return values

    def _train_pipeline(self) -> list[dict]:
        """Return the method's augmentation for the folder, with a crop that all images have."""
        pipeline = [dict(type='LoadImage'), dict(type='LoadDepth')]
        pipeline += self._own_transforms(self.dataset['pipeline'])
        names = [transform['type'] for transform in pipeline]
        if RESIZING & set(names):
            return pipeline
        if 'RandomCrop' in names:
            crop = pipeline[names.index('RandomCrop')]
            crop['crop_size'] = self._crop_size(crop['crop_size'])
        elif self.dataset.get('image_size'):
            # A method for small rendered images; its own size only tells the step.
            size = self._crop_size(LARGEST_CROP, step=crop_step(self.dataset.image_size))
            pipeline.insert(names.index('PackDepthInputs'), dict(type='RandomCrop', crop_size=size))
        elif not self.plan.has_one_size:
            size = self._crop_size(self.plan.image_size, step=1)
            pipeline.insert(names.index('PackDepthInputs'), dict(type='RandomCrop', crop_size=size))
        return pipeline

    def _test_pipeline(self) -> list[dict]:
        """Return the method's test pipeline for files of the folder."""
        loader = self.cfg.get('val_dataloader') or self.cfg.test_dataloader
        _, dataset = next(iter(parts_of_dataset('val_dataloader.dataset', loader.dataset)))
        pipeline = [dict(type='LoadImage'), dict(type='LoadDepth')]
        return pipeline + self._own_transforms(dataset['pipeline'])

    @staticmethod
    def _own_transforms(pipeline: list) -> list[dict]:
        """Return the transforms that do not belong to another data set's files."""
        return [
            config_to_data(Config(dict(item=transform)))['item']
            for transform in pipeline
            if transform['type'] not in READING
        ]

    def _crop_size(self, limit: tuple[int, int], step: int | None = None) -> tuple[int, int]:
        """Return the largest crop of whole steps within the smallest image and the method's crop.

        Raises:
            ConfigError: If the images are smaller than a step.
        """
        step = step or crop_step(limit)
        size = []
        for side, most in zip(self.plan.image_size, limit, strict=True):
            size.append(min(side, most) // step * step)
        if not min(size):
            height, width = self.plan.image_size
            raise ConfigError(
                f'images of {height}x{width} pixels are too small for this method: {step} a side '
                'is the least'
            )
        return tuple(size)


def crop_step(crop_size: tuple[int, int]) -> int:
    """Return of which number both sides of a method's crop are multiples: stride, patch or 1."""
    for step in CROP_STEPS:
        if not any(side % step for side in crop_size):
            return step
    return 1
