"""Exceptions of configs and of trainings."""


class ConfigError(ValueError):
    """Raised for a config that cannot work; names the key, its value and the accepted ones."""


class NonFiniteError(RuntimeError):
    """Raised if loss, gradient or weights are not finite; names the step and its samples."""


class NothingToLearnError(RuntimeError):
    """Raised for a training without any ground truth; names the data set."""


class WorkDirInUseError(OSError):
    """Raised if another training holds the work dir."""
