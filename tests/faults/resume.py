"""`python -m tests.faults.resume`: killed, paused and frozen, a run ends as if nothing had happened.

Four proofs with real programs; the last line is one JSON object of figures, the exit status says
whether all held. Short times: lease 2 s, reaper 0.5 s, no back-off, a checkpoint after each step.
"""

import json
import random
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import psutil
from django.conf import settings

from tests import ground
from tests.factories import a_run, a_user, again
from tests.labs import a_lab, some_labels
from tests.stack import ROOT, TIMES, Stack
from tests.stand_in import WAIT
from tests.tiny import ALIGN, ended, prepared, weights
from webapp.artifacts.models import Artifact
from webapp.projects.models import Project
from webapp.runs.folders import folder_of
from webapp.runs.models import Run, State
from webapp.runs.services import cancel_run, pause_run, resume_run

STEPS = 40
LOOKING = {"evaluate_every": 2, "evaluation_prompts": 2, "kept": "best"}
SETTINGS = ALIGN | LOOKING | {"steps": STEPS, "checkpoint_every": 1}
KILLS = ("trainer", "worker", "trainer", "worker", "trainer")
SHORT = TIMES | {"LEASE": "2", "REAP": "0.5"}


def say(text: str) -> None:
    """One line about what has just happened."""
    print(text, flush=True)


def prove_killed(machine: Stack, align: Callable[[], Run], chance: random.Random) -> Run:
    """Kill the trainer three times and the worker twice, each at a random step."""
    run = align()
    for place, (victim, step) in enumerate(zip(KILLS, places(chance), strict=True)):
        machine.until(lambda step=step: again(run).step >= step or again(run).is_final)
        epoch = again(run).epoch
        if victim == "worker":
            machine.kill(f"worker {place // 2}").worker(f"worker {place // 2 + 1}")
        else:
            kill_trainer(run)
        machine.until(lambda epoch=epoch: again(run).epoch > epoch or again(run).is_final)
        resumed = again(run)
        say(f"killed the {victim} at step {step}; epoch {resumed.epoch} goes on")
    return ended(machine, run)


def places(chance: random.Random) -> list[int]:
    """Random steps, in order and some apart."""
    return [chance.randint(part * STEPS // 6 + 1, (part + 1) * STEPS // 6) for part in range(5)]


def kill_trainer(run: Run) -> None:
    """SIGKILL the trainer that computes in the run's folder, and not its guard."""
    place = str(folder_of(again(run)))
    for process in psutil.process_iter(["cmdline", "cwd"]):
        is_trainer = (process.info["cmdline"] or [])[1:3] == ["-m", "alignment"]
        if is_trainer and process.info["cwd"] == place:
            process.kill()


def prove_paused(machine: Stack, align: Callable[[], Run], chance: random.Random) -> Run:
    """Pause at a random step, then resume."""
    run, rita = align(), a_user()
    step = chance.randint(2, STEPS // 2)
    machine.until(lambda: again(run).step >= step)
    pause_run(run, by=rita)
    machine.until(lambda: again(run).state == State.INTERRUPTED)
    say(f"paused: {again(run).message}")
    resume_run(run, by=rita)
    return ended(machine, run)


def prove_fenced(machine: Stack, lab: Project, times: int) -> int:
    """Freeze a supervisor past its lease and thaw it when another has the run; its writes, summed."""
    machine.worker("left").worker("right")
    return sum(freeze_one(machine, lab) for _ in range(times))


def freeze_one(machine: Stack, lab: Project) -> int:
    """What a frozen and thawed supervisor wrote about a run that had become another's."""
    run = a_run(lab, seed=WAIT)
    machine.until(lambda: again(run).step >= 2)
    pid = again(run).worker.pid
    name = next(name for name, program in machine.running.items() if program.pid == pid)
    machine.freeze_between_transactions(name)
    machine.until(lambda: again(run).epoch == 2 and again(run).step >= 2)
    before = written(run)
    log = machine.var / f"{name}.log"
    machine.thaw(name)
    machine.until(lambda: f"run {run.pk}: epoch 1 is no longer ours" in log.read_text())
    fresh = written(run) - before
    reason = run.events.filter(to_state=State.INTERRUPTED).get()
    assert reason.reason == "worker_lost", reason.reason
    cancel_run(run, by=a_user())
    machine.until(lambda: again(run).state == State.CANCELLED)
    return fresh


def written(run: Run) -> int:
    """How much the first epoch has left in the database."""
    return (
        run.metrics.filter(epoch=1).count()
        + run.samples.filter(epoch=1).count()
        + run.checkpoints.filter(epoch=1).count()
        + run.events.filter(epoch=1).count()
        + sum(run.spools.filter(epoch=1).values_list("byte_offset", flat=True))
    )


def prove_whole(seed: int, kills: int) -> dict[str, int]:
    """Kill a writer of checkpoints; its figures, and how many it spoils that writes in place."""
    command = [sys.executable, "-m", "tests.alignment.killed_writer", str(kills), str(seed)]
    careful, careless = (
        json.loads(subprocess.check_output([*command, *option], cwd=ROOT, text=True))
        for option in ([], ["--in-place"])
    )
    return careful | {"unloadable_in_place": careless["unloadable"]}


def prove(seed: int, zombies: int, kills: int) -> dict[str, object]:
    """All four proofs; their figures."""
    chance = random.Random(seed)
    with Stack(Path(settings.VAR), settings.BROKER_SOCKET) as machine:
        machine.times = SHORT
        machine.broker().worker("worker 0").tend()
        lab = a_lab()
        models = prepared(machine, lab, some_labels(lab, machine.var))
        align = aligner(lab, models)
        runs = [ended(machine, align())]
        say(f"uninterrupted: {weights(runs[0])[:16]}")
        runs.append(prove_killed(machine, align, chance))
        runs.append(prove_paused(machine, align, chance))
        for name in [name for name in machine.running if name.startswith("worker")]:
            machine.kill(name)
        wrote = prove_fenced(machine.stand_in(), lab, zombies)
    same = [weights(run) == weights(runs[0]) for run in runs[1:]]
    say(f"bit-identical after kills: {same[0]}; after a pause: {same[1]}; fenced writes: {wrote}")
    return {
        "seed": seed,
        "epochs_killed": runs[1].epoch,
        "killed_identical": same[0],
        "paused_identical": same[1],
        "zombies": zombies,
        "zombie_writes": wrote,
        **prove_whole(seed, kills),
    }


def aligner(lab: Project, models: dict[str, Artifact]) -> Callable[[], Run]:
    """Starts the same alignment again and again."""
    return lambda: a_run(lab, "align", SETTINGS, inputs=models, seed=7)


def main() -> int:
    """Parse, prove, print the figures; 0 when all held."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10_000))
    parser.add_argument("--zombies", type=int, default=10)
    parser.add_argument("--kills", type=int, default=60, help="of the checkpoint writer")
    options = parser.parse_args()
    figures = prove(options.seed, options.zombies, options.kills)
    print(json.dumps({"database": options.database, **figures}))
    held = figures["killed_identical"] and figures["paused_identical"]
    bit = figures["unloadable_in_place"]  # else the kills prove nothing
    return 0 if held and bit and not figures["zombie_writes"] and not figures["unloadable"] else 1


if __name__ == "__main__":
    sys.exit(main())
