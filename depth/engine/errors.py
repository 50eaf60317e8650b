"""Errors of a config and of a training."""


class ConfigError(ValueError):
    """A config that cannot work; the message names the place, the value and what is accepted."""


class NonFiniteError(RuntimeError):
    """A training whose loss, gradient or weights are not finite; the message names the step and its samples."""


class NothingToLearnError(RuntimeError):
    """A training without any ground truth; the message names the data set."""


class WorkDirInUseError(OSError):
    """Another training holds the work dir."""
