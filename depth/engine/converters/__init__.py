"""Converters of published checkpoints: one function per method, in ``depth.registry.CONVERTERS``.

``tools/model_converters/convert_official.py METHOD SRC DST`` runs them. A folder of ``projects``
adds its own in ``projects/<Name>/converters.py``.
"""

from .convert import convert_official, write_converted
from .dense_heads import (
    convert_adabins,
    convert_bts,
    convert_depthformer,
    convert_dpt,
    convert_newcrfs,
    convert_simipu,
)
from .depth_anything import (
    convert_depth_anything_3,
    convert_depth_anything_v2,
    convert_dinov2,
    convert_dpt_decoder,
)
from .depth_pro import convert_depth_pro
from .metric3d import convert_metric3d
from .moge import convert_moge2
from .query_heads import (
    MASK2FORMER_RULES,
    convert_binsformer,
    convert_mask_head,
    convert_mmdepth_binsformer,
)
from .state import SOURCES, PublishedFile, PublishedState, Source, find_source, register_converter
from .swin import convert_swin
from .zoedepth import convert_zoedepth

__all__ = [
    'MASK2FORMER_RULES',
    'SOURCES',
    'PublishedFile',
    'PublishedState',
    'Source',
    'convert_adabins',
    'convert_binsformer',
    'convert_bts',
    'convert_depth_anything_3',
    'convert_depth_anything_v2',
    'convert_depth_pro',
    'convert_depthformer',
    'convert_dinov2',
    'convert_dpt',
    'convert_dpt_decoder',
    'convert_mask_head',
    'convert_metric3d',
    'convert_mmdepth_binsformer',
    'convert_moge2',
    'convert_newcrfs',
    'convert_official',
    'convert_simipu',
    'convert_swin',
    'convert_zoedepth',
    'find_source',
    'register_converter',
    'write_converted',
]
