"""Asking what teaches most: tasks about the pairs that the newest scores put first, and about some by chance alone.

The pairs and their order come from a run of the kind `score`. What chance chooses is drawn from all that could be asked, so
that it says what labels are like which nobody chose.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from django.utils.translation import gettext_lazy as _

from alignment.seam.records import ProposedRecord, read_jsonl
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.jobs.models import Job
from webapp.jobs.services import start_job
from webapp.jobs.work import Work
from webapp.labeling.models import Completion, Task, identity_of
from webapp.labeling.services import CHUNK, Ask, create_tasks, known_tasks
from webapp.projects.models import Project
from webapp.quality.models import Allocation, ChosenTask
from webapp.site.words import Words

KIND = "allocate"  # of job
ASKED = "compare"  # kind of task
CONTROL = "control"
METHODS: Mapping[str, Words] = {
    "ensemble": _("Where the heads of the reward model disagree (BALD)"),
    "design": _("D-optimal: those that say most"),
}
CHOSEN_BY: Mapping[str, Words] = {**METHODS, CONTROL: _("By chance")}
FIRST = 50  # priority: before all other tasks


class AllocationWish(NamedTuple):
    """How many tasks somebody wants, how they are chosen, the share of chance, and how many people answer each."""

    method: str
    wanted: int
    control: float
    need: int
    scores: int
    seed: int


class FreePair(NamedTuple):
    """Two answers that nobody is asked to compare, and what scores say of them."""

    prompt: int
    answers: tuple[int, int]
    proposed: ProposedRecord

    @property
    def identity(self) -> str:
        """What a task about them is called."""
        return identity_of(ASKED, self.prompt, self.answers)

    def place(self, method: str) -> int | None:
        """Its place in a method's order, if it is among the first."""
        found: int | None = getattr(self.proposed, f"by_{method}")
        return found


Choice = tuple[str, FreePair]  # what chose it, and what was chosen


def newest_scores(project: Project) -> Artifact | None:
    """What the last run that scored answers left."""
    found = project.artifacts.filter(type=Artifact.Type.SCORES, producer__kind="score")
    return found.select_related("producer").order_by("-pk").first()


def heads_of(scores: Artifact) -> int:
    """How many heads the reward model had that made them."""
    return int(scores.summary.get("heads") or 1)


def start_allocation(
    project: Project, wish: AllocationWish, *, key: str, by: User | None = None
) -> Job:
    """Have tasks chosen and made in a short job, once per key."""
    return start_job(project, kind=KIND, payload=wish._asdict(), key=f"{KIND}-{key}", by=by)


def allocate(job: Job) -> Work:
    """Choose among what the scores propose; the tasks are there when the job is done."""
    wish, project = AllocationWish(**job.payload), job.project
    scores = project.artifacts.get(pk=wish.scores)
    proposed = list(read_jsonl(scores.path / "pairs.jsonl", ProposedRecord))
    free: list[FreePair] = []
    for some in free_pairs(project, proposed):
        free += some
        yield len(free), len(proposed)
    return partial(_keep, job, wish, choose_pairs(free, wish))


def free_pairs(project: Project, proposed: Sequence[ProposedRecord]) -> Iterator[list[FreePair]]:
    """Those of the pairs whose answers are still there and that no task asks about, some at a time."""
    labelled = project.prompts.for_labels()
    for start in range(0, len(proposed), CHUNK // 2):
        some = proposed[start : start + CHUNK // 2]
        keys = {int(key) for one in some for key in (one.first, one.second)}
        rows = Completion.objects.filter(pk__in=keys, prompt__in=labelled)
        prompts = dict(rows.values_list("pk", "prompt"))
        there = []
        for one in some:
            first, second = int(one.first), int(one.second)
            if first in prompts and prompts[first] == prompts.get(second):
                there.append(FreePair(prompts[first], (first, second), one))
        known = known_tasks([one.identity for one in there])
        yield [one for one in there if one.identity not in known]


def choose_pairs(free: Sequence[FreePair], wish: AllocationWish) -> list[Choice]:
    """As many as are wanted: the share of chance from all of them, then the first of the others in the method's order."""
    chance = random.Random(wish.seed)  # noqa: S311 - a choice, not a secret
    number = min(round(wish.control * wish.wanted), len(free))
    control = chance.sample(free, number)
    drawn = {one.identity for one in control}
    places = ((one.place(wish.method), one) for one in free if one.identity not in drawn)
    ordered = sorted(
        ((place, one) for place, one in places if place is not None), key=lambda both: both[0]
    )
    best = [(wish.method, one) for _place, one in ordered[: wish.wanted - number]]
    return [*best, *((CONTROL, one) for one in control)]


def _keep(job: Job, wish: AllocationWish, choices: Sequence[Choice]) -> dict[str, Any]:
    """Make the tasks, but for those that somebody has made meanwhile, and note of each what chose it."""
    known = known_tasks([one.identity for _by, one in choices])
    chosen = {one.identity: (by, one) for by, one in choices if one.identity not in known}
    answers = Completion.objects.in_bulk({pk for _by, one in chosen.values() for pk in one.answers})
    asks = {
        name: Ask(one.prompt, [answers[pk] for pk in one.answers])
        for name, (_by, one) in chosen.items()
        if all(pk in answers for pk in one.answers)
    }
    create_tasks(job.project, ASKED, asks.values(), need=wish.need, priority=FIRST)
    tasks = {one.identity: one for one in Task.every.filter(identity__in=asks)}
    if tasks:
        allocation = Allocation.objects.create(
            project=job.project,
            scores_id=wish.scores,
            by=job.created_by,
            **{name: getattr(wish, name) for name in ("method", "wanted", "control", "seed")},
        )
        rows = (_row(allocation, *chosen[name], asks[name], task) for name, task in tasks.items())
        ChosenTask.objects.bulk_create(rows)
    return {
        "wanted": wish.wanted,
        "tasks": len(tasks),
        "control": sum(chosen[name][0] == CONTROL for name in tasks),
    }


def _row(
    allocation: Allocation, chosen_by: str, pair: FreePair, ask: Ask, task: Task
) -> ChosenTask:
    """What chose a task, with the chance of the answer that stands at its first place."""
    stands = ask.placed[0].pk == pair.answers[0]
    chance = pair.proposed.chance
    return ChosenTask(
        task=task,
        allocation=allocation,
        chosen_by=chosen_by,
        chance=chance if stands else 1 - chance,
        information=pair.proposed.information,
        entropy=pair.proposed.entropy,
    )
