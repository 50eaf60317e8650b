"""Published cases as tensors, and comparisons with what was recorded of them."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper, build_optim_wrapper
from torch import Tensor

from depth.engine.config import load_config
from depth.engine.converters.convert import build_without_weights
from depth.registry import PARAM_SCHEDULERS
from tests.shared import REPO

from . import recorded
from .recorded import load_arrays, load_case, relative_error

__all__ = ['load_arrays', 'load_case', 'relative_error']


def published_state(case: dict) -> dict[str, Tensor]:
    """Draw the published weights."""
    return {name: torch.from_numpy(value) for name, value in recorded.published_state(case).items()}


def model_shapes(cfg: Config) -> dict[str, torch.Size]:
    """Return name and shape of every weight of a config's model, without allocating it."""
    with torch.device('meta'):
        model = build_without_weights(cfg)
    return {name: value.shape for name, value in model.state_dict().items()}


def image(case: dict) -> Tensor:
    """Draw the normalised image."""
    return torch.from_numpy(recorded.draw_noise(case['input_shape'], case['input_seed']))


def shipped_config(path: str):
    """Read a config below ``configs/``."""
    return load_config(REPO / 'configs' / path)


def stage_errors(stages: dict[str, Tensor], expected: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the relative L2 distance of every recorded stage, of its samples or its statistics, the larger one.

    Args:
        stages: What was found, by the recorded names; all of them and no others.
        expected: The arrays of a case's ``.npz`` file.
    """
    names = {
        name.split('/', 1)[1].rsplit('/', 1)[0] for name in expected if name.startswith('stage/')
    }
    assert names == set(stages)
    errors = {}
    for name, value in stages.items():
        actual = value.detach().numpy()
        assert actual.shape == tuple(expected[f'stage/{name}/shape']), name
        indices = np.linspace(0, actual.size - 1, 64).astype(int)
        stats = np.array([actual.mean(), actual.std(), actual.min(), actual.max()])
        errors[name] = max(
            relative_error(actual.ravel()[indices], expected[f'stage/{name}/samples']),
            relative_error(stats, expected[f'stage/{name}/stats']),
        )
    return errors


def built_schedulers(cfg: Config, wrapper: OptimWrapper) -> list:
    """Build a config's schedulers, which set the values of iteration 0."""
    items = cfg.param_scheduler if isinstance(cfg.param_scheduler, list) else [cfg.param_scheduler]
    return [PARAM_SCHEDULERS.build(dict(item, optimizer=wrapper)) for item in items]


def rates_of_the_recipe(
    cfg: Config, recorded: dict[str, list]
) -> Iterator[tuple[int, tuple[float, ...], tuple[float, ...]]]:
    """Yield (iteration, (rate, beta1, beta2), recorded ones) of a config's recipe for a dummy model."""
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    schedulers = built_schedulers(cfg, wrapper)
    for iteration, (rate, betas) in sorted((int(key), value) for key, value in recorded.items()):
        for scheduler in schedulers:
            scheduler.last_step = iteration - 1
            scheduler._global_step = 1  # past the check of the very first steps
            scheduler.step()
        for group in wrapper.optimizer.param_groups:
            yield iteration, (group['lr'], *group['betas']), (rate, *betas)
