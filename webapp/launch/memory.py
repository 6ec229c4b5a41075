"""How much memory a run will take, and whether a worker that is there has so much."""

import math
from collections.abc import Iterable

from django.utils.translation import gettext as _
from pydantic import BaseModel

from alignment.kinds import KINDS
from alignment.kinds.kind import Kind
from alignment.seam.memory import PROGRAM
from alignment.seam.memory_use import GIB, smaller
from webapp.artifacts.models import Artifact
from webapp.launch.checks import Asked
from webapp.runs.forecasts import START, Ground, known_memory
from webapp.runs.models import Worker
from webapp.site.templatetags.display import filesize


def memory_in_words(needed: int) -> str:
    """The memory that a run takes, as the end of a paragraph; empty where nobody knows it."""
    return (
        " " + _("It needs about {size} of memory.").format(size=filesize(needed)) if needed else ""
    )


def needed_memory(kind: Kind, asked: Asked, ground: Ground) -> int:
    """Bytes that a run with these settings takes beside the program itself; 0 where nobody knows."""
    start = next((asked.inputs[role] for role in START if role in asked.inputs), None)
    if start is None:
        return kind.memory(asked.config, None)
    shape, known = ground.memory_of(start)
    return kind.memory(asked.config, shape) if shape else known.get(kind.name, 0)


def most_memory(model: Artifact) -> int:
    """Bytes of the kind that takes the most with this model, by its usual settings; 0 where nobody knows."""
    shape, known = known_memory(model)
    if shape:
        return max(kind.memory(kind.settings(), shape) for kind in KINDS.values() if kind.inputs)
    return max(known.values(), default=0)


def room_on(worker: Worker, config: BaseModel) -> float:
    """Bytes that a worker has for models of a run with these settings; 0 where nobody knows, infinite where it is let pass.

    GPUs count together where layers are spread over them, else the largest does. What is spread and learns nothing may
    stay on the disk. Several GPUs may share what is trained whole, and other kinds say nothing of devices.
    """
    gpus, placement = worker.gpu_bytes, getattr(config, "placement", "")
    rank = getattr(config, "lora_rank", None)
    if placement == "spread" and rank is None:
        return math.inf
    if not gpus:
        return worker.memory_gib * GIB
    if not placement or rank == 0 or not all(gpus):
        return math.inf
    return sum(gpus) if placement == "spread" else max(gpus)


def too_large(needed: int, config: BaseModel, workers: Iterable[Worker]) -> str:
    """Why none of the workers that are there has so much memory, and what takes less; empty where one has, or nobody knows."""
    room = max((room_on(worker, config) for worker in workers), default=0)
    if not needed or not room or needed + PROGRAM <= room:
        return ""
    words = _(
        "The run needs about {needed} of memory, and the largest worker has {room}. "
        "Try {smaller}, or start it all the same."
    )
    return words.format(
        needed=filesize(needed + PROGRAM),
        room=filesize(int(room)),
        smaller=_(" or ").join(smaller(config.model_dump())),
    )
