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
from .newcrfs import convert_newcrfs
from .simipu import convert_simipu
from .state import PublishedState
from .swin import convert_swin

__all__ = [
    'PublishedState',
    'convert_adabins',
    'convert_binsformer',
    'convert_bts',
    'convert_depthformer',
    'convert_dpt',
    'convert_newcrfs',
    'convert_official',
    'convert_simipu',
    'convert_swin',
    'write_converted',
]
