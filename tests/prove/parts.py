"""The long proofs in parts of at most 45 minutes on two cores, each of them by its name."""

import sys
from typing import NamedTuple

PYTEST = ("-m", "pytest", "-m", "prove", "--timeout", "1800")
SIDE_BY_SIDE = ("-m", "pytest", "-p", "tests.processes", "--processes")
ON_POSTGRES = ("-m", "tests.postgres", sys.executable, *SIDE_BY_SIDE, "2", "tests/webapp")
ON_A_SERVER = "not sqlite and not browser and not prove and not gpu"
STORM = ("-m", "tests.faults.chaos")
KEEPER = (*STORM, "--part", "keeper")
OUTAGES = ("-m", "tests.faults.outages")
SHORT = ("--minutes", "2", "--every", "3", "--seed", "1")


class Command(NamedTuple):
    """Arguments of Python, and whether they are to fail: then a protection was taken away."""

    arguments: tuple[str, ...]
    must_fail: bool = False


class Part(NamedTuple):
    """What a part shows, about how long it takes, and what it runs.

    `tests` are the folders and files whose tests marked `prove` are its own: the longest name wins.
    """

    title: str
    minutes: int
    tests: tuple[str, ...] = ()
    commands: tuple[Command, ...] = ()
    processes: int = 1  # of pytest


def without(name: str) -> Command:
    """A storm with a protection taken away, which must break a promise."""
    return Command((*STORM, *SHORT, "--without", name), must_fail=True)


PARTS: dict[str, Part] = {
    "slow": Part(
        "what `make test` leaves out for its time: whole matrices, whole runs, every look of a page",
        8,
        (),
        (Command((*SIDE_BY_SIDE, "3", "-m", "slow and not prove and not gpu")),),
    ),
    "slow_postgresql": Part(
        "what touches rows and is slow, or says the same on any database: on PostgreSQL too",
        4,
        (),
        (Command((*ON_POSTGRES, "-m", f"db and (slow or once and not twice) and {ON_A_SERVER}")),),
    ),
    "labels": Part(
        "no answer is lost, whatever refuses it",
        10,
        ("tests/webapp/labeling", "tests/browser/test_answers.py"),
    ),
    "texts": Part(
        "what is shown is what was written, and damaged rows of every format cost themselves",
        25,
        ("tests/webapp", "tests/webapp/datasets"),
    ),
    "agreement": Part(
        "intervals of agreement hold the truth in 93 to 97 of 100 projects",
        2,
        ("tests/webapp/quality",),
    ),
    "forecast": Part(
        "the accuracy after 500 more labels lies in its interval in nine of ten projects",
        5,
        ("tests/test_active_benchmark.py",),
    ),
    "fuzz": Part(
        "ten thousand requests that nobody means, and every field with another project's rows: no error, none slow",
        45,
        ("tests/webapp/test_permissions.py", "tests/webapp/test_fuzz.py", "tests/webapp/api"),
        processes=2,
    ),
    "machine": Part(
        "every documented way of serving starts, and ends", 5, ("tests/webapp/machine",)
    ),
    "strangers": Part(
        "half requests hold nobody up, secrets are nowhere, and nginx as the guide has it serves a team",
        5,
        (
            "tests/webapp/serving",
            "tests/webapp/machine/test_secrets.py",
            "tests/browser/test_nginx.py",
        ),
    ),
    "browser": Part("whole ways through the pages, in Chromium", 20, ("tests/browser",)),
    "alignment": Part("every objective and option learns", 25, ("tests/alignment",)),
    "processes": Part(
        "several processes are one",
        25,
        ("tests/alignment/test_distributed.py", "tests/alignment/test_torchrun.py"),
    ),
    "resume": Part(
        "killed, paused and frozen runs end as if nothing had happened",
        20,
        ("tests/faults",),
        (Command(("-m", "tests.faults.resume")),),
    ),
    "chaos": Part(
        "people label while programs die; with a protection taken away it shows",
        25,
        (),
        (
            Command((*STORM, "--minutes", "5")),
            Command((*STORM, "--minutes", "5", "--database", "postgresql")),
            *map(without, ("client_id", "places", "epoch")),
        ),
    ),
    "outages": Part(
        "database and broker may be away, held or wrong about the time while people label",
        15,
        (),
        (
            Command((*OUTAGES, "--clocks")),
            Command((*OUTAGES, "--database", "postgresql")),
            *(
                Command(
                    (*OUTAGES, "--database", "postgresql", "--only", "--clocks", "--clock", ahead)
                )
                for ahead in ("600", "-600")
            ),
        ),
    ),
    "keeper": Part(
        "`manage.py stack` outlives killed programs and a full disk by itself",
        10,
        (),
        (
            Command(KEEPER),
            Command((*KEEPER, "--database", "postgresql")),
            Command((*KEEPER, "--without", "keeper"), must_fail=True),
        ),
    ),
    "models": Part(
        "models of every architecture are read as they mean it, or refused by name",
        5,
        (),
        (Command(("-m", "tests.prove.models")),),
    ),
    "hostile": Part(
        "folders made to hurt end with a sentence, and the web answers meanwhile",
        20,
        (),
        (Command(("-m", "tests.prove.hostile")),),
    ),
    "learning": Part(
        "nothing is learned of nothing, and what is there is learned",
        30,
        (),
        (Command(("-m", "tests.prove.learning")),),
    ),
    "real": Part(
        "the whole loop on a model that somebody would serve, which REAL_MODEL=FOLDER names",
        45,
        (),
        (Command(("-m", "tests.faults.real")),),
    ),
    "convergence": Part(
        "every divergence comes to every target, by the real loop",
        35,
        (),
        (Command(("-m", "tests.prove.convergence")),),
    ),
}


def part_of(test: str) -> str:
    """The part whose own this test is, by its path."""
    mine = {path: name for name, part in PARTS.items() for path in part.tests}
    found = [path for path in mine if test == path or test.startswith(f"{path}/")]
    return mine[max(found, key=len)] if found else ""


def commands(name: str) -> list[Command]:
    """All that a part runs, its tests first."""
    part = PARTS[name]
    if not part.tests:
        return list(part.commands)
    others = [path for other, one in PARTS.items() if other != name for path in one.tests]
    below = [path for path in others if any(path.startswith(f"{own}/") for own in part.tests)]
    below = [path for path in below if part_of(path) != name]
    ignored = [f"--ignore={path}" for path in below]
    beside = ("-p", "tests.processes", "--processes", str(part.processes))
    run = (*PYTEST, *(beside if part.processes > 1 else ()), *part.tests, *ignored)
    return [Command(run), *part.commands]
