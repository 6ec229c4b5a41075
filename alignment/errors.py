"""Errors that a person can act on; everything else is a bug and keeps its traceback."""


class AlignmentError(Exception):
    """A run cannot go on, for a reason its owner can act on; the message says what to change."""

    code = "failed"


class ConfigError(AlignmentError, ValueError):
    """The settings contradict each other or the model they are for."""

    code = "config"


class DataError(AlignmentError):
    """The prompts, labels or files given to a run cannot be used."""

    code = "data"


class DivergedError(AlignmentError):
    """Training left the finite numbers."""

    code = "nan"


class OutOfMemoryError(AlignmentError):
    """The device has too little memory for these settings."""

    code = "oom"


class CheckpointError(AlignmentError):
    """A stored folder is incomplete or does not match its manifest."""

    code = "checkpoint"
