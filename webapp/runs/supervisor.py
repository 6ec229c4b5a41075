"""A trainer in a process of its own: started, listened to, told to stop, and never left behind."""

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from alignment.seam import memory_use
from alignment.seam.control import ask_to_stop
from alignment.seam.events import Failed, Finished, Ready, Stopped
from alignment.seam.handing import HANDLE, KEY, hand_over
from webapp.runs import trainers
from webapp.runs.spool import Batch, read_batch

SECRET = re.compile(r"DATABASE_URL|REDIS_URL|SECRET|TOKEN|PASSWORD|CREDENTIAL|_KEY|DJANGO_|CELERY_")
LOGIN = re.compile(r"(://)[^/@\s]*@")  # in an address, as that of a proxy may have one
# What Python, the system's libraries, torch, GPUs and caches of models read; all else is other programs'.
NAMED = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|TZ|TMPDIR|TEMP|TMP|VIRTUAL_ENV|SYSTEMROOT|XDG_CACHE_HOME"
    r"|(HTTP|HTTPS|ALL|NO)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE"
    r"|PYTHON\w*|(LC|LD|DYLD|OMP|KMP|GOMP|MKL|OPENBLAS|NUMEXPR|CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|GLOO|TP|HIP|ROCR|HSA"
    r"|TORCH|TORCHINDUCTOR|PYTORCH|TRITON|HF|TRANSFORMERS|TOKENIZERS|SAFETENSORS|VLLM|ATTUNE)_\w+",
    re.IGNORECASE,
)
# What says where a tracker is, for trainers that tell it their runs; a key has to be named by whoever runs us.
TRACKED = {
    "mlflow": ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"),
    "wandb": ("WANDB_BASE_URL", "WANDB_ENTITY", "WANDB_PROJECT", "WANDB_MODE", "WANDB_DIR"),
}
KILL_AFTER = 1 / 6  # of the grace, between SIGTERM and SIGKILL
FENCE = 0.75  # of the lease: by then the trainer is dead, whatever the database does

Last = Finished | Stopped | Failed


@dataclass(frozen=True)
class Outcome:
    """How a trainer ended: its exit status (negative: a signal), its last word, what it was asked."""

    returncode: int
    last: Last | None
    asked: str  # "", "save" or "now"
    forced: bool  # we sent the signal
    began: bool = True  # it reported something
    squeeze: memory_use.Squeeze = memory_use.UNKNOWN  # its memory


class Trainer:
    """A running trainer: its events, its obedience, its end."""

    def __init__(self, process: "subprocess.Popen[bytes]", folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.offset = 0
        self.asked = ""
        self.asked_at = 0.0
        self.forced = False
        self.last: Last | None = None
        self.fence = Fence(process)
        self.memory = memory_use.Watch(process.pid)

    def next_batch(self) -> Batch | None:
        """What it reported since the confirmed offset, after at most one poll; None at its end."""
        self.memory.look()
        gone = self.process.poll() is not None  # asked first: what it wrote last is in the file
        batch = read_batch(self.folder / "events.jsonl", self.offset)
        if batch.events or batch.end > batch.start:
            return batch
        if gone:
            return None
        self._wait(settings.RUN_POLL)
        return batch

    def confirm(self, batch: Batch) -> None:
        """The batch is stored: read on behind it, and hold the fence back."""
        self.offset = batch.end
        for event in batch.events:
            if isinstance(event, Finished | Stopped | Failed):
                self.last = event
            elif isinstance(event, Ready):  # it has loaded, so that another may
                trainers.prepare_spare(environment())
        self.fence.renew()

    def obey(self, wish: str) -> None:
        """Pass a wish on ("save" or "now"); a trainer that does not end in time is ended.

        One that has not begun has nothing to save and reads no wishes yet: it is ended at once.
        """
        if wish and wish != self.asked:
            self._ask(wish)
        if not self.asked:
            return
        waited = time.monotonic() - self.asked_at
        if waited > settings.RUN_STOP_GRACE * (1 + KILL_AFTER):
            self.forced = True
            kill(self.process)
        elif waited > settings.RUN_STOP_GRACE or not self.offset:
            self.forced = True
            self.process.terminate()

    def outcome(self) -> Outcome:
        """How it ended, once it and all it started are gone."""
        kill(self.process)
        returncode = self.process.wait()  # first: then its memory is known
        return Outcome(
            returncode=returncode,
            last=self.last,
            asked=self.asked,
            forced=self.forced,
            began=self.offset > 0,
            squeeze=self.memory.squeeze(),
        )

    def _ask(self, wish: str) -> None:
        ask_to_stop(self.folder, wish)
        self.asked_at = self.asked_at or time.monotonic()
        self.asked = wish

    def _wait(self, seconds: float) -> None:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return


class Fence:
    """Kills the trainer when no renewal succeeded for most of a lease, by the monotonic clock.

    A thread, because a write that hangs in the database must not keep the trainer alive.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self.fired = threading.Event()
        self._done = threading.Event()
        self.renew()
        threading.Thread(target=self._watch, daemon=True).start()

    def renew(self) -> None:
        """A renewal succeeded now."""
        self._deadline = time.monotonic() + FENCE * settings.RUN_LEASE

    def close(self) -> None:
        """The trainer is over: nothing to watch."""
        self._done.set()

    def _watch(self) -> None:
        while (left := self._deadline - time.monotonic()) > 0:
            if self._done.wait(left):
                return
        self.fired.set()
        kill(self.process)


@contextmanager
def launch(folder: Path, *, asks_a_server: bool = False) -> Iterator[Trainer]:
    """Run the trainer on a prepared folder; when the block ends, so has the process and its group."""
    with (folder / "stdout.log").open("ab") as log, server_key(given=asks_a_server) as key:
        ours = environment()
        process = trainers.take_spare(folder, log, ours, key) or trainers.start(
            [*trainer_command(asks_a_server=asks_a_server), str(folder)],
            folder,
            log,
            ours if key is None else ours | {HANDLE: str(key)},
            () if key is None else (key,),
        )
    trainer = Trainer(process, folder)
    try:
        yield trainer
    finally:
        trainer.fence.close()
        kill(process)
        process.wait()


def trainer_command(*, asks_a_server: bool) -> list[str]:
    """What computes a run: several processes where there are several GPUs, but one to ask a server."""
    alone = asks_a_server and settings.GPUS > 1
    return settings.TRAINER if alone else settings.TRAINER_COMMAND


@contextmanager
def server_key(*, given: bool) -> Iterator[int | None]:
    """A pipe with the key for servers in it, for a trainer that asks one, while it is started.

    Only that one gets it: other trainers load models that anybody may have made.
    """
    if not given or not (key := os.environ.get(KEY)):
        yield None
        return
    handle = hand_over(key)
    try:
        yield handle
    finally:
        os.close(handle)


# Threads of a trainer that wait for each other look some microseconds long before they sleep: between the many small
# products of a small model they need not be woken. Longer looks cost more than they save where others use the cores.
WAITING = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "500"}


def environment() -> dict[str, str]:
    """What trainers read of the worker's environment, no secrets, offline, our packages on the path."""
    places = {name for one in settings.TRACKERS for name in TRACKED[one]}
    named = {
        name: LOGIN.sub(r"\1", value)
        for name, value in os.environ.items()
        if name in places or (NAMED.fullmatch(name) and not SECRET.search(name))
    }
    kept = named | {
        name: value for name, value in os.environ.items() if name in settings.TRAINER_VARIABLES
    }
    kept.pop(KEY, None)
    path = os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")]))
    return kept | WAITING | {"PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}


def kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill the trainer and all it started: its group, which may outlive it, and what has guards of its own."""
    with suppress(ProcessLookupError, PermissionError):  # macOS says "not permitted" of zombies
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        process.stdin.close()
