"""How a run is driven from its folder.

Torch-free until a run is asked for: a kind imports only what it needs.
"""

import gc
import os
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from importlib import import_module
from pathlib import Path

from alignment.kinds import KINDS
from alignment.kinds.spec import RunSpec
from alignment.seam.control import wish_of
from alignment.seam.events import CheckpointSaved, Event, Finished, Stopped
from alignment.seam.folders import MANIFEST

# What every run loads beside its kind's module.
COMMON = ("alignment.models.checkpoints", "alignment.models.distributed", "alignment.models.inputs")

Runner = Callable[[RunSpec, Path], Generator[Event, str | None, None]]


def runner(kind: str) -> Runner:
    """The function of a kind of run; its module is imported now, with all that it needs.

    A million objects come and stay: looking through them for garbage is a fifth of the time.
    """
    module, name = KINDS[kind].run.split(":")
    gc.disable()
    try:
        found: Runner = getattr(import_module(module), name)
        gc.freeze()
    finally:
        gc.enable()
    return found


def load_all() -> None:
    """Load what runs of every kind need, for one of which nothing is known yet."""
    for kind in KINDS:
        runner(kind)
    for module in COMMON:
        import_module(module)


def set_up_process(spec: RunSpec, folder: Path) -> None:
    """Threads, seed and determinism: the process's own switches, set here and nowhere else."""
    import torch  # noqa: PLC0415 - help and refusals need not wait for it
    from transformers.utils import logging  # noqa: PLC0415

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # our events tell more

    threads = spec.threads
    if spec.resume_from and (folder / spec.resume_from / MANIFEST).exists():
        from alignment.models.checkpoints import threads_of  # noqa: PLC0415 - loads transformers

        threads = threads_of(folder / spec.resume_from)
    if threads:
        torch.set_num_threads(threads)
    torch.manual_seed(spec.seed)
    if torch.cuda.is_available():
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # What `use_deterministic_algorithms` switches on, without the second that it takes to load a compiler.
    torch.set_deterministic_debug_mode("warn")
    # It would also fill memory that is about to be written: 1.5 % of a step, for nothing that is read.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # torch sets it at run time


def _events(run: Runner, spec: RunSpec, folder: Path) -> Generator[Event, str | None, None]:
    """What a run tells, or one step of everything that it would do."""
    if spec.dry:
        from alignment.models.rehearsal import rehearsed  # noqa: PLC0415 - loads torch

        return rehearsed(run, spec, folder)
    return run(spec, folder)


def drive(spec: RunSpec, folder: Path) -> Iterator[Event]:
    """The events of a run that obeys its `control.json`, closed by Finished or Stopped.

    A kind that cannot be saved goes on to its end when it is asked to save.
    """
    run = runner(spec.kind)
    from alignment.models.distributed import agreed  # noqa: PLC0415 - loads torch
    from alignment.models.inputs import check_inputs  # noqa: PLC0415 - as above

    check_inputs(spec, folder)
    with closing(_events(run, spec, folder)) as events:
        event, step, saved, wish = next(events), 0, False, ""
        while True:
            if isinstance(event, Finished):
                spec.described.results.model_validate(event.summary)
            yield event
            step = getattr(event, "step", step)
            saved = isinstance(event, CheckpointSaved)
            wish = agreed(wish_of(folder))
            if (wish == "now" or (wish and spec.dry)) and not isinstance(event, Finished):
                break
            try:
                event = events.send("save" if wish == "save" else None)
            except StopIteration:
                break
    if not isinstance(event, Finished):
        yield Stopped(step=step, saved=saved and wish == "save")
