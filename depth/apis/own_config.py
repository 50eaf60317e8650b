"""Config of a training on a folder: choice of the method, and writing of the file.

The config that is written inherits from the method's and replaces its data, depth range and
schedule.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmengine.config import Config

from depth.atomic_write import write_atomically
from depth.data_tools.own_data import FolderPlan
from depth.engine.checkpoint import load_checkpoint_file
from depth.engine.config import find_config, load_config, without_pretrained
from depth.engine.config_check import check_config
from depth.engine.config_ranges import parts_of_dataset
from depth.engine.converters.convert import identify_published, shipped_configs
from depth.engine.errors import ConfigError
from depth.engine.stored_config import config_to_data
from depth.shipped_configs import shipped_root

from .folder_options import FolderOptions
from .inference import config_from_checkpoint
from .python_source import as_source, source_of_config

DEFAULT_MODEL = 'densedepth_r18_folder'


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
    """Return the config that trains a published model: for folders, or one that fits the file."""
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
            f'--from {start} is a published file of {published} that fits '
            f'{", ".join(path.stem for path in fitting)}, none of which is trained here; name a '
            'config with --model'
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
        write_atomically(base, source_of_config(method.content, method.name))
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
        f'"""Training on {plan.roots["train"]}, written by depth train --data; change what you '
        f'like.\n\n{notes}\n"""',
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
            f'--model {name} has no recipe of a training, it is for published weights; depth list '
            '"*_folder" has some that are trained on folders'
        )
    members = list(parts_of_dataset('train_dataloader.dataset', loader.dataset))
    if len(members) > 1:
        types = ', '.join(sorted({str(member.get('type')) for _, member in members}))
        raise ConfigError(
            f'--model {name} learns from a mixture of {len(members)} data sets ({types}), a folder '
            'is one; choose the config of one data set'
        )
    names = [transform['type'] for transform in members[0][1]['pipeline']]
    if 'PackDepthInputs' not in names:
        raise ConfigError(
            f'--model {name} does not learn from depth maps (its samples are made by {names[-1]}); '
            'choose another'
        )
    if cfg.model.type == 'CanonicalDepthEstimator' and not plan.has_camera:
        raise ConfigError(
            f'--model {name} needs the camera of every image; add intrinsics.json to '
            f'{plan.roots["train"]} (docs/your_data.md), or choose another'
        )
