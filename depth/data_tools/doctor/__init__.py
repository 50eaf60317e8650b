"""The data doctor: checks a config's data sets before they are used, and says what to do about each finding."""

from .examine import Report, examine
from .finding import Finding

__all__ = ['Finding', 'Report', 'examine']
