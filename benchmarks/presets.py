"""Presets: named settings that must not change quality, compared with a float32 baseline."""

import os
import shutil
from dataclasses import dataclass, field

from .settings import Setting

BF16 = {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'}
FUSED = {'optim_wrapper.optimizer.fused': True}
TF32 = {'env_cfg.tf32': True}


@dataclass(frozen=True)
class Preset:
    """One preset.

    Attributes:
        training: Setting of a training, None where the preset is for inference alone.
        inference: Setting of a prediction, None where the preset is for training alone.
        cuda: It needs a CUDA device.
    """

    training: Setting | None
    inference: Setting | None
    cuda: bool = False

    def runs_on(self, device: str) -> bool:
        """Return whether a device supports the preset."""
        return device.startswith('cuda') or not self.cuda


@dataclass(frozen=True)
class _Switch:
    """Options that a preset changes in training and in inference, see :class:`Setting`."""

    training: dict | None = field(default_factory=dict)
    inference: dict | None = field(default_factory=dict)
    cuda: bool = False
    backend: str = 'auto'
    published: bool = False

    def named(self, name: str) -> Preset:
        """Return the preset of this name."""
        training = inference = None
        if self.training is not None:
            training = Setting(name, self.training, published=self.published, backend=self.backend)
        if self.inference is not None:
            inference = Setting(
                name, self.inference, published=self.published, backend=self.backend
            )
        return Preset(training, inference, cuda=self.cuda)


BASELINE = 'fp32'  # eager, float32 without TF32, deformable attention by grid_sample
CHANNELS_LAST = {'channels_last': True}
PRESETS = {
    name: switch.named(name)
    for name, switch in dict(
        fp32=_Switch(published=True),
        default=_Switch(),
        bf16=_Switch(BF16, {'inference.autocast': 'bfloat16'}),
        channels_last=_Switch(CHANNELS_LAST, CHANNELS_LAST),
        checkpointing=_Switch({'activation_checkpointing': ['backbone', 'decode_head']}, None),
        fused=_Switch(FUSED, None),
        compile=_Switch({'compile': True}, {'inference.compile': True}),
        tf32=_Switch(TF32, TF32, cuda=True),
        triton=_Switch(cuda=True, backend='triton'),
        cuda_graph=_Switch(None, {'inference.cuda_graph': True}, cuda=True),
        everything=_Switch(
            BF16 | FUSED | CHANNELS_LAST | {'compile': True},
            CHANNELS_LAST | {'inference.autocast': 'bfloat16', 'inference.compile': True},
            cuda=True,
        ),
    ).items()
}


def choose(names: list[str] | None, device: str) -> tuple[dict[str, Preset], dict[str, str]]:
    """Return the chosen presets, baseline first, and those left out with the reason.

    Args:
        names: All that the device can do by default.
        device: ``cpu`` or ``cuda``.

    Raises:
        ValueError: If there is no such preset, or the device cannot do it.
    """
    for name in names or ():
        if name not in PRESETS:
            raise ValueError(f'there is no preset {name!r}, only {", ".join(PRESETS)}')
        if not PRESETS[name].runs_on(device):
            raise ValueError(f'preset {name!r} needs a CUDA device')
    chosen, left_out = {}, {}
    for name, preset in PRESETS.items():
        is_chosen = not names or name in names or name == BASELINE
        if is_chosen and preset.runs_on(device):
            chosen[name] = preset
    if device == 'cpu' and 'compile' in chosen and not has_compiler():
        left_out['compile'] = 'torch.compile on a CPU needs a C++ compiler, there is none'
        chosen.pop('compile')
    return chosen, left_out


def has_compiler() -> bool:
    """Return whether there is a C++ compiler for ``torch.compile`` on the CPU."""
    return any(shutil.which(name) for name in (os.environ.get('CXX', 'g++'), 'clang++'))
