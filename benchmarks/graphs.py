"""Mode graphs: what would slow a GPU down, counted without one.

A break cuts what ``torch.compile`` compiles into pieces. A read turns a tensor into a number or into a shape, for which
the host waits until a GPU has caught up. A compilation is what a new image or window size costs, once.
"""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from depth.engine.acceleration import compile_options
from depth.registry import MODELS

from . import train
from .scenes import image_size, scene_batch
from .settings import Setting, Spec

READS = frozenset(
    f'aten::{name}' for name in ('_local_scalar_dense', 'nonzero', 'masked_select', '_unique2', 'equal', 'is_nonzero')
)

MORE = ((0, 0), (32, 0), (0, 32))  # pixels that are added to the size of the images


class CountReads(TorchDispatchMode):
    """Count the reads inside the block, in ``count``."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.paused = False

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if not self.paused:
            self.count += function._schema.name in READS or _has_mask(function, args)
        return function(*args, **(kwargs or {}))

    def without(self, call: Callable) -> Callable:
        """Return ``call`` with its own reads left out."""

        def run(*args, **kwargs):
            self.paused = True
            try:
                return call(*args, **kwargs)
            finally:
                self.paused = False

        return run


def _has_mask(function, args: tuple) -> bool:
    """Return whether an operator indexes with booleans, for which the host needs to know how many are True."""
    if function._schema.name not in ('aten::index', 'aten::index_put', 'aten::index_put_'):
        return False
    return any(index is not None and index.dtype == torch.bool for index in args[1])


def run(spec: Spec, setting: Setting, progress: Callable[[str], None] = lambda text: None) -> dict:
    """Count graphs, breaks and reads of prediction, losses and a whole training step."""
    cfg = setting.load(spec)
    shape, batch_size = spec.shape or image_size(cfg, 'train_dataloader'), spec.batch_size or 2
    model = MODELS.build(cfg.model)
    classes = (cfg.model.get('decode_head') or {}).get('num_classes') or 1
    batch = model.data_preprocessor(scene_batch(cfg, shape, batch_size, scene_class=min(1, classes - 1)), True)
    inputs, samples = batch['inputs'], batch['data_samples']
    rows = []
    for name, mode, call in (
        ('prediction', False, lambda images: model.predict_depth(images, samples)),
        ('losses', True, lambda images: model.loss(images, samples)),
    ):
        progress(name)
        model.train(mode)
        with torch.set_grad_enabled(mode), CountReads() as reads:
            call(inputs)
        with torch.set_grad_enabled(mode):
            rows.append(dict(setting=name, **count_graphs(call, inputs), reads=reads.count))
    progress('prediction at several sizes')
    rows.append(dict(setting=f'prediction, {len(MORE)} sizes twice', compilations=count_sizes(model, inputs)))
    progress('training step')
    rows.append(dict(setting='training step', reads=reads_of_a_step(spec, setting)))
    return dict(rows=rows, ratios=[])


def count_graphs(call: Callable[[torch.Tensor], object], inputs: torch.Tensor) -> dict[str, int]:
    """Return into how many graphs ``torch.compile`` would cut a function, and how many breaks that takes."""
    from torch import _dynamo as dynamo

    dynamo.reset()
    found = dynamo.explain(call)(inputs)
    dynamo.reset()
    return dict(graphs=found.graph_count, breaks=found.graph_break_count)


def count_sizes(model: nn.Module, inputs: torch.Tensor) -> int:
    """Return how often ``torch.compile`` compiles the prediction of images of several sizes, all of them seen twice."""
    model.eval()
    sizes = [tuple(length + added for length, added in zip(inputs.shape[-2:], more, strict=True)) for more in MORE]
    with torch.inference_mode():
        return count_compilations(
            lambda images: model.predict_depth(images),
            [inputs.new_zeros(1, 3, *size) for _ in range(2) for size in sizes],
        )


def count_compilations(call: Callable[[torch.Tensor], object], images: Sequence[torch.Tensor]) -> int:
    """Return how many graphs are compiled while a function is called with one input after the other."""
    from torch import _dynamo as dynamo

    made = []

    def backend(graph: torch.fx.GraphModule, _: list) -> Callable:
        made.append(graph)
        return graph.forward

    dynamo.reset()
    compiled = torch.compile(call, backend=backend, **compile_options(True))
    for some in images:
        compiled(some)
    dynamo.reset()
    return len(made)


def reads_of_a_step(spec: Spec, setting: Setting) -> int:
    """Return the reads of one iteration of the runner, hooks and clipping included, on the CPU.

    Two things that a GPU would not wait for are left out: values that go to the log stay on the device there, and
    optimizers keep their step counters on the CPU.
    """
    from depth.engine.message_hub import DeferredMessageHub

    case, runner = train.build_with_runner(spec, setting)
    case.step()
    reads = CountReads()
    optimizer, kept_on = runner.optim_wrapper.optimizer, DeferredMessageHub.KEPT_ON
    before = optimizer.step
    optimizer.step = reads.without(before)
    DeferredMessageHub.KEPT_ON = (*kept_on, 'cpu')
    try:
        with reads:
            case.step()
    finally:
        optimizer.step, DeferredMessageHub.KEPT_ON = before, kept_on
    return reads.count
