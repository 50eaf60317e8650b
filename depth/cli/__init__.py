"""The ``depth`` command: one module for each subcommand, shared with the scripts of ``tools/``."""
