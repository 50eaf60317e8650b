"""Check that necks and head are configured for the channels of the features that they get.

A backbone states its channels in ``out_channels``, finest level first; a neck does too, or it is
run once on the meta device, where shapes are computed but no values. Modules without
``in_channels`` take any features and are not checked, nor is anything behind a module whose
channels are unknown.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

PROBE_SIDE = 256  # pixels of the imagined square image whose features a neck is run on


def check_feature_channels(
    backbone: nn.Module,
    necks: Sequence[nn.Module],
    decode_head: nn.Module,
    neck_configs: Mapping[str, Mapping],
    head_config: Mapping,
) -> None:
    """Compare ``in_channels`` of every neck and of the head with the channels that reach it.

    Args:
        backbone: Unchecked if it states no list ``out_channels``.
        necks: In the order in which they are applied.
        decode_head: Head behind the last neck.
        neck_configs: Config of each neck by its place in the config, such as ``model.neck``.
        head_config: Config of the head.

    Raises:
        ValueError: If ``in_channels`` of a module differ from the channels of its input.
    """
    channels = stated_channels(backbone)
    source = 'the backbone gives'
    for neck, (config_path, config) in zip(necks, neck_configs.items(), strict=True):
        check_in_channels(config_path, config, neck, channels, source)
        channels = neck_channels(neck, channels, getattr(backbone, 'out_strides', None))
        source = 'backbone and neck give'
    check_in_channels('model.decode_head', head_config, decode_head, channels, source)


def check_in_channels(
    config_path: str, config: Mapping, module: nn.Module, channels: list[int] | None, source: str
) -> None:
    """Refuse a module whose ``in_channels`` differ from the ``channels`` of the feature levels.

    Args:
        config_path: Place of the module's config, for the message.
        config: The module's config; where it leaves ``in_channels`` to the default, the module's
            attribute counts.
        module: Neck or head.
        channels: Channels of every level, finest first; None if they are unknown.
        source: Subject and verb of the message: who gives these levels.

    Raises:
        ValueError: If a list ``in_channels`` is not ``channels``, or if an integer is the width of
            none of the levels.
    """
    in_channels = config.get('in_channels')
    if in_channels is None:
        in_channels = getattr(module, 'in_channels', None)
    if channels is None or in_channels is None:
        return
    if isinstance(in_channels, int):
        # A head that reads a single level names its width alone, and not which level it is.
        fits = in_channels in channels
    else:
        in_channels = list(in_channels)
        fits = in_channels == channels
    if not fits:
        raise ValueError(f'{config_path}.in_channels is {in_channels}, but {source} {channels}')


def stated_channels(module: nn.Module) -> list[int] | None:
    """Return the module's ``out_channels``, one entry a level.

    None where it states no such list.
    """
    channels = getattr(module, 'out_channels', None)
    return list(channels) if isinstance(channels, Sequence) else None


def neck_channels(
    neck: nn.Module, channels: list[int] | None, strides: Sequence[int] | None
) -> list[int] | None:
    """Return the channels of a neck's output for input levels of ``channels``, None if unknown."""
    stated = stated_channels(neck)
    if stated is not None or channels is None:
        return stated
    if strides is None:
        strides = [2 ** (level + 1) for level in range(len(channels))]
    feats = []
    for width, stride in zip(channels, strides, strict=True):
        side = max(PROBE_SIDE // stride, 1)
        # Two images: BatchNorm in training mode refuses a single value a channel.
        feats.append(torch.empty(2, width, side, side, device='meta'))
    try:
        outputs = _run_on_meta(neck, feats)
        return [output.shape[1] for output in outputs]
    except Exception:
        # A neck may hold constants that are on the CPU or look at values. Its head is not checked
        # then; if the neck itself is at fault, the first batch raises its error.
        return None


@torch.no_grad()
def _run_on_meta(module: nn.Module, feats: list[Tensor]) -> Sequence[Tensor]:
    """Call ``module`` with its parameters and buffers replaced by meta tensors.

    The module stays as it is.
    """
    tensors = dict(module.named_parameters()) | dict(module.named_buffers())
    meta_tensors = {name: tensor.to('meta') for name, tensor in tensors.items()}
    return torch.func.functional_call(module, meta_tensors, (feats,))
