"""Every registry of the toolbox: children of mmengine's, scope ``depth``.

``locations`` are imported on first use, so ``import depth`` stays cheap and a
config only pays for what it names.
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
    """Registry that looks a name up and imports no module for it.

    mmengine's imports a name that is not registered as if it were a path of Python, and would build or call what it
    finds there. Only dotted names may still mean that, where a registry has a parent: in the Python files of configs.
    """

    def get(self, key: str) -> type | Callable | None:
        """Return the class or function of a name, None if there is none."""
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
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='depth', locations=['depth.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='depth', locations=['depth.datasets.transforms'])
DATA_SAMPLERS = Registry('data sampler', parent=MMENGINE_DATA_SAMPLERS, scope='depth', locations=['depth.datasets'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='depth', locations=['depth.evaluation'])
VISUALIZERS = Registry('visualizer', parent=MMENGINE_VISUALIZERS, scope='depth', locations=['depth.visualization'])
VISBACKENDS = Registry(
    'vis_backend', parent=MMENGINE_VISBACKENDS, scope='depth', locations=['depth.visualization.local_backend']
)
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='depth', locations=['depth.engine'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope='depth', locations=['depth.engine'])
RUNNERS = Registry('runner', parent=MMENGINE_RUNNERS, scope='depth', locations=['depth.engine'])
LOG_PROCESSORS = Registry('log processor', parent=MMENGINE_LOG_PROCESSORS, scope='depth', locations=['depth.engine'])
MODEL_WRAPPERS = Registry('model_wrapper', parent=MMENGINE_MODEL_WRAPPERS, scope='depth', locations=['depth.engine'])
OPTIM_WRAPPERS = Registry('optim_wrapper', parent=MMENGINE_OPTIM_WRAPPERS, scope='depth', locations=['depth.engine'])
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=MMENGINE_OPTIM_WRAPPER_CONSTRUCTORS,
    scope='depth',
    locations=['depth.engine'],
)
OPTIMIZERS = Registry('optimizer', parent=MMENGINE_OPTIMIZERS, scope='depth', locations=['depth.engine'])
EVALUATOR = Registry('evaluator', parent=MMENGINE_EVALUATOR, scope='depth', locations=['depth.evaluation'])
PARAM_SCHEDULERS = Registry(
    'parameter scheduler', parent=MMENGINE_PARAM_SCHEDULERS, scope='depth', locations=['depth.engine']
)

CONVERTERS = Registry('checkpoint converter', scope='depth', locations=['depth.engine.converters'])
"""Published checkpoint -> ours, one function a METHOD of ``convert_official.py``; projects register theirs here too."""

READERS = Registry('file reader', scope='depth', locations=['depth.datasets'])
"""Functions of a sample that a data set names as ``img_reader`` or ``depth_reader``, see ``transforms/loading.py``."""
