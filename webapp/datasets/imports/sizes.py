"""How much a file would bring, and how much it may."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _

from alignment.seam.records import split_of_prompt
from webapp.datasets.errors import ImportRefusal
from webapp.datasets.imports.reading import PromptFound, Reading
from webapp.datasets.intake import PAIRS, TWO, Become, Plan, distinct, how_many_pairs
from webapp.labeling.kinds import TASK_KINDS, kind_named
from webapp.projects.models import Project, Split

MOST_TASKS = 500_000


def check_size(project: Project, reading: Reading, plan: Plan) -> None:
    """Raise ImportRefusal where a file makes more tasks than there may be at once."""
    if plan.become != Become.TASKS or _most_tasks(reading, plan) <= MOST_TASKS:
        return
    n = tasks_of(project, reading, plan.pairs).get(plan.kind, 0)
    if n > MOST_TASKS:
        raise ImportRefusal(
            _(
                "That would be {n:,} tasks, and {most_tasks:,} are the most at once: ask for fewer "
                "pairs of each prompt, or split the file."
            ).format(n=n, most_tasks=MOST_TASKS)
        )


def _most_tasks(reading: Reading, plan: Plan) -> int:
    """At least as many as a file makes: nothing is read once more where these are few."""
    if kind_named(plan.kind).items != TWO:
        return max(reading.answers, len(reading.prompts))
    most = plan.pairs or max(reading.answers, 1)
    return min(most * len(reading.prompts), reading.answers**2)


def outlook(project: Project, reading: Reading, pairs: int = PAIRS) -> dict[str, Any]:
    """What taking a file in would bring, in numbers."""
    there = dict(project.prompts.values_list("key", "split"))
    found = reading.prompts
    counts = Counter(
        prompts=len(found),
        new=sum(key not in there for key in found),
        answers=sum(len(one.answers) for one in found.values()),
        preferences=sum(one.ranked() + len(one.pairs) for one in found.values()),
        labels=sum(len(one.labels) for one in found.values()),
        annotators=len({label.annotator for one in found.values() for label in one.labels}),
    )
    counts["alone"] = sum(len(one.answers) < 2 for one in found.values())
    sizes = {key: len(distinct(one.answers.values())) for key, one in found.items()}
    for key, size in ((key, size) for key, size in sizes.items() if size > 1):
        kept = _is_test(there, key, found[key])
        counts["tested"] += kept
        counts["compared"] += not kept
        counts["some_pairs"] += 0 if kept else how_many_pairs(size, pairs)
        counts["all_pairs"] += 0 if kept else how_many_pairs(size, 0)
    names = ("tested", "compared", "some_pairs", "all_pairs")
    numbers = dict(counts) | {name: counts[name] for name in names}
    return numbers | {"tasks": _tasks_made(there, reading, pairs)}


def _is_test(there: Mapping[str, str], key: str, found: PromptFound) -> bool:
    return (there.get(key) or found.split or split_of_prompt(found.messages)) == Split.TEST


def tasks_of(project: Project, reading: Reading, pairs: int = PAIRS) -> dict[str, int]:
    """How many tasks of each kind a file would make, as far as it makes any."""
    return _tasks_made(dict(project.prompts.values_list("key", "split")), reading, pairs)


def _tasks_made(there: Mapping[str, str], reading: Reading, pairs: int) -> dict[str, int]:
    """The same, where these prompts are there in their splits."""
    made: Counter[str] = Counter()
    for key, found in reading.prompts.items():
        if _is_test(there, key, found):
            continue
        rows = distinct(found.answers.values())
        for name, kind in TASK_KINDS.items():
            two = kind.items == TWO
            made[name] += how_many_pairs(len(rows), pairs) if two else len(list(kind.ask(rows)))
    return dict(+made)
