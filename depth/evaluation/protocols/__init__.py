"""Named protocols: everything besides the predictions that a number depends on."""

import difflib

from ..prediction_types import PredictionType
from .completion import COMPLETION
from .general import AFFINE_INVARIANT, FOCAL_LENGTHS, OWN_DATA
from .protocol import RESIZES, TTAS, Protocol, fingerprint
from .published import DEPTH_ANYTHING, SELF_SUPERVISED, SUPERVISED, ZERO_SHOT

INDOOR_LIMIT = 10.0  # metres; protocols that end farther away are for outdoor data
PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        SUPERVISED
        + ZERO_SHOT
        + DEPTH_ANYTHING
        + SELF_SUPERVISED
        + COMPLETION
        + AFFINE_INVARIANT
        + OWN_DATA
        + FOCAL_LENGTHS
    )
}


def get_protocol(name: str) -> Protocol:
    """Return a protocol by name.

    Raises:
        ValueError: If there is none; the message lists the nearest names.
    """
    if name not in PROTOCOLS:
        near = difflib.get_close_matches(name, PROTOCOLS, n=3, cutoff=0.3)
        near = near or sorted(PROTOCOLS)
        raise ValueError(f'unknown protocol {name!r}, did you mean {", ".join(near)}?')
    return PROTOCOLS[name]


def register_protocol(protocol: Protocol) -> Protocol:
    """Register a protocol under its name, for configs and tools, and return it.

    Raises:
        ValueError: If the name has another definition already.
    """
    registered = PROTOCOLS.setdefault(protocol.name, protocol)
    if registered != protocol:
        raise ValueError(
            f'protocol {protocol.name!r} exists with another definition; choose another name'
        )
    return protocol


def applicable_protocols(
    dataset: str, kind: str | PredictionType, max_depth: float | None = None
) -> list[Protocol]:
    """Return the protocols for a data set, or for any, that can score a type of predictions.

    Args:
        dataset: ``dataset`` of the samples.
        kind: Type of the predictions.
        max_depth: Far end of the data set's range in metres. Of the protocols for any data set only
            those for indoor ranges (up to 10 m) or only those for outdoor ranges apply.
    """
    protocols = []
    for protocol in PROTOCOLS.values():
        if protocol.datasets:
            fits_data = dataset in protocol.datasets
        else:
            # The same fit is registered with an indoor and an outdoor range; one of them fits.
            is_indoor = protocol.max_depth <= INDOOR_LIMIT
            fits_data = max_depth is None or (max_depth <= INDOOR_LIMIT) == is_indoor
        if fits_data and protocol.accepts(kind):
            protocols.append(protocol)
    return protocols


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
