"""How much memory a run will take, and whether a worker that is there has so much."""

from django.utils.translation import gettext as _
from pydantic import BaseModel

from alignment.kinds import KINDS
from alignment.kinds.kind import Kind
from alignment.seam.memory import PROGRAM
from alignment.seam.memory_use import GIB, smaller
from webapp.artifacts.models import Artifact
from webapp.launch.checks import Asked
from webapp.runs.forecasts import START, known_memory
from webapp.runs.waiting import live_workers
from webapp.site.templatetags.display import filesize


def memory_in_words(needed: int) -> str:
    """The memory that a run takes, as the end of a paragraph; empty where nobody knows it."""
    return (
        " " + _("It needs about {size} of memory.").format(size=filesize(needed)) if needed else ""
    )


def needed_memory(kind: Kind, asked: Asked) -> int:
    """Bytes that a run with these settings takes beside the program itself; 0 where nobody knows."""
    start = next((asked.inputs[role] for role in START if role in asked.inputs), None)
    if start is None:
        return kind.memory(asked.config, None)
    shape, known = known_memory(start)
    return kind.memory(asked.config, shape) if shape else known.get(kind.name, 0)


def most_memory(model: Artifact) -> int:
    """Bytes of the kind that takes the most with this model, by its usual settings; 0 where nobody knows."""
    shape, known = known_memory(model)
    if shape:
        return max(kind.memory(kind.settings(), shape) for kind in KINDS.values() if kind.inputs)
    return max(known.values(), default=0)


def too_large(needed: int, config: BaseModel) -> str:
    """Why no worker that is there has so much memory, and what takes less; empty where one has, or nobody knows.

    A worker with a GPU is let pass: its models are not in its machine's memory.
    """
    workers = list(live_workers())
    rooms = [worker.memory_gib for worker in workers if worker.memory_gib]
    if not needed or not rooms or any(worker.hardware.get("gpus") for worker in workers):
        return ""
    room = int(max(rooms) * GIB)
    if needed + PROGRAM <= room:
        return ""
    words = _(
        "The run needs about {needed} of memory, and the largest worker has {room}. "
        "Try {smaller}, or start it all the same."
    )
    return words.format(
        needed=filesize(needed + PROGRAM),
        room=filesize(room),
        smaller=_(" or ").join(smaller(config.model_dump())),
    )
