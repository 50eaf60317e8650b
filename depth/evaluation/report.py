"""Results of a protocol, as tables and as plain values for JSON files."""

import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .protocols import TTAS, Protocol, fingerprint

COLUMN_WIDTH = 8
_AVERAGE_PHRASES = dict(
    image='mean over', pixel='over the pixels of', image_square='mean (of squares for roots) over'
)


@dataclass
class ProtocolResult:
    """Metrics of one protocol, with the images and the circumstances that they depend on.

    Attributes:
        protocol: The protocol.
        metrics: Value by metric.
        names: Images that were scored.
        values: For each metric the value of every scored image, None where an image has none.
        skipped: Images without ground truth that counts.
        prediction_type: Type of the predictions.
        tta: Test-time augmentation of the predictions, as the model reported it.
        counts: Number of images that have it, for each metric that not every image has.
        view: Scored views other than the full frame, as text, if the protocol takes any view; else
            ''.
        calibration: Calibration of the predictions, as the model reported it, '' if there is none.
    """

    protocol: Protocol
    metrics: dict[str, float]
    names: list[str]
    values: dict[str, list[float | None]]
    skipped: list[str]
    prediction_type: str
    tta: str
    counts: dict[str, int] = field(default_factory=dict)
    view: str = ''
    calibration: str = ''

    def definition(self) -> dict:
        """Return the protocol's definition; a partial view is in its name and its fingerprint."""
        definition = self.protocol.describe()
        if not self.view:
            return definition
        # Results of different views must not pass for comparable.
        digest = fingerprint(dict(protocol=definition['fingerprint'], view=self.view))
        return dict(
            definition, name=f'{self.protocol.name} (view: {self.view})', fingerprint=digest
        )

    def describe(self) -> dict:
        """Return the protocol's definition and the circumstances, plain values."""
        return dict(
            self.definition(),
            published_num_images=self.protocol.num_images,
            num_images=len(self.names),
            num_skipped=len(self.skipped),
            prediction_type=self.prediction_type,
            tta_used=self.tta,
            calibration=self.calibration,
            images_with=self.counts,
        )

    def per_image(self) -> dict:
        """Return every image's values, images named below the folder that all share."""
        names = relative_names(self.names + self.skipped)
        count = len(self.names)
        return dict(
            protocol=self.describe(),
            images=names[:count],
            skipped=names[count:],
            values=self.values,
        )

    def origin(self) -> str:
        """Return protocol, image counts, prediction type and augmentation as lines of text."""
        protocol = self.protocol
        count = len(self.names)
        definition = self.definition()
        text = f'protocol {definition["name"]} v{protocol.version} ({definition["fingerprint"]}), '
        text += f'{_AVERAGE_PHRASES[protocol.average]} {count} images'
        if self.skipped:
            text += f', {len(self.skipped)} without valid ground truth left out'
        if protocol.num_images not in (None, count + len(self.skipped)):
            text += f' (the published list has {protocol.num_images})'
        if self.prediction_type != 'metric':
            text += f'\npredictions: {self.prediction_type}'
        if self.calibration:
            text += f'\n{self.calibration}'
        if protocol.tta not in ('any', self.tta) and self.tta != 'unknown':
            text += (
                f'\npublished numbers have test-time augmentation: {TTAS[protocol.tta]}; here: '
                f'{self.tta}'
            )
        return text


def table(result: ProtocolResult) -> str:
    """Return the table of metrics, those that some images lack, and the numbers' origin."""
    common = {name: value for name, value in result.metrics.items() if name not in result.counts}
    lines = [_header(common), _values_line(common)]
    for name, count in result.counts.items():
        lines.append(f'{name:>20} {result.metrics[name]:8.4f}  ({count} images)')
    lines.append(result.origin())
    return '\n' + '\n'.join(lines)


def _header(names: Iterable[str]) -> str:
    return ' '.join(f'{name:>{COLUMN_WIDTH}}' for name in names)


def _values_line(metrics: dict[str, float]) -> str:
    # Registered pixel metrics may have longer names than the usual ones.
    cells = []
    for name, value in metrics.items():
        width = max(COLUMN_WIDTH, len(name))
        cells.append(f'{value:{width}.4f}')
    return ' '.join(cells)


def side_by_side(results: Sequence[ProtocolResult], left_out: dict[str, str]) -> str:
    """Return a table of one row a protocol, then the protocols that were left out, with reasons."""
    names = [name for name in results[0].metrics if name not in results[0].counts]
    lines = [f'{"images":>7} {_header(names)}  protocol']
    for result in results:
        values = _values_line({name: result.metrics[name] for name in names})
        definition = result.definition()
        lines.append(
            f'{len(result.names):7d} {values}  {definition["name"]} ({definition["fingerprint"]})'
        )
    for name, reason in left_out.items():
        lines.append(f'not scored: {name}: {reason}')
    return '\nthe same predictions under every protocol that applies\n' + '\n'.join(lines)


def relative_names(paths: Sequence[str]) -> list[str]:
    """Return paths relative to the folder that all share, so that results do not name a machine."""
    if not paths:
        return []
    common = os.path.commonpath([Path(path).parent for path in paths])
    if not common:
        return list(map(str, paths))
    return [Path(os.path.relpath(path, common)).as_posix() for path in paths]


def json_text(content: object, indent: int | None = None) -> str:
    """Return plain values as JSON, with null for numbers that are not finite: JSON has no NaN."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False) + '\n'


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
