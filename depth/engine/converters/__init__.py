"""Published checkpoints to ours: one registered function a method, in ``depth.registry.CONVERTERS``.

``tools/model_converters/convert_official.py METHOD SRC DST`` runs them. A folder of ``projects`` adds its own in
``projects/<Name>/converters.py``.
"""

from .adabins import convert_adabins
from .binsformer import convert_binsformer
from .bts import convert_bts
from .convert import convert_official, write_converted
from .depthformer import convert_depthformer
from .dpt import convert_dpt
from .mask_heads import MASK2FORMER_RULES, convert_mask_head
from .mmdepth_binsformer import convert_mmdepth_binsformer
from .newcrfs import convert_newcrfs
from .simipu import convert_simipu
from .state import PublishedState
from .swin import convert_swin

__all__ = [
    'MASK2FORMER_RULES',
    'PublishedState',
    'convert_adabins',
    'convert_binsformer',
    'convert_bts',
    'convert_depthformer',
    'convert_dpt',
    'convert_mask_head',
    'convert_mmdepth_binsformer',
    'convert_newcrfs',
    'convert_official',
    'convert_simipu',
    'convert_swin',
    'write_converted',
]
