"""Mode infer: time from uint8 images to depth, with preprocessing and resizing."""

import torch

from depth.engine.acceleration import speed_up_inference, use_channels_last
from depth.registry import MODELS

from .scenes import image_size, network_size_steps, scene_batch
from .settings import Setting, Spec
from .timing import Case
from .work import work_columns


def build(spec: Spec, setting: Setting) -> Case:
    """Return a case that calls ``test_step`` of a randomly initialised model on one batch."""
    cfg = setting.load(spec)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).to(spec.device).eval()
    if cfg.get('channels_last'):
        use_channels_last(model)
    speed_up_inference(model, cfg.get('inference'))
    batch_size = spec.batch_size or 1
    shape = spec.shape or image_size(cfg, 'test_dataloader')
    batch = scene_batch(cfg, shape, batch_size, resizing=network_size_steps(cfg))

    def step() -> None:
        with torch.inference_mode():
            model.test_step(batch)

    return Case(
        setting.name,
        step,
        batch_size,
        details=lambda: work_columns(spec, setting, training=False),
    )
