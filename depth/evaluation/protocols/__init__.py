"""Named protocols: everything besides the predictions that a number depends on."""

import difflib

from ..prediction_types import PredictionType
from .affine_invariant import AFFINE_INVARIANT
from .own import OWN
from .protocol import RESIZES, TTAS, Protocol
from .self_supervised import SELF_SUPERVISED
from .supervised import SUPERVISED
from .zero_shot import ZERO_SHOT

_ALL = (*SUPERVISED, *ZERO_SHOT, *SELF_SUPERVISED, *AFFINE_INVARIANT, *OWN)
PROTOCOLS = {protocol.name: protocol for protocol in _ALL}


def get_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ValueError: If there is none; the message lists the nearest names.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=3, cutoff=0.3) or sorted(PROTOCOLS)
        raise ValueError(f'unknown protocol {name!r}, did you mean {", ".join(near)}?')
    return PROTOCOLS[name]


def applicable_protocols(dataset: str, kind: str | PredictionType) -> list[Protocol]:
    """Return the protocols made for a data set, or for any, that can score a type of predictions.

    Args:
        dataset: ``dataset`` of the samples.
        kind: Type of the predictions.
    """
    return [
        protocol
        for protocol in PROTOCOLS.values()
        if protocol.accepts(kind) and (not protocol.datasets or dataset in protocol.datasets)
    ]


__all__ = ['PROTOCOLS', 'RESIZES', 'TTAS', 'Protocol', 'applicable_protocols', 'get_protocol']
