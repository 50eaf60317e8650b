"""From a config to its runner."""

from mmengine.config import Config
from mmengine.runner import Runner

from depth.registry import RUNNERS

from .batch_size import fit_recipe_to_batch
from .config import resolve_references
from .config_values import check_values


def build_runner(cfg: Config) -> Runner:
    """Build the runner that ``runner_type`` of a config names, ``DepthRunner`` by default.

    References of a config that comes straight from mmengine are resolved, and the recipe is fitted to the batch where
    ``auto_scale_lr.enable`` asks for it; both in place.

    Raises:
        ConfigError: If a reference has no value, a number cannot be used or the recipe cannot be fitted.
        ValueError: If there is no such runner.
    """
    resolve_references(cfg)
    check_values(cfg)
    fitted = fit_recipe_to_batch(cfg)
    runner_type = cfg.get('runner_type', 'DepthRunner')
    RUNNERS.import_from_location()
    runner_class = RUNNERS.get(runner_type)
    if runner_class is None:
        raise ValueError(f'runner_type: there is no runner called {runner_type!r}')
    runner = runner_class.from_cfg(cfg)
    if fitted:
        runner.logger.info(fitted)
    return runner
