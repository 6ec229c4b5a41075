"""A trainer without a model: does what the seed of its config.json says, in events and folders.

0 finish after ten steps; 1 run until told to stop; 2 be killed; 3 fail; 4 end without a word;
5 ignore everybody; 6 one checkpoint, then be killed; 7 finish slowly; 8 hold 300 MiB, then be killed;
9 measure the result until told to stop.
"""

import json
import os
import sys
import time
from errno import ENOSPC
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from alignment.kinds.spec import RunSpec
from alignment.seam import folders
from alignment.seam.errors import FULL_DISK
from alignment.seam.events import (
    CheckpointSaved,
    Failed,
    Finished,
    PhaseProgressed,
    PhaseStarted,
    Ready,
    SampleDrawn,
    StepDone,
    Stopped,
    dump_event,
)

FINISH, WAIT, DIE, FAIL, SILENT, DEAF, DIE_LATER, SLOW, HUNGRY, MEASURE = range(10)
EATEN = 300 << 20  # bytes that the hungry one holds when it is killed
SEEN = "seen"  # in the run's folder: its supervisor has seen what it holds
STEPS = 10


def say(event):
    with (FOLDER / "events.jsonl").open("ab") as lines:
        lines.write(dump_event(event))


def save(step):
    target = FOLDER / f"ckpt-{step:06d}"
    with folders.committed(target) as aside:
        (aside / "state.json").write_text(json.dumps({"step": step}))
    sha = folders.manifest_sha256(target)
    say(CheckpointSaved(step=step, path=target.name, manifest_sha256=sha, bytes=1))


def asked():
    control = FOLDER / "control.json"
    return json.loads(control.read_text())["stop"] if control.exists() else ""


def obey(step):
    if stop := asked():
        if stop == "save":
            save(step)
        say(Stopped(step=step, saved=stop == "save"))
        sys.exit(0)


def finish():
    if SPEC.seed == MEASURE:
        measure()
    with folders.committed(FOLDER / "output") as aside:
        (aside / "model.json").write_text(json.dumps({"run": SPEC.run}))
    say(Finished(summary={"loss": 0.5}))
    sys.exit(0)


def be_killed():
    held = b"x" * (EATEN if SPEC.seed == HUNGRY else 1)
    while SPEC.seed == HUNGRY and not (FOLDER / SEEN).exists():
        time.sleep(0.01)
    os.kill(os.getpid(), 9 if held else 0)


def measure():
    say(PhaseStarted(name="measuring the result"))
    say(PhaseProgressed(done=64.5, total=256, unit="completions", seconds=10))
    while True:
        obey(STEPS)
        time.sleep(0.05)


def main():
    start = json.loads(Path(SPEC.resume_from, "state.json").read_text()) if SPEC.resume_from else {}
    step = start.get("step", 0)
    say(Ready(total_steps=STEPS, threads=1, device="cpu", resumed_step=step))
    say(PhaseStarted(name="training"))
    say(SampleDrawn(step=0, stage="before", prompt_key="k", prompt="Hi?", completion="Ho."))
    while step < STEPS or SPEC.seed in (WAIT, DEAF):
        step += 1
        say(StepDone(step=step, total=STEPS, metrics={"loss": 1 / step, "odd": float("nan")}))
        if step % 5 == 0 and SPEC.seed in (FINISH, DIE_LATER, SLOW):
            save(step)
        if SPEC.seed in (DIE, HUNGRY) or (SPEC.seed == DIE_LATER and step == 7):
            be_killed()
        if SPEC.seed == FAIL:
            say(
                Failed(code="nan", message="The loss was nan at step 1; try a lower learning rate.")
            )
            sys.exit(3)
        if SPEC.seed == SILENT:
            sys.exit("nothing to say")
        if SPEC.seed != DEAF:
            obey(step)
        if SPEC.seed in (WAIT, DEAF, SLOW):
            time.sleep(0.1)
    finish()


def run(folder):
    """Be the trainer of this folder; ends with its status."""
    global FOLDER, SPEC
    FOLDER = Path(folder)
    SPEC = RunSpec.load(FOLDER)
    try:
        main()
    except OSError as error:
        sys.exit(FULL_DISK if error.errno == ENOSPC else f"{error}")


def forked(arguments):
    """The same in a process that was forked to be it (tests/trainers.py); its status."""
    try:
        run(arguments[-1])
    except SystemExit as end:
        if not isinstance(end.code, str):
            return end.code
        sys.stderr.write(f"{end.code}\n")
    return 1


if __name__ == "__main__":
    run(sys.argv[1])
