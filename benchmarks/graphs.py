"""Mode graphs: graph breaks, device reads and compilations, counted on the CPU.

A graph break splits the code that ``torch.compile`` compiles. A read turns a tensor into a number
or a shape, for which the host waits until the GPU has caught up. A compilation is the one-off cost
of a new image or window size.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode

from depth.engine.acceleration import compile_options
from depth.registry import MODELS

from . import train
from .scenes import image_size, scene_batch
from .settings import Setting, Spec

READS = frozenset(
    f'aten::{name}'
    for name in (
        '_local_scalar_dense',
        'nonzero',
        'masked_select',
        '_unique2',
        'equal',
        'is_nonzero',
    )
)

SIZE_OFFSETS = ((0, 0), (32, 0), (0, 32))  # pixels added to the images' height and width


class CountReads(TorchDispatchMode):
    """Dispatch mode that counts the reads inside the block, in ``count``."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.paused = False

    def __torch_dispatch__(
        self, function: OpOverload, types: tuple, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if not self.paused:
            self.count += function._schema.name in READS or _has_mask(function, args)
        return function(*args, **(kwargs or {}))

    def without(self, call: Callable) -> Callable:
        """Wrap a function so that its reads are not counted."""

        def run(*args: Any, **kwargs: Any) -> Any:
            self.paused = True
            try:
                return call(*args, **kwargs)
            finally:
                self.paused = False

        return run


def _has_mask(function: OpOverload, args: tuple) -> bool:
    """Return whether an operator indexes with booleans: the host waits for the number of True."""
    if function._schema.name not in ('aten::index', 'aten::index_put', 'aten::index_put_'):
        return False
    return any(index is not None and index.dtype == torch.bool for index in args[1])


def run(spec: Spec, setting: Setting, progress: Callable[[str], None] = lambda text: None) -> dict:
    """Count graphs, breaks and reads of prediction, losses and a whole training step."""
    cfg = setting.load(spec)
    shape, batch_size = spec.shape or image_size(cfg, 'train_dataloader'), spec.batch_size or 2
    model = MODELS.build(cfg.model)
    classes = (cfg.model.get('decode_head') or {}).get('num_classes') or 1
    batch = model.data_preprocessor(
        scene_batch(cfg, shape, batch_size, scene_class=min(1, classes - 1)),
        True,
    )
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
    rows.append(
        dict(
            setting=f'prediction, {len(SIZE_OFFSETS)} sizes twice',
            compilations=count_sizes(model, inputs),
        ),
    )
    progress('training step')
    rows.append(dict(setting='training step', reads=reads_of_a_step(spec, setting)))
    return dict(rows=rows, ratios=[])


def count_graphs(call: Callable[[torch.Tensor], object], inputs: torch.Tensor) -> dict[str, int]:
    """Return the numbers of graphs and of graph breaks of a function under ``torch.compile``."""
    from torch import _dynamo as dynamo

    dynamo.reset()
    report = dynamo.explain(call)(inputs)
    dynamo.reset()
    return dict(graphs=report.graph_count, breaks=report.graph_break_count)


def count_sizes(model: nn.Module, inputs: torch.Tensor) -> int:
    """Count the compilations of the prediction of images of several sizes, each seen twice."""
    model.eval()
    height, width = inputs.shape[-2:]
    with torch.inference_mode():
        images = [inputs.new_zeros(1, 3, height + dy, width + dx) for dy, dx in SIZE_OFFSETS]
        return count_compilations(lambda batch: model.predict_depth(batch), images + images)


def count_compilations(
    call: Callable[[torch.Tensor], object],
    images: Sequence[torch.Tensor],
) -> int:
    """Count the graphs that are compiled while a function is called with each input in turn."""
    from torch import _dynamo as dynamo

    graphs = []

    def backend(graph: torch.fx.GraphModule, _: list) -> Callable:
        graphs.append(graph)
        return graph.forward  # counted, but run without a compiler

    dynamo.reset()
    compiled = torch.compile(call, backend=backend, **compile_options(True))
    for batch in images:
        compiled(batch)
    dynamo.reset()
    return len(graphs)


def reads_of_a_step(spec: Spec, setting: Setting) -> int:
    """Count the reads of one training iteration on the CPU, hooks and clipping included.

    What a GPU would not wait for is left out: values that go to the log and the guard of the
    optimizer step stay on the device there, and optimizers keep their step counters on the CPU.
    """
    from depth.engine.message_hub import DeferredMessageHub
    from depth.engine.step_guard import StepGuard

    kept_on, reads_on = DeferredMessageHub.KEPT_ON, StepGuard.READS_ON
    DeferredMessageHub.KEPT_ON, StepGuard.READS_ON = (*kept_on, 'cpu'), ()
    try:
        case, runner = train.build_with_runner(spec, setting)
        case.step()
        reads, optimizer = CountReads(), runner.optim_wrapper.optimizer
        step = optimizer.step
        optimizer.step = reads.without(step)
        with reads:
            case.step()
        optimizer.step = step
    finally:
        DeferredMessageHub.KEPT_ON, StepGuard.READS_ON = kept_on, reads_on
    return reads.count
