"""Who executes runs: each worker's row, and what its machine has."""

import os
import platform
import shutil
import socket
import subprocess
import time

from django.db.models.functions import Now

from alignment.seam import memory_use
from webapp.runs.models import Worker

NAME = "ATTUNE_WORKER"  # in the environment, so that pool processes share their worker's row
GPU_FACTS = ("name", "memory.total", "memory.free", "driver_version", "uuid")


def name_this_worker() -> str:
    """Choose the worker's name before its pool starts: host, process id and start."""
    os.environ[NAME] = f"{socket.gethostname()}:{os.getpid()}:{int(time.time())}"
    return os.environ[NAME]


def register(queue: str) -> Worker:
    """This worker's row, made on first use and seen now."""
    host, pid, _ = (os.environ.get(NAME) or name_this_worker()).rsplit(":", 2)
    worker, _ = Worker.objects.get_or_create(
        name=os.environ[NAME],
        defaults={"host": host, "pid": int(pid), "queue": queue, "hardware": hardware()},
    )
    return worker


def seen(queue: str) -> None:
    """Say that this worker of a queue is alive, for the first time or again."""
    if not Worker.objects.filter(name=os.environ[NAME]).update(last_seen=Now()):
        register(queue)


def drain() -> None:
    """This worker takes no more runs, and asks the one it has to save and stop."""
    Worker.objects.filter(name=os.environ[NAME]).update(draining=True, last_seen=Now())


def deregister() -> None:
    """Remove this worker's row: it is gone."""
    Worker.objects.filter(name=os.environ[NAME]).delete()


def hardware() -> dict[str, object]:
    """Cores, memory and GPUs of this machine."""
    return {
        "cores": os.cpu_count(),
        "memory_gib": gib(memory_use.room()),
        "platform": platform.platform(terse=True),
        "gpus": gpus(),
    }


def gib(size: int) -> float:
    """A size in bytes as a worker's row has it."""
    return round(size / memory_use.GIB, 1)


def gpus() -> list[dict[str, str]]:
    """What nvidia-smi lists, memory in MiB; nothing where there is no such program."""
    if (program := shutil.which("nvidia-smi")) is None:
        return []
    query = [program, f"--query-gpu={','.join(GPU_FACTS)}", "--format=csv,noheader,nounits"]
    result = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)  # noqa: S603 - a fixed program
    rows = result.stdout.splitlines() if result.returncode == 0 else []
    return [dict(zip(GPU_FACTS, row.split(", "), strict=False)) for row in rows]
