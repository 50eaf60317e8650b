"""From a config to its runner."""

from mmengine.config import Config
from mmengine.runner import Runner

from depth.registry import RUNNERS


def build_runner(cfg: Config) -> Runner:
    """Build the runner that ``runner_type`` of a config names, ``DepthRunner`` by default."""
    runner_type = cfg.get('runner_type', 'DepthRunner')
    RUNNERS.import_from_location()
    runner_class = RUNNERS.get(runner_type)
    if runner_class is None:
        raise ValueError(f'runner_type: there is no runner called {runner_type!r}')
    return runner_class.from_cfg(cfg)
