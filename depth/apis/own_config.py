"""Config of a training on a folder: the method of a shipped config or checkpoint, the folder's data.

The config that is written inherits from the method's and replaces its data, depth range and schedule.
"""

import copy
import json
import keyword
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from depth.atomic_write import write_atomically
from depth.data_tools.own_data import FolderPlan
from depth.engine.batch_size import ITERATION_ARGUMENTS, rate_factor
from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.config import find_config, load_config, without_pretrained
from depth.engine.config_check import check_config
from depth.engine.config_ranges import parts_of_dataset
from depth.engine.config_references import referenced_names
from depth.engine.converters.convert import identify_published, shipped_configs
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data
from depth.shipped_configs import shipped_root

from .inference import config_from_checkpoint

DEFAULT_MODEL = 'densedepth_r18_folder'
# Transforms that read another data set's files, or cut its images as only it needs it.
READING = frozenset(
    'LoadImage LoadDepth LoadVelodyneDepth LoadNYUH5 LoadNormals NYUCrop KBCrop'.split()
)
RESIZING = frozenset('Resize ResizeShortSide ResizeThenSnap RandomScale FitToCanvas'.split())
LARGEST_CROP = (416, 544)  # height, width, for methods that train on whole images of their own size
CROP_STEPS = (32, 14)  # pixels: the sides of crops are whole strides, or patches of DINOv2
PASSES, LEAST_ITERS, MOST_ITERS = 60, 600, 10000
VALIDATIONS = 10


@dataclass
class Method:
    """What a training takes from a shipped config or a checkpoint.

    Attributes:
        name: Of the config or the checkpoint, for messages.
        base: Config file to inherit from; None if ``content`` has to be written first.
        content: Config of a checkpoint, as data.
        load_published: Method whose published file the weights come from; None for our own.
        notes: What was chosen, one sentence each.
    """

    name: str
    base: Path | None = None
    content: dict | None = None
    load_published: str | None = None
    notes: list[str] = field(default_factory=list)


def choose_method(model: str | None, start: str | Path | None) -> Method:
    """Return the method that ``--model`` and ``--from`` of ``depth train --data`` name.

    Args:
        model: Name or path of a config; by default that of the checkpoint, or else a small one.
        start: Checkpoint of this toolbox, or a published file of a method that has a converter.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If a config does not exist, or no shipped method has such a file.
    """
    if start is None:
        return Method(model or DEFAULT_MODEL, find_config(model or DEFAULT_MODEL))
    if not Path(start).is_file():
        raise FileNotFoundError(f'--from {start}: there is no such file')
    checkpoint = load_checkpoint_file(start)
    meta = checkpoint.get('meta')
    is_ours = isinstance(meta, Mapping) and meta.get('cfg') is not None
    if model is not None:
        method = Method(model, find_config(model))
        if not is_ours and not load_config(method.base).get('load_published'):
            method.load_published, _ = identify_published(checkpoint, start)
        return method
    if is_ours:
        content = config_to_data(config_from_checkpoint(checkpoint, start))
        return Method(str(start), content=content, notes=[f'model and recipe of {start}'])
    published, fitting = identify_published(checkpoint, start)
    return _trainable_config(published, fitting, start)


def _trainable_config(published: str, fitting: list[Path], start: str | Path) -> Method:
    """Return the config that trains a published model: one for folders, or else one that fits the file."""
    encoders = [_encoder_of(load_config(path)) for path in fitting]
    paths = list(shipped_configs(published, shipped_root()))
    # Configs for folders are named so; of another name they would only be found later.
    paths.sort(key=lambda path: (not path.stem.endswith('_folder'), len(path.stem), path.stem))
    candidates = []
    for path in paths:
        is_for_folders = path.stem.endswith('_folder')
        if candidates and not is_for_folders and candidates[0].stem.endswith('_folder'):
            break
        cfg = load_config(path)
        # The published file gives all weights, or those that the config takes from it.
        takes_file = path in fitting or bool((cfg.get('load_published') or {}).get('parts'))
        if cfg.get('train_dataloader') and takes_file and _encoder_of(cfg) in encoders:
            candidates.append(path)
    if not candidates:
        raise ConfigError(
            f'--from {start} is a published file of {published} that fits {", ".join(path.stem for path in fitting)}, '
            'none of which is trained here; name a config with --model'
        )
    note = f'{start} is a published file of {published}: the recipe is that of {candidates[0].stem}'
    if len(candidates) > 1:
        note += f' (--model chooses another: {", ".join(path.stem for path in candidates[1:5])})'
    return Method(candidates[0].stem, candidates[0], load_published=published, notes=[note])


def _encoder_of(cfg: Config) -> dict:
    """Return the backbone of a config without what says where its weights start."""
    backbone = without_pretrained(cfg.model.backbone.to_dict())
    for key in ('pretrained', 'checkpoint'):
        backbone.pop(key, None)
    return backbone


def write_config(
    plan: FolderPlan, path: Path, method: Method, start: str | Path | None = None
) -> Config:
    """Write the config of a plan, and beside it the files of the split, and return it as loaded.

    Args:
        plan: From :func:`depth.data_tools.own_data.examine_folder`.
        path: File of the config.
        method: From :func:`choose_method`.
        start: Checkpoint that the training starts from.

    Raises:
        ValueError: If the method cannot be trained on images with depth maps, or the images are too
            small for it.
    """
    path = path.absolute()
    base = method.base
    if base is None:
        base = path.with_name('checkpoint_config.py')
        write_atomically(base, _source_of_data(method.content, method.name))
    inherited = load_config(base)
    check_trainable(inherited, method.name, plan)
    values = FolderOptions(plan, inherited, read_unresolved(base)).values()
    head = inherited.model.get('decode_head') or {}
    if head.get('loss_class') and head.get('num_classes') != 0:
        method.notes.append(
            'images of a folder have no scene classes: the head does not learn them'
        )
        options = values.setdefault('model', {}).setdefault('decode_head', {})
        if start is None:
            options['num_classes'] = 0
        else:
            # Their weights stay, as the file has them.
            options['loss_class'] = dict(loss_weight=0.0)
            values['find_unused_parameters'] = True
    for split, stems in plan.stems.items():
        write_atomically(path.with_name(f'{split}.txt'), '\n'.join(stems) + '\n')
        values[f'{split}_dataloader']['dataset']['ann_file'] = str(path.with_name(f'{split}.txt'))
    if start is not None:
        values['load_from'] = str(Path(start).absolute())
        if method.load_published and not inherited.get('load_published'):
            values['load_published'] = dict(method=method.load_published)
    shown = 'checkpoint_config.py' if method.base is None else str(base)
    notes = '\n'.join(f'- {note}' for note in plan.notes + method.notes)
    lines = [
        f'"""Training on {plan.roots["train"]}, written by depth train --data; change what you like.\n\n{notes}\n"""',
        '',
        f'_base_ = {json.dumps(shown)}',
    ]
    lines += [f'{key} = {as_source(value)}' for key, value in values.items()]
    write_atomically(path, '\n'.join(lines) + '\n')
    cfg = load_config(path)
    check_config(cfg)
    return cfg


def read_unresolved(path: Path) -> Config:
    """Return a config in which references such as ``'${max_iters}'`` stand as they are written."""
    return Config.fromfile(str(path), import_custom_modules=False)


def check_trainable(cfg: Config, name: str, plan: FolderPlan) -> None:
    """Check that a config trains on one set of images with depth maps.

    Raises:
        ConfigError: If it has no recipe of a training, learns from something else, or needs cameras
            that the folder does not have.
    """
    loader = cfg.get('train_dataloader')
    if not loader or not cfg.get('optim_wrapper'):
        raise ConfigError(
            f'--model {name} has no recipe of a training, it is for published weights; depth list "*_folder" has some '
            'that are trained on folders'
        )
    members = list(parts_of_dataset('train_dataloader.dataset', loader.dataset))
    if len(members) > 1:
        types = ', '.join(sorted({str(member.get('type')) for _, member in members}))
        raise ConfigError(
            f'--model {name} learns from a mixture of {len(members)} data sets ({types}), a folder is one; choose the '
            'config of one data set'
        )
    names = [transform['type'] for transform in members[0][1]['pipeline']]
    if 'PackDepthInputs' not in names:
        raise ConfigError(
            f'--model {name} does not learn from depth maps (its samples are made by {names[-1]}); choose another'
        )
    if cfg.model.type == 'CanonicalDepthEstimator' and not plan.has_camera:
        raise ConfigError(
            f'--model {name} needs the camera of every image; add intrinsics.json to {plan.roots["train"]} '
            '(docs/your_data.md), or choose another'
        )


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
        """Return the depth range of the head where it is no reference, and the window of slide inference."""
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
        """Return the schedulers with their numbers of iterations scaled; None if all follow ``max_iters``."""
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
        """Return the method's augmentation for files of the folder, with a crop that all images have."""
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
                f'images of {height}x{width} pixels are too small for this method: {step} a side is the least'
            )
        return tuple(size)


def crop_step(crop_size: tuple[int, int]) -> int:
    """Return the number of which both sides of a method's crop are multiples: stride, patch or 1."""
    for step in CROP_STEPS:
        if not any(side % step for side in crop_size):
            return step
    return 1


def as_source(value: Any, indent: int = 0) -> str:
    """Return plain data as Python source, dicts as calls of ``dict`` where their keys allow it."""
    space = ' ' * (indent + 4)
    if isinstance(value, Mapping):
        items = [(key, as_source(item, indent + 4)) for key, item in value.items()]
        names = [str(key) for key in value]
        if all(name.isidentifier() and not keyword.iskeyword(name) for name in names):
            opening, closing = 'dict(', ')'
            texts = [f'{key}={text}' for key, text in items]
        else:
            opening, closing = '{', '}'
            texts = [f'{key!r}: {text}' for key, text in items]
    elif isinstance(value, list | tuple):
        opening, closing = ('[', ']') if isinstance(value, list) else ('(', ')')
        texts = [as_source(item, indent + 4) for item in value]
        if isinstance(value, tuple) and len(texts) == 1:
            return f'({texts[0]},)'
    else:
        return repr(value)
    line = f'{opening}{", ".join(texts)}{closing}'
    if len(line) + indent <= 90 and '\n' not in line:
        return line
    body = ''.join(f'{space}{text},\n' for text in texts)
    return f'{opening}\n{body}{" " * indent}{closing}'


def _source_of_data(content: dict, name: str) -> str:
    """Return the config of a checkpoint as a config file.

    The depth range and the number of iterations become variables, as they are in shipped configs.

    Raises:
        ConfigError: If a key is no name of a variable.
    """
    skipped = 'load_from resume work_dir launcher max_depth min_depth max_iters'.split()
    dataset = (content.get('train_dataloader') or {}).get('dataset') or {}
    bounds = {}
    for key, default in (('min_depth', 1e-3), ('max_depth', 10.0)):
        value = content.get(key, dataset.get(key))
        bounds[key] = default if value is None else value
    lines = [f'"""Config of {name}, written by depth train --data."""', '']
    lines += [f'{key} = {value!r}' for key, value in bounds.items()]
    iters = (content.get('train_cfg') or {}).get('max_iters')
    if iters is not None:
        lines.append(f'max_iters = {iters}')
    for key, value in content.items():
        if not key.isidentifier() or keyword.iskeyword(key):
            raise ConfigError(f'{name}: its config has the key {key!r}, which is no name')
        if key in skipped:
            continue
        if key == 'model':
            value = _with_references(value, bounds)
        elif key in ('train_cfg', 'param_scheduler') and iters is not None:
            lengths = dict.fromkeys(('max_iters', 'total_steps', 'end', 'T_max'), iters)
            value = _with_references(value, lengths, 'max_iters')
        lines.append(f'{key} = {as_source(value)}')
    return '\n'.join(lines) + '\n'


def _with_references(node: Any, bounds: dict[str, float], variable: str | None = None) -> Any:
    """Return a copy of a part of a config in which values of some keys are references.

    Args:
        node: The part.
        bounds: Value by key that is replaced; another value of the key stays.
        variable: Variable that is referred to; by default that of the key's name.
    """
    if isinstance(node, Mapping):
        copied = {}
        for key, value in node.items():
            is_bound = key in bounds and value == bounds[key]
            if is_bound:
                copied[key] = f'${{{variable or key}}}'
            else:
                copied[key] = _with_references(value, bounds, variable)
        return copied
    if isinstance(node, list | tuple):
        return type(node)(_with_references(item, bounds, variable) for item in node)
    return node
