"""Specification of a benchmark: a config, and the settings of it that are compared."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field

import torch
from mmengine.config import Config

from depth.cli.common import parse_cfg_options
from depth.engine.config import load_config, skip_pretrained
from depth.ops import use_backend

WORDS = (
    'default',
    'published',
    'published_tf32',
    'backend',
    'flip',
    'autocast',
    'packed',
    'launch',
)


@dataclass(frozen=True)
class Spec:
    """Options shared by all settings of one run; plain values, which a child process can receive.

    Attributes:
        config: Config file.
        options: Config values by dotted key.
        shape: (height, width) of the images, None for the config's.
        batch_size: Images of a batch, None for the config's.
        device: ``cpu`` or ``cuda``.
        files: Image and depth map that mode data reads.
        samples: Folder of real frames that mode data reads otherwise, where it is there.
        workers: Loader processes of mode data.
    """

    config: str = ''
    options: dict = field(default_factory=dict)
    shape: tuple[int, int] | None = None
    batch_size: int | None = None
    device: str = 'cpu'
    files: tuple[str, str] | None = None
    samples: str | None = None
    workers: int = 0


@dataclass(frozen=True)
class Setting:
    """One of the compared settings.

    Attributes:
        name: What the table calls it.
        options: Config values by dotted key.
        published: Eager, float32, deformable attention by ``grid_sample``, the loader of the
            published kind.
        tf32: With ``published``: TF32 products, as PyTorch 1.7 to 1.11 computed them by default.
        backend: Of the deformable attention, see :func:`depth.ops.ms_deform_attn`.
        flip: Average with the mirrored image; None: as the config says.
        autocast: ``bf16`` or ``fp16`` for inference; training says
            ``optim_wrapper.type=AmpOptimWrapper``.
        packed: Mode data reads its frame from a pack.
        launch: Tile and warps of the Triton kernels instead of the fastest, as ``128x1``.
    """

    name: str = 'default'
    options: dict = field(default_factory=dict)
    published: bool = False
    tf32: bool = False
    backend: str = 'auto'
    flip: bool | None = None
    autocast: str | None = None
    packed: bool = False
    launch: str | None = None

    @contextmanager
    def surroundings(self, device: str) -> Iterator[None]:
        """Run the block as the setting says: backend, precision of matrix products, autocast."""
        dtype = dict(bf16=torch.bfloat16, fp16=torch.float16).get(self.autocast)
        # Even a disabled autocast caches the weights that an inner one casts, across optimizer
        # steps; hence no context at all.
        autocast = nullcontext() if dtype is None else torch.autocast(device.split(':')[0], dtype)
        with (
            tensor_float(self.tf32 if self.published else self.options.get('env_cfg.tf32')),
            use_backend('reference' if self.published else self.backend),
            self._launch(),
            autocast,
        ):
            yield

    def _launch(self) -> AbstractContextManager:
        if self.launch is None:
            return nullcontext()
        from depth.ops.triton_launch import use_launches

        tile, _, warps = self.launch.partition('x')
        return use_launches([(int(tile), int(warps))])

    def load(self, spec: Spec) -> Config:
        """Read the config as the setting has it; no weights are fetched."""
        cfg = load_config(spec.config, dict(spec.options, **self.options))
        if 'model' in cfg:
            skip_pretrained(cfg)
        if self.published:
            make_published(cfg)
        if self.flip is not None and 'model' in cfg:
            cfg.model.test_cfg = dict(cfg.model.get('test_cfg') or {}, flip=self.flip)
        return cfg


def parse_setting(text: str) -> Setting:
    """Parse a setting such as ``"model.x=1 flip=True"``: config keys and fields of :class:`Setting`.

    ``default`` changes nothing.

    Raises:
        ValueError: If a word has a value that it cannot have.
    """
    items, words = {}, {}
    for item in text.split():
        key, _, value = item.partition('=')
        if key in WORDS:
            words[key] = value
        else:
            items[key] = value
    if words.get('autocast') not in (None, 'bf16', 'fp16'):
        raise ValueError(f'autocast is bf16 or fp16, got {words["autocast"]!r}')
    if words.get('flip') not in (None, 'True', 'False'):
        raise ValueError(f'flip is True or False, got {words["flip"]!r}')
    return Setting(
        name=text,
        options=parse_cfg_options([f'{key}={value}' for key, value in items.items()]),
        published='published' in words or 'published_tf32' in words,
        tf32='published_tf32' in words,
        backend=words.get('backend', 'auto'),
        flip=None if 'flip' not in words else words['flip'] == 'True',
        autocast=words.get('autocast'),
        packed='packed' in words,
        launch=words.get('launch'),
    )


def make_published(cfg: Config) -> None:
    """Remove compilation, autocast, fused optimizers and other speed options from a config."""
    for key in ('compile', 'channels_last', 'activation_checkpointing', 'inference'):
        cfg.pop(key, None)
    if 'env_cfg' in cfg:
        cfg.env_cfg.pop('tf32', None)
        cfg.env_cfg.keep_freed_memory = False
    wrapper = cfg.get('optim_wrapper')
    if wrapper:
        if wrapper.get('type') == 'AmpOptimWrapper':
            wrapper.type = 'OptimWrapper'
            for key in ('dtype', 'loss_scale'):
                wrapper.pop(key, None)
        for key in ('fused', 'foreach'):
            wrapper.optimizer.pop(key, None)
        # One group for each parameter, and fused nowhere.
        wrapper.constructor = 'DefaultOptimWrapperConstructor'


@contextmanager
def tensor_float(allowed: bool | None) -> Iterator[None]:
    """Allow or forbid TF32 inside the block; None leaves it as it is. Afterwards it is as before."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    if allowed is not None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
