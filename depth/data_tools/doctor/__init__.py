"""The data doctor: checks a config's data sets before use, and advises on each finding."""

from .examine import examine
from .report import Finding, Report, format_report

__all__ = ['Finding', 'Report', 'examine', 'format_report']
