"""Sections of a report as they are collected, and numbers as its tables show them."""

import math
from dataclasses import dataclass, field

import numpy as np

from depth.evaluation.statistics import bootstrap_mean
from depth.visualization import report_page as html


@dataclass
class Report:
    """Sections as they are made, and the reasons why others are not.

    Attributes:
        level: Coverage of the intervals.
        num_resamples: Resamples of the bootstrap and the permutation test.
        sections: Headings and contents, in the order of the page.
        left_out: Headings of sections that are not there, and why.
    """

    level: float
    num_resamples: int
    sections: list[tuple[str, html.Markup]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def add(self, heading: str, *content: str) -> None:
        """Add a section."""
        self.sections.append((heading, html.join(content)))

    def leave_out(self, heading: str, reason: str) -> None:
        """Note why a section is not there."""
        self.left_out.append((heading, reason))

    def bar(self, values: np.ndarray) -> html.Bar:
        """Return the mean of the finite values with its bootstrap interval, NaN without any."""
        values = np.asarray(values, np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            return html.Bar(math.nan, math.nan, math.nan)
        interval = bootstrap_mean(values, self.num_resamples, self.level)
        return html.Bar(interval.mean, interval.low, interval.high)


def number(value: float, digits: int = 4) -> str:
    """Return a number as text, ``-`` if it is not finite."""
    return f'{value:.{digits}f}' if math.isfinite(value) else '-'


def number_with_interval(bar: html.Bar) -> str:
    """Return a mean and its interval as text."""
    return f'{number(bar.mean)} ({number(bar.low)} to {number(bar.high)})'
