"""Converter of published SD-ConvTrans checkpoints."""

import re

from torch import Tensor

from depth.engine.converters import PublishedState
from depth.registry import CONVERTERS

_RULES = (
    (r'^layer0\.0\.', 'backbone.conv.net.conv1.'),
    (r'^layer0\.1\.', 'backbone.conv.net.bn1.'),
    (r'^layer(\d)\.0\.', r'backbone.conv.net.layer\1.'),
    (r'^backbone\.patch_embed1\.', 'backbone.transformer.net.patch_embed.'),
    (r'^predict1\.', 'decode_head.fuse.'),
    (r'^predict2\.0\.', 'decode_head.conv_depth.'),
    (r'^agg5\.', 'decode_head.detail_aggregation.'),
    (r'^toplayer\.', 'decode_head.pyramid.laterals.3.'),
    (r'^tbdn\.conv_gg\.', 'decode_head.diffusion.conv_difference.'),
    (r'^tbdn\.conv2\.0\.', 'decode_head.diffusion.fuse.'),
    (r'^tbdn\.conv2\.1\.', 'decode_head.diffusion.norm.'),
)


@CONVERTERS.register_module(name='sdconvtrans')
def convert_sdconvtrans(state: PublishedState) -> dict[str, Tensor]:
    """Rename the parameters; drop the unused semantic head and difference convolution.

    A file without ``tbdn.conv_gg.weight`` (the published code draws it anew in every forward pass)
    is refused.
    """
    state.drop(r'^decode_head\.')
    state.drop(r'^tbdn\.conv1\.')
    if 'tbdn.conv_gg.weight' not in state:
        raise ValueError(
            f'{state.source} has no tbdn.conv_gg.weight. The published network draws these weights '
            'anew in every forward pass, so that its detailed depth is random; save a checkpoint '
            'after a forward pass, or train',
        )
    return {_our_name(name): state.take(name) for name in state.names()}


def _our_name(name: str) -> str:
    """Return our name of a published parameter."""
    for pattern, replacement in _RULES:
        renamed, count = re.subn(pattern, replacement, name)
        if count:
            return renamed
    return _numbered(name) or name


def _numbered(name: str) -> str | None:
    """Return our name of a module that the published code numbers from 1.

    The direction, coarse to fine or fine to coarse, differs between modules.
    """
    match = re.match(r'^(?:backbone\.)?(\D+?)(\d)\.(.*)$', name)
    if match is None:
        raise ValueError(f'SD-ConvTrans has no weight {name!r}; is it a checkpoint of this method?')
    module, number, suffix = match.groups()
    index = int(number) - 1
    if module == 'latlayer':  # 1 is the second coarsest
        return f'decode_head.pyramid.laterals.{2 - index}.{suffix}'
    if module == 'smooth':
        return f'decode_head.pyramid.smooths.{2 - index}.{suffix}'
    if module == 'up':
        return f'decode_head.ups.{2 - index}.{suffix}'
    if module == 'agg':  # the high branch applies number 1 to the finest level
        return f'decode_head.conv_aggregations.{index}.{suffix}'
    if module == 'aggs':
        return f'decode_head.transformer_aggregations.{index}.{suffix}'
    stage = f'backbone.transformer.net.stages_{index}'
    if module == 'patch_embed':
        return f'{stage}.downsample.{suffix}'
    suffix = suffix.replace('mlp.dwconv.dwconv.', 'mlp.dwconv.')
    return f'{stage}.blocks.{suffix}' if module == 'block' else f'{stage}.norm.{suffix}'
