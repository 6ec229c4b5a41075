"""The dashboard under a team: fifty people label, two hundred look, a run is at work, over HTTP on real programs.

People and those who look are programs of their own. Costs are the processor's time in the thread that answers, from
before all middleware, against a floor of the same run: the barest view behind the same middleware (`bare_label`).
`--think 0` asks instead how many labels a second there are at most, against the floor from the same clients.
"""

import json
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from benchmarks.beside import BESIDE, Spans, beside
from benchmarks.clients import QUIET, Answered
from benchmarks.queue import some_tasks, watched
from tests import ground
from tests.factories import a_project, a_run, a_user
from tests.stack import ROOT, Stack
from tests.webapp.addresses import session_of
from webapp.accounts.roles import Role
from webapp.labeling.models import Label
from webapp.projects.models import Project
from webapp.runs.models import Run

LONG_RUN = {"steps": 1_000_000, "documents": 2000}
ALONE = 10.0  # seconds that the run is watched by itself
STARTS = 1.0  # seconds that programs of people have until they act
WARM = 15.0  # seconds in which those who look open their pages, and nothing is timed
BLOCKS = 4  # of labels and of the floor, in turn
WATCHED_EVERY = 0.5  # seconds
UNTIL_BESIDE = 1 / 3  # of the time, in which people label with nothing else beside them
SLOWER = 2.0  # times that at most, beside what moves rows
MOVES_ROWS = ("import", "export")
Plan = dict[str, Any]


def member(project: Project, role: Role, does: str, page: str, seed: int = 0) -> Plan:
    """Somebody who is signed in, and what they do where."""
    return {"session": session_of(a_user(project, role)), "does": does, "page": page, "seed": seed}


def acted(
    url: str, people: list[Plan], seconds: float, think: float, warm: float = 0.0
) -> Iterator[Answered]:
    """What came of all that these did for so long, those of one kind in a program of their own."""
    begun = time.monotonic() + STARTS
    plan = {"url": url, "begun": begun, "seconds": warm + seconds, "think": think, "warm": warm}
    plan["cookies"] = (settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME)
    kinds = sorted({one["does"] for one in people})
    programs = [
        _started(plan | {"people": [one for one in people if one["does"] == kind]})
        for kind in kinds
    ]
    try:
        for program in programs:
            said, _ = program.communicate()
            yield from (Answered(**one) for one in json.loads(said))
    finally:
        for program in programs:
            program.kill()  # where we are to end; else it has ended


def _started(plan: Plan) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "benchmarks.clients"]
    program = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdin is not None
    program.stdin.write(json.dumps(plan))
    program.stdin.close()
    program.stdin = None  # `communicate` would close it again
    return program


def speed_of(run: Run, during: Callable[[], object]) -> float:
    """Steps a second of a run while something happens."""
    step, started = _step(run), time.monotonic()
    during()
    return (_step(run) - step) / (time.monotonic() - started)


def _step(run: Run) -> int:
    return Run.objects.values_list("step", flat=True).get(pk=run.pk)


def percentiles(times: list[float]) -> dict[str, float]:
    """The median and the 95th percentile."""
    ordered = sorted(times)
    p95 = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))] if ordered else 0.0
    return {"p50": round(statistics.median(ordered or [0.0]), 1), "p95": round(p95, 1)}


def cost(found: list[Answered]) -> float:
    """ms of the processor, the median."""
    return statistics.median([one.cost for one in found] or [0.0])


def figures(found: list[Answered]) -> dict[str, object]:
    """What the answers tell."""
    of = {what: [one for one in found if one.what == what] for what in ("label", "floor", "poll")}
    submits = [one for one in of["label"] if not one.queries]
    quiet = [one for one in of["poll"] if one.status in QUIET]
    floor = cost(of["floor"])
    errors = [one for one in found if one.status not in (200, *QUIET)]
    if not floor:
        return {"errors": len(errors), "statuses": sorted({one.status for one in found})}
    return {
        "floor_cpu_ms": round(floor, 2),
        "submit_cpu_ms": round(cost(submits), 2),
        "submit_cpu_vs_floor": round(cost(submits) / floor, 2),
        "queries_submit": statistics.median(
            counted := [one.queries for one in of["label"] if one.queries] or [0]
        ),
        "queries_submit_most": max(counted),
        "poll_cpu_ms": round(cost(quiet or of["poll"]), 2),
        "poll_cpu_vs_floor": round(cost(quiet or of["poll"]) / floor, 2),
        "polls_with_nothing_new": round(len(quiet) / max(1, len(of["poll"])), 2),
        "submit_ms": (submit := percentiles([one.ms for one in submits])),
        "poll_ms": (poll := percentiles([one.ms for one in of["poll"]])),
        "submit_p95_vs_floor": round(submit["p95"] / floor, 1),
        "poll_p95_vs_floor": round(poll["p95"] / floor, 1),
        "labels": len(submits),
        "polls": len(of["poll"]),
        "errors": len(errors),
        "statuses": sorted({one.status for one in found}),
    }


def apart(found: list[Answered], spans: Spans, until: float) -> dict[str, object]:
    """What labels took until then, with nothing else at work, and what in each of these spans."""
    labels = [one for one in found if one.what == "label" and one.at >= WARM]
    alone = percentiles([one.ms for one in labels if one.at < until])
    told: dict[str, object] = {"submit_ms_alone": alone}
    for name, (since, end) in spans.items():
        times = [one.ms for one in labels if since < one.at < end]
        there = percentiles(times)
        ratio = round(there["p95"] / alone["p95"], 2) if alone["p95"] else None
        told[f"submit_ms_beside_{name}"] = there | {"labels": len(times), "s": round(end - since)}
        told[f"submit_p95_beside_{name}"] = ratio
    return told


def kept(found: list[Answered]) -> bool:
    """Whether exactly what was acknowledged is stored."""
    acknowledged = {one.name for one in found if one.what == "label" and one.status == 200}
    stored = set(
        map(str, Label.objects.filter(retracted=False).values_list("client_id", flat=True))
    )
    return acknowledged == stored


def loaded(stack: Stack, project: Project, options: Namespace) -> dict[str, object]:
    """Everybody at once, beside a run."""
    label = f"/p/{project.pk}/label/"
    runs = [] if options.no_run else [a_run(project, config=LONG_RUN) for _ in range(2)]
    people = [member(project, Role.ANNOTATOR, "labels", label, n) for n in range(options.people)]
    people.append(member(project, Role.ANNOTATOR, "probes", label, 1000))
    alone = 0.0
    if runs:
        at_work, waiting = runs
        stack.until(lambda: _step(at_work) > 0)
        alone = speed_of(at_work, lambda: time.sleep(ALONE))
        # The page of a run that waits asks again as often, and nothing of it is new.
        pages = [f"/p/{project.pk}/runs/{run.pk}/" for run in (at_work, waiting)]
        people += [
            member(project, Role.RESEARCHER, "looks", pages[n % 5 == 4])
            for n in range(options.viewers)
        ]
    found: list[Answered] = []
    until = WARM + UNTIL_BESIDE * options.seconds
    spans: Spans = {}

    def everybody() -> None:
        with beside(stack, project, options.beside, wait=STARTS + until) as at_work:
            found.extend(acted(stack.url, people, options.seconds, options.think, WARM))
        for name, (since, end) in at_work.items():
            spans[name] = since - STARTS, end - STARTS

    with watched(WATCHED_EVERY) as seen:
        speed = speed_of(at_work, everybody) if runs else everybody()
    timed = [one for one in found if one.at >= WARM or one.status not in (200, *QUIET)]
    return (
        figures(timed)
        | (apart(found, spans, until) if spans else {})
        | {
            "stored_equals_acknowledged": kept(found),
            "over_served": max(seen),
            "run_speed": round(speed / alone, 2) if alone else None,
        }
    )


def most(stack: Stack, project: Project, options: Namespace) -> dict[str, object]:
    """As many as there can be, against the floor from the same clients; they take turns."""
    label = f"/p/{project.pk}/label/"
    people = [member(project, Role.ANNOTATOR, "labels", label, n) for n in range(options.people)]
    found: dict[str, list[Answered]] = {"labels": [], "floor": []}
    with watched(WATCHED_EVERY) as seen:
        for block in range(BLOCKS):
            does = "floor" if block % 2 else "labels"
            turn = [one | {"does": does} for one in people]
            found[does] += acted(stack.url, turn, options.seconds / BLOCKS, options.think)
    each = options.seconds / BLOCKS * BLOCKS / 2
    rates = {
        "labels": sum(one.what == "label" and one.status == 200 for one in found["labels"]) / each,
        "floor": sum(one.what == "floor" and one.status == 200 for one in found["floor"]) / each,
    }
    both = [*found["labels"], *found["floor"]]
    told = figures(both)
    return {
        "labels_per_s": round(rates["labels"], 1),
        "floor_per_s": round(rates["floor"], 1),
        "labels_vs_floor": round(rates["labels"] / rates["floor"], 2),
        **{
            name: told[name]
            for name in ("floor_cpu_ms", "submit_cpu_vs_floor", "submit_ms", "errors", "statuses")
        },
        "stored_equals_acknowledged": kept(both),
        "over_served": max(seen),
    }


def holds(told: dict[str, Any], options: Namespace) -> bool:
    """Whether every figure keeps its limit."""
    whole = not told["errors"] and not told["over_served"] and told["stored_equals_acknowledged"]
    if not whole:
        return False
    if not options.think:
        return bool(told["labels_vs_floor"] >= 0.6)
    most = 40 if options.beside else 20
    if any((told.get(f"submit_p95_beside_{name}") or 0) > SLOWER for name in MOVES_ROWS):
        return False
    quick = told["submit_cpu_vs_floor"] <= 1.5 and told["queries_submit"] <= 12
    polls = not options.viewers or (
        told["poll_cpu_vs_floor"] <= 0.2 and told["poll_p95_vs_floor"] <= 40
    )
    return bool(quick and polls and told["submit_p95_vs_floor"] <= most)


def parsed() -> Namespace:
    """What is asked for."""
    parser = ArgumentParser(parents=[ground.database_option()], description=__doc__)
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument(
        "--think", type=float, default=2, help="seconds over a pair; 0: as quick as it goes"
    )
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument(
        "--beside", type=lambda said: said.split(","), default=[], help=f"of {','.join(BESIDE)}"
    )
    return parser.parse_args()


def main() -> int:
    """Measure, print the figures; 0 when all keep their limits."""
    options = parsed()
    project = a_project()
    some_tasks(project, options.tasks, Path(settings.VAR))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")  # as autovacuum does within a minute of an import
    with Stack(Path(settings.VAR), settings.BROKER_SOCKET) as stack:
        stack.settings = "benchmarks.web_settings"
        stack.times = {}  # as an installation has them
        stack.broker().webs(settings.WEBS)
        if not options.no_run:
            stack.worker()
        if options.beside:
            stack.short_worker()
        stack.tend()
        told = (loaded if options.think else most)(stack, project, options)
        if told["errors"]:
            print(stack.logs(), file=sys.stderr)
    print(json.dumps(vars(options) | told))
    return 0 if holds(told, options) else 1


if __name__ == "__main__":
    sys.exit(main())
