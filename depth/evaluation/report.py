"""Results of a protocol as tables, and as plain values for JSON files."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .protocols import TTAS, Protocol, fingerprint


@dataclass
class ProtocolResult:
    """Numbers of one protocol with what they depend on.

    Attributes:
        protocol: The protocol.
        metrics: Value by metric.
        names: Images that were scored.
        values: For each metric the value of every scored image, None where an image has none.
        skipped: Images without ground truth that counts.
        prediction_type: Type of the predictions.
        tta: Test-time augmentation of the predictions, as the model reported it.
        counts: For metrics that not every image has, how many have it.
        view: What was scored of the frames, in words, where the protocol takes any view and it was not the full one.
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

    def definition(self) -> dict:
        """Return the protocol's definition; a view other than the full frame is in its name and its fingerprint."""
        definition = self.protocol.describe()
        if not self.view:
            return definition
        digest = fingerprint(dict(protocol=definition['fingerprint'], view=self.view))
        return dict(definition, name=f'{self.protocol.name} (view: {self.view})', fingerprint=digest)

    def describe(self) -> dict:
        """Return the protocol's definition and the circumstances, plain values."""
        return dict(
            self.definition(),
            published_num_images=self.protocol.num_images,
            num_images=len(self.names),
            num_skipped=len(self.skipped),
            prediction_type=self.prediction_type,
            tta_used=self.tta,
            images_with=self.counts,
        )

    def per_image(self) -> dict:
        """Return every image's values, images named below the folder that all share."""
        names = relative_names([*self.names, *self.skipped])
        count = len(self.names)
        return dict(protocol=self.describe(), images=names[:count], skipped=names[count:], values=self.values)

    def origin(self) -> str:
        """Return where the numbers come from, in a line or more."""
        protocol, count = self.protocol, len(self.names)
        definition = self.definition()
        text = f'protocol {definition["name"]} v{protocol.version} ({definition["fingerprint"]}), '
        text += f'{_OVER[protocol.average]} {count} images'
        if self.skipped:
            text += f', {len(self.skipped)} without valid ground truth left out'
        if protocol.num_images not in (None, count + len(self.skipped)):
            text += f' (the published list has {protocol.num_images})'
        if self.prediction_type != 'metric':
            text += f'\npredictions: {self.prediction_type}'
        if protocol.tta not in ('any', self.tta) and self.tta != 'unknown':
            text += f'\npublished numbers have test-time augmentation: {TTAS[protocol.tta]}; here: {self.tta}'
        return text


_OVER = dict(image='mean over', pixel='over the pixels of', image_square='mean (of squares for roots) over')


def table(result: ProtocolResult) -> str:
    """Return the usual table, with the protocol and the number of images below it."""
    groups = [{}, {}]
    for name, value in result.metrics.items():
        groups[name in result.counts][name] = value
    lines = [*_two_lines(groups[0])]
    for name, value in groups[1].items():
        lines.append(f'{name:>20} {value:8.4f}  ({result.counts[name]} images)')
    return '\n' + '\n'.join([*lines, result.origin()])


def _two_lines(metrics: dict[str, float]) -> list[str]:
    return [' '.join(f'{name:>8}' for name in metrics), ' '.join(f'{value:8.4f}' for value in metrics.values())]


def side_by_side(results: Sequence[ProtocolResult], left_out: dict[str, str]) -> str:
    """Return one row a protocol for the same predictions, then the protocols that could not score them and why."""
    names = [name for name in results[0].metrics if name not in results[0].counts]
    lines = [f'{"images":>7} ' + ' '.join(f'{name:>8}' for name in names) + '  protocol']
    for result in results:
        values = ' '.join(f'{result.metrics[name]:8.4f}' for name in names)
        definition = result.definition()
        lines.append(f'{len(result.names):7d} {values}  {definition["name"]} ({definition["fingerprint"]})')
    lines.extend(f'not scored: {name}: {reason}' for name, reason in left_out.items())
    return '\nthe same predictions under every protocol that applies\n' + '\n'.join(lines)


def relative_names(paths: Sequence[str]) -> list[str]:
    """Return paths below the folder that all share, so that they do not depend on where the data lies."""
    if not paths:
        return []
    common = os.path.commonpath([str(Path(path).parent) for path in paths])
    return [Path(os.path.relpath(path, common)).as_posix() if common else str(path) for path in paths]


def json_text(content: object, indent: int | None = None) -> str:
    """Return plain values as JSON, with null for what is not finite: readers of JSON know no NaN."""
    return json.dumps(_finite(content), indent=indent, allow_nan=False) + '\n'


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
