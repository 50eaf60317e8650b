"""The error that a wrong config gets."""


class ConfigError(ValueError):
    """A config that cannot work; the message names the place, the value and what is accepted."""


class WorkDirInUseError(OSError):
    """Another training holds the work dir."""
