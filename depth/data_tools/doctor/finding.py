"""What the doctor reports."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

SEVERITIES = ('error', 'warning', 'note')
MAX_EXAMPLES = 3


@dataclass
class Finding:
    """One thing that is wrong, or worth knowing, with one split.

    Attributes:
        severity: ``error`` (numbers or the run would be wrong), ``warning`` (look at it) or ``note``.
        kind: Which check found it, a short fixed word.
        split: ``train``, ``val``, ``test``, or two of them.
        what: What was found, with numbers.
        advice: What to do.
        count: How many samples it concerns.
        examples: A few of them.
    """

    severity: str
    kind: str
    split: str
    what: str
    advice: str
    count: int = 1
    examples: list[str] = field(default_factory=list)

    def as_dict(self) -> dict:
        """Return plain values."""
        return asdict(self)


def some(items: Sequence[str]) -> list[str]:
    """Return the first few of a list, and how many were left out."""
    shown = [str(item) for item in items[:MAX_EXAMPLES]]
    left = len(items) - len(shown)
    return [*shown, f'... and {left} more'] if left else shown
