"""Registries of the toolbox: children of mmengine's, with scope ``depth``.

``locations`` are imported on first use, so that ``import depth`` is fast and a config imports only
the packages that it names.
"""

from collections.abc import Callable

from mmengine.registry import DATA_SAMPLERS as MMENGINE_DATA_SAMPLERS
from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import EVALUATOR as MMENGINE_EVALUATOR
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import LOG_PROCESSORS as MMENGINE_LOG_PROCESSORS
from mmengine.registry import LOOPS as MMENGINE_LOOPS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODEL_WRAPPERS as MMENGINE_MODEL_WRAPPERS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as MMENGINE_OPTIM_WRAPPERS
from mmengine.registry import OPTIMIZERS as MMENGINE_OPTIMIZERS
from mmengine.registry import PARAM_SCHEDULERS as MMENGINE_PARAM_SCHEDULERS
from mmengine.registry import RUNNERS as MMENGINE_RUNNERS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISBACKENDS as MMENGINE_VISBACKENDS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry as MMEngineRegistry


class Registry(MMEngineRegistry):
    """Registry that imports no module to look up a name without dots.

    mmengine's registry takes a name that is not registered for an import path and would build or
    call the object that it finds there. Here only dotted names are import paths, in registries with
    a parent: Python configs use them.
    """

    def get(self, key: str) -> type | Callable | None:
        """Return the class or function registered as ``key``, None if there is none."""
        if self.parent is not None and '.' in key:
            return super().get(key)
        self.import_from_location()
        registry = self
        while registry is not None:
            if key in registry.module_dict:
                return registry.module_dict[key]
            registry = registry.parent
        return None


MODELS = Registry('model', parent=MMENGINE_MODELS, scope='depth', locations=['depth.models'])
DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope='depth', locations=['depth.datasets']
)
TRANSFORMS = Registry(
    'transform', parent=MMENGINE_TRANSFORMS, scope='depth', locations=['depth.datasets.transforms']
)
DATA_SAMPLERS = Registry(
    'data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='depth', locations=['depth.datasets']
)
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='depth', locations=['depth.evaluation'])
VISUALIZERS = Registry(
    'visualizer',
    parent=MMENGINE_VISUALIZERS,
    scope='depth',
    locations=['depth.visualization.visualizer'],
)
VISBACKENDS = Registry(
    'vis_backend',
    parent=MMENGINE_VISBACKENDS,
    scope='depth',
    locations=['depth.visualization.visualizer'],
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='depth', locations=['depth.engine'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope='depth', locations=['depth.engine'])
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, scope='depth', locations=['depth.engine'])
LOG_PROCESSORS = Registry(
    'log processor', parent=MMENGINE_LOG_PROCESSORS, scope='depth', locations=['depth.engine']
)
MODEL_WRAPPERS = Registry(
    'model_wrapper', parent=MMENGINE_MODEL_WRAPPERS, scope='depth', locations=['depth.engine']
)
OPTIM_WRAPPERS = Registry(
    'optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='depth', locations=['depth.engine']
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='depth',
    locations=['depth.engine'],
)
OPTIMIZERS = Registry(
    'optimizer', parent=MMENGINE_OPTIMIZERS, scope='depth', locations=['depth.engine']
)
EVALUATOR = Registry(
    'evaluator', parent=MMENGINE_EVALUATOR, scope='depth', locations=['depth.evaluation']
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler',
    parent=MMENGINE_PARAM_SCHEDULERS,
    scope='depth',
    locations=['depth.engine'],
)

CONVERTERS = Registry('checkpoint converter', scope='depth', locations=['depth.engine.converters'])
"""Converters of published checkpoints, one function per METHOD of ``convert_official.py``."""

READERS = Registry('file reader', scope='depth', locations=['depth.datasets'])
"""Readers of a sample's files: ``img_reader`` and ``depth_reader`` of a data set."""
