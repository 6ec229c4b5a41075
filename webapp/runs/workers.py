"""Who executes runs: each worker's row, and what its machine has."""

import json
import os
import platform
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db.models.functions import Now

from alignment.seam import memory_use
from webapp.runs import supervisor, trainers
from webapp.runs.models import Worker

NAME = "ATTUNE_WORKER"  # in the environment, so that pool processes share their worker's row
MEASURING = 300.0  # seconds that a trainer may take to measure a machine
KNOWN_FOR = 7 * 86400.0  # seconds after which it is measured anew
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


def measure_machine(folder: Path) -> None:
    """Let a trainer measure how fast this machine computes, unless that is known, and note it with the worker's row."""
    path = folder / f"speed-{socket.gethostname()}.json"
    if not _is_fresh(path):
        folder.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as found:
            command, ours = settings.SPEED_COMMAND, supervisor.environment()
            process = trainers.start(command, folder, found, ours)
        with suppress(subprocess.TimeoutExpired):
            process.wait(MEASURING)
        supervisor.kill(process)
    if speed := known_speed(path):
        worker = Worker.objects.filter(name=os.environ[NAME]).first()
        if worker is not None:
            worker.hardware |= {"speed": speed}
            worker.save(update_fields=["hardware"])


def _is_fresh(path: Path) -> bool:
    """Whether the machine was measured not long ago."""
    return (
        path.exists() and bool(known_speed(path)) and time.time() - path.stat().st_mtime < KNOWN_FOR
    )


def known_speed(path: Path) -> dict[str, float]:
    """What was measured; nothing where that did not work."""
    try:
        *_, last = path.read_text(encoding="utf-8").splitlines()
        found: dict[str, float] = json.loads(last)
    except (OSError, ValueError):  # it was ended, or could not begin
        return {}
    return found


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
