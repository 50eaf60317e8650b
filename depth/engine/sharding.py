"""Fully sharded training (FSDP2): weights, gradients and moments are divided over the processes.

``fully_shard`` of PyTorch divides the parameters of each block of a network. A block's parameters
are gathered when it runs, forward and backward, and freed afterwards; its gradients are averaged
and divided as they arise. Everything that belongs to no block, such as the stem and the head, is
one group that is gathered during the whole forward pass.

Reference: PyTorch FSDP: Experiences on Scaling Fully Sharded Data Parallel,
https://arxiv.org/abs/2304.11277; the second version is ``torch.distributed.fsdp.fully_shard``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import get_dist_info
from mmengine.model import BaseDataPreprocessor
from torch import nn

from depth.sharded_tensors import gather_tensors, is_sharded, local_tensor, shard_like

from .acceleration import DTYPES, compile_options, recompute_activations, with_autocast
from .errors import ConfigError

# Classes of the blocks that are gathered one at a time, by module and name: a class of timm may be
# missing in another version of it. Not BEiT's: their position tables are read from outside of the
# block, so they are gathered with the rest.
BLOCKS = frozenset(
    {
        'timm.models.vision_transformer.Block',
        'timm.models.eva.EvaBlock',
        'timm.models.eva.EvaBlockPostNorm',
        'timm.models.swin_transformer.SwinTransformerBlock',
        'timm.models.swin_transformer_v2.SwinTransformerV2Block',
        'timm.models.convnext.ConvNeXtBlock',
        'timm.models.pvt_v2.Block',
        'timm.models.resnet.BasicBlock',
        'timm.models.resnet.Bottleneck',
        'timm.models._efficientnet_blocks.DepthwiseSeparableConv',
        'timm.models._efficientnet_blocks.InvertedResidual',
        'depth.models.heads.newcrfs_head.CRFBlock',
        'depth.models.layers.deformable_attention.DeformableEncoderLayer',
        'depth.models.layers.transformer.QueryDecoderLayer',
    }
)
STRATEGIES = ('ddp', 'fsdp2')
CHECKPOINTS = ('full', 'sharded')
# Collectives of tensors on the CPU, for checkpoints and CPU offload, beside those of the GPU.
CUDA_BACKEND = 'cpu:gloo,cuda:nccl'


@dataclass(frozen=True)
class ShardingOptions:
    """Options of ``strategy = dict(type='fsdp2', ...)`` in a config.

    Attributes:
        param_dtype: ``'bfloat16'``: blocks of timm are gathered in it, under autocast; None for
            float32. The stem, the head, the losses, the residual stream and the optimizer stay in
            float32.
        reduce_dtype: Type in which gradients are averaged, ``'bfloat16'`` or None for float32.
        cpu_offload: Keep weights, gradients and moments in host memory, where the optimizer steps.
        recompute_blocks: Do not store the activations inside the blocks but compute them again in
            the backward pass.
        checkpoint: ``'full'``: one process writes one file, which is that of any other training.
            ``'sharded'``: each process writes its pieces, by torch's distributed checkpoint, and
            the first one the rest (docs/scale.md).
    """

    param_dtype: str | None = None
    reduce_dtype: str | None = None
    cpu_offload: bool = False
    recompute_blocks: bool = False
    checkpoint: str = 'full'


def sharding_options(cfg: Config) -> ShardingOptions | None:
    """Return the options of a config's ``strategy``; None for ``'ddp'``, the default.

    Raises:
        ConfigError: If the strategy or one of its options is unknown, or torch is too old.
    """
    strategy = cfg.get('strategy') or 'ddp'
    options = dict(type=strategy) if isinstance(strategy, str) else dict(strategy)
    name = options.pop('type', None)
    if name not in STRATEGIES:
        raise ConfigError(f'strategy is {" or ".join(map(repr, STRATEGIES))}, got {name!r}')
    if name == 'ddp':
        if options:
            raise ConfigError(f"strategy 'ddp' has no options, got {', '.join(options)}")
        return None
    known = [field.name for field in fields(ShardingOptions)]
    for key in options:
        if key not in known:
            raise ConfigError(f'strategy.{key}: fsdp2 has {", ".join(known)}')
    for key in ('param_dtype', 'reduce_dtype'):
        if options.get(key) not in (None, 'bfloat16'):
            raise ConfigError(f"strategy.{key} is 'bfloat16' or None, got {options[key]!r}")
    for key in ('cpu_offload', 'recompute_blocks'):
        if not isinstance(options.get(key, False), bool):
            raise ConfigError(f'strategy.{key} is True or False, got {options[key]!r}')
    if options.get('checkpoint', 'full') not in CHECKPOINTS:
        raise ConfigError(
            f"strategy.checkpoint is 'full' or 'sharded', got {options['checkpoint']!r}"
        )
    if tuple(int(number) for number in torch.__version__.split('.')[:2]) < (2, 6):
        raise ConfigError(
            f"strategy 'fsdp2' needs torch 2.6 or newer, this is {torch.__version__}; take 'ddp'"
        )
    return ShardingOptions(**options)


def find_blocks(model: nn.Module) -> list[str]:
    """Return the names of a model's blocks (:data:`BLOCKS`); none is inside of another."""
    names: list[str] = []
    for name, module in model.named_modules():
        is_inside = bool(names) and name.startswith(f'{names[-1]}.')
        if not is_inside and _is_block(module) and next(module.parameters(), None) is not None:
            names.append(name)
    return names


def _is_block(module: nn.Module, prefix: str = '') -> bool:
    paths = {f'{cls.__module__}.{cls.__qualname__}' for cls in type(module).__mro__}
    return any(path.startswith(prefix) for path in BLOCKS & paths)


def make_mesh() -> 'torch.distributed.DeviceMesh':
    """Return the row of all processes, over which tensors are divided."""
    from torch.distributed.device_mesh import init_device_mesh

    return init_device_mesh('cuda' if torch.cuda.is_available() else 'cpu', (get_dist_info()[1],))


def shard_model(
    model: nn.Module, options: ShardingOptions, mesh: 'torch.distributed.DeviceMesh | None' = None
) -> list[str]:
    """Divide the parameters of a model over all processes, in place.

    The class of each sharded module becomes a subclass of its own class; names do not change.
    Running statistics and other buffers stay whole on every process.

    Args:
        model: Estimator on the CPU, with the same weights on all processes.
        options: See there.
        mesh: Processes; all by default.

    Returns:
        Names of the blocks, each of which is gathered on its own.
    """
    from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard

    names = find_blocks(model)
    if options.recompute_blocks:
        recompute_activations(model, names)
    common = dict(mesh=make_mesh() if mesh is None else mesh, reshard_after_forward=True)
    if options.cpu_offload:
        common['offload_policy'] = CPUOffloadPolicy(pin_memory=torch.cuda.is_available())
    param_dtype = DTYPES.get(options.param_dtype)
    reduce_dtype = DTYPES.get(options.reduce_dtype, torch.float32)
    # Inputs stay as they are: autocast decides what of a block is computed in which type.
    block_precision = MixedPrecisionPolicy(param_dtype, reduce_dtype, cast_forward_inputs=False)
    if 'param_dtype_override_fn' in {field.name for field in fields(MixedPrecisionPolicy)}:
        # Scales of norms, on a CPU alone, have to be of their input's type.
        block_precision = replace(block_precision, param_dtype_override_fn=_keep_vectors)
    precision = MixedPrecisionPolicy(reduce_dtype=reduce_dtype)
    for name in names:
        block = model.get_submodule(name)
        # Layers of our own switch autocast off in places, where they need float32 weights.
        if param_dtype is not None and _is_block(block, 'timm.'):
            device = common['mesh'].device_type
            block.forward = with_autocast(block.forward, device, param_dtype)
            fully_shard(block, mp_policy=block_precision, **common)
        else:
            fully_shard(block, mp_policy=precision, **common)
    fully_shard(model, mp_policy=precision, **common)
    for module in model.modules():
        if isinstance(module, BaseDataPreprocessor):
            module.to(get_device())  # it moves batches to its own device
    return names


def _keep_vectors(parameter: nn.Parameter) -> torch.dtype | None:
    """Return the type in which biases and norms are gathered; None for that of all else."""
    return parameter.dtype if parameter.ndim <= 1 else None


def is_sharded_model(model: nn.Module) -> bool:
    """Return whether :func:`shard_model` has divided a model."""
    return any(is_sharded(parameter) for parameter in model.parameters())


def compile_blocks(model: nn.Module, switch: bool | dict | None) -> None:
    """Compile the forward pass of each block, in place, if ``compile`` of the config is on.

    What gathers and frees the parameters runs around the compiled code.
    """
    options = compile_options(switch)
    if options is None:
        return
    for name in find_blocks(model):
        block = model.get_submodule(name)
        block.forward = torch.compile(block.forward, **options)


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """Hold the whole parameters on every process within the block, for predictions.

    Forward passes then communicate nothing, so each process may run as many of them as it has
    images. A collective operation at its begin; without effect on a model that is not sharded.
    """
    if not is_sharded_model(model):
        yield
        return
    from torch.distributed.fsdp import FSDPModule

    modules = [module for module in model.modules() if isinstance(module, FSDPModule)]
    model.set_reshard_after_forward(False)
    for module in modules:
        module.unshard()
    try:
        yield
    finally:
        for module in modules:
            module.reshard()
        model.set_reshard_after_forward(True)


@contextmanager
def whole_parameters(module: nn.Module) -> Iterator[None]:
    """Give a module its whole parameters within the block, for code that changes them in place.

    Afterwards each process keeps its piece of what it has computed. A collective operation; without
    effect on parameters that are not sharded.
    """
    replaced = []
    for child in module.modules():
        for name, parameter in child.named_parameters(recurse=False):
            if is_sharded(parameter):
                replaced.append((child, name, parameter))
    for child, name, parameter in replaced:
        whole = nn.Parameter(parameter.detach().full_tensor(), parameter.requires_grad)
        child._parameters[name] = whole
    try:
        yield
    finally:
        for child, name, parameter in replaced:
            whole = child._parameters[name].detach()
            local_tensor(parameter).copy_(local_tensor(shard_like(whole, parameter)))
            child._parameters[name] = parameter


def whole_state(model: nn.Module) -> dict:
    """Return a model's weights, whole, on the CPU of every process; a collective operation."""
    return gather_tensors(model.state_dict())
