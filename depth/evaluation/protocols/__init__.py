"""Named protocols: everything besides the predictions that a number depends on."""

import difflib

from ..prediction_types import PredictionType
from .affine_invariant import AFFINE_INVARIANT
from .own import OWN
from .protocol import RESIZES, TTAS, Protocol, fingerprint
from .self_supervised import SELF_SUPERVISED
from .supervised import SUPERVISED
from .zero_shot import ZERO_SHOT

_ALL = (*SUPERVISED, *ZERO_SHOT, *SELF_SUPERVISED, *AFFINE_INVARIANT, *OWN)
INDOOR = 10.0  # metres
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


def register_protocol(protocol: Protocol) -> Protocol:
    """Add a protocol of your own, so that configs and tools know it by its name; returns it.

    Raises:
        ValueError: If another definition has the name already.
    """
    known = PROTOCOLS.setdefault(protocol.name, protocol)
    if known != protocol:
        raise ValueError(f'protocol {protocol.name!r} exists with another definition; choose another name')
    return protocol


def applicable_protocols(dataset: str, kind: str | PredictionType, max_depth: float | None = None) -> list[Protocol]:
    """Return the protocols made for a data set, or for any, that can score a type of predictions.

    Args:
        dataset: ``dataset`` of the samples.
        kind: Type of the predictions.
        max_depth: Far end of the data set's range in metres; of the protocols for any data set only those for indoor
            (up to 10 m) or only those for outdoor ranges apply.
    """

    def is_meant(protocol: Protocol) -> bool:
        if protocol.datasets:
            return dataset in protocol.datasets
        return max_depth is None or (max_depth <= INDOOR) == (protocol.max_depth <= INDOOR)

    return [protocol for protocol in PROTOCOLS.values() if protocol.accepts(kind) and is_meant(protocol)]


__all__ = [
    'PROTOCOLS',
    'RESIZES',
    'TTAS',
    'Protocol',
    'applicable_protocols',
    'fingerprint',
    'get_protocol',
    'register_protocol',
]
