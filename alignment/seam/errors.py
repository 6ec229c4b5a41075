"""Errors that a person can act on; everything else is a bug and keeps its traceback."""

from alignment.seam.words import _


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


class StartError(AlignmentError):
    """What a run starts from is not what its files say."""

    code = "start"


class OutOfMemoryError(AlignmentError):
    """The device has too little memory for these settings."""

    code = "oom"


class ServerError(AlignmentError):
    """Another program's server did not answer, or not as agreed."""

    code = "server"


class CheckpointError(AlignmentError):
    """A stored folder is incomplete or does not match its manifest."""

    code = "checkpoint"


FULL_DISK = (
    4  # exit status of a trainer whose disk is full: it may be unable to write its last event
)
PANIC = "PanicException"  # what tokenizers and safetensors raise where they give up
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory")


def explained(error: BaseException) -> AlignmentError | None:
    """What a person can do about a foreign error; None where it is a bug."""
    if type(error).__name__ == PANIC:
        reason = str(error).partition("\n")[0]
        return DataError(
            _("A library that reads the model's files gave up, on a text perhaps: {reason}").format(
                reason=reason
            )
        )
    if isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY):
        return OutOfMemoryError(
            _(
                "The machine ran out of memory; try a smaller batch, fewer completions at once or a "
                "smaller completion length limit."
            )
        )
    return None
