"""Mode metrics: time of scoring compared with the model's prediction."""

import statistics
from collections.abc import Callable

import torch

from depth.registry import METRICS, MODELS

from .scenes import image_size, scene_batch
from .settings import Setting, Spec
from .timing import Case, interleave, summary


def run(
    spec: Spec,
    setting: Setting,
    repeats: int,
    progress: Callable[[str], None] = lambda text: None,
) -> dict:
    """Measure the prediction, without mirroring, and the config's metrics in turn.

    ``share`` is the time of the metrics over that of the prediction.
    """
    cfg = setting.load(spec)
    cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, flip=False)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(spec.device).eval()
    batch_size = spec.batch_size or 1
    batch = scene_batch(cfg, spec.shape or image_size(cfg, 'test_dataloader'), batch_size)
    evaluators = cfg.test_evaluator
    if not isinstance(evaluators, list):
        evaluators = [evaluators]
    metrics = [METRICS.build(evaluator) for evaluator in evaluators]
    with torch.inference_mode():
        samples = [sample.to_dict() for sample in model.test_step(batch)]

    def predict() -> None:
        with torch.inference_mode():
            model.test_step(batch)

    def score() -> None:
        for metric in metrics:
            metric.results.clear()
            metric.process(batch, samples)

    cases = [Case('prediction', predict, batch_size), Case('metric', score, batch_size)]
    for case in cases:
        case.context = lambda: setting.surroundings(spec.device)
    times = interleave(cases, repeats, spec.device, warmup=2, progress=progress)
    rows = [summary(case, seconds) for case, seconds in zip(cases, times, strict=True)]
    share = statistics.median(second / first for first, second in zip(*times, strict=True))
    return dict(rows=rows, ratios=[], share=share)
