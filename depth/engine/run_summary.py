"""Summary of a training for its first lines: model, data, steps, rate, files."""

from collections.abc import Iterator
from pathlib import Path

import torch
from mmengine.optim import OptimWrapperDict
from mmengine.runner import Runner

from .distributed import unwrap_model


def describe_training(runner: Runner) -> Iterator[str]:
    """Yield the lines of the summary; data, model and optimizer are built by then."""
    model = unwrap_model(runner)
    parameters = list(model.parameters())
    total = sum(parameter.numel() for parameter in parameters)
    trained = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    name = Path(runner.cfg.filename).stem if runner.cfg.filename else runner.experiment_name
    device = 'CPU'
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    text = f'{total / 1e6:.1f} M parameters'
    if trained < total:
        text += f', {trained / 1e6:.1f} M of them trained'
    yield f'model: {name}, {describe_parts(runner.cfg.model)}, {text}; on {device}'
    yield f'data: {describe_data(runner)}'
    yield f'length: {describe_length(runner)}'
    yield f'optimizer: {describe_optimizer(runner)}'
    yield (
        f'files: {Path(runner.work_dir).absolute()}; environment, config and hooks in '
        f'{Path(runner.log_dir).name}/{runner.timestamp}.log'
    )


def describe_parts(model: dict) -> str:
    """Return estimator, backbone and head of a model's config."""
    words = [str(model.get('type'))]
    for key in ('backbone', 'decode_head'):
        node = model.get(key)
        if isinstance(node, dict):
            words.append(str(node.get('model_name') or node.get('type')))
    return ' / '.join(words)


def describe_data(runner: Runner) -> str:
    """Return the numbers of training and validation images and where they come from."""
    loader = runner.train_loop.dataloader
    text = (
        f'{len(loader.dataset)} training images ({describe_dataset(runner.cfg.train_dataloader)})'
    )
    if runner.val_loop is not None:
        text += (
            f', {len(runner.val_loop.dataloader.dataset)} validation images '
            f'({describe_dataset(runner.cfg.val_dataloader)})'
        )
    return text


def describe_dataset(loader: dict) -> str:
    """Return type and folder of a loader's data set."""
    dataset = loader.get('dataset') or {}
    kind = dataset.get('type')
    name = kind if isinstance(kind, str) else type(kind).__name__
    root = dataset.get('data_root')
    return f'{name} in {root}' if root else name


def describe_length(runner: Runner) -> str:
    """Return iterations, images and passes over the data."""
    total = runner.train_loop.dataloader.batch_size * runner.world_size
    passes = runner.max_iters * total / max(len(runner.train_loop.dataloader.dataset), 1)
    text = f'{runner.max_iters} iterations of {total} images, {passes:.1f} passes over the data'
    if runner.iter:
        text += f'; goes on at iteration {runner.iter}'
    if runner.val_loop is not None:
        text += f'; validation every {runner.train_loop.val_interval} iterations'
    return text


def describe_optimizer(runner: Runner) -> str:
    """Return optimizer, rate, precision and schedules."""
    wrapper = runner.optim_wrapper
    if isinstance(wrapper, OptimWrapperDict):
        return ', '.join(
            f'{name}: {type(item.optimizer).__name__}' for name, item in wrapper.items()
        )
    configured = (runner.cfg.get('optim_wrapper') or {}).get('optimizer') or {}
    text = f'{type(wrapper.optimizer).__name__}, rate {configured.get("lr")}'
    schedules = [type(item).__name__ for item in runner.param_schedulers or []]
    if schedules:
        text += f', {" + ".join(schedules)}'
    return f'{text}, {type(wrapper).__name__}, seed {runner.seed}'
