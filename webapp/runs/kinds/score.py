"""Scores of a project's answers: which of them are read, and which pairs people were asked about already."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.utils.translation import gettext as _

from alignment.seam.records import AskedRecord, StoredRecord, write_jsonl
from webapp.labeling.making import AT_ONCE, answers_used
from webapp.labeling.models import Completion, Task, TaskItem
from webapp.projects.models import Prompt, PromptQuerySet, Split
from webapp.runs import inputs
from webapp.runs.errors import RunError
from webapp.runs.models import Run

FEWEST = 2  # answers of a prompt, to be compared


def prepare(run: Run, folder: Path) -> inputs.Paths:
    """The reward model, the answers to training prompts that have several, and what people were asked of them.

    Raises RunError where there are none.
    """
    models = {row.role: str(row.artifact.path) for row in inputs.given(run)}
    prompts = list(prompts_to_score(run)[: inputs.config_of(run).prompts])
    if not write_jsonl(folder / "completions.jsonl", _answers(prompts)):
        raise RunError(
            _("No training prompt has two answers that could be compared; generate or import some.")
        )
    write_jsonl(folder / "asked.jsonl", _asked(prompts))
    rows = {name: str(Path(folder.name) / f"{name}.jsonl") for name in ("completions", "asked")}
    return models | rows


def prompts_to_score(run: Run) -> PromptQuerySet:
    """Training prompts with several answers: those that people were asked least about come first."""
    answers = _counted(Completion.objects.all())
    asked = _counted(Task.objects.filter(kind="compare"))
    prompts = run.project.prompts.of_split(Split.TRAIN).annotate(answers=answers, asked=asked)
    return prompts.filter(answers__gte=FEWEST).order_by("asked", "key")


def _counted(rows: QuerySet[Completion] | QuerySet[Task]) -> Coalesce:
    """How many of these rows a prompt has."""
    mine = rows.filter(prompt=OuterRef("pk")).order_by().values("prompt")
    return Coalesce(Subquery(mine.annotate(number=Count("pk")).values("number")), 0)


def _parts(prompts: Sequence[Prompt]) -> Iterator[Sequence[Prompt]]:
    """Some of them at a time."""
    for start in range(0, len(prompts), AT_ONCE):
        yield prompts[start : start + AT_ONCE]


def _answers(prompts: Sequence[Prompt]) -> Iterator[StoredRecord]:
    """The answers to these prompts that are used, each with its key, if there are several of a prompt."""
    for some in _parts(prompts):
        there = answers_used([prompt.pk for prompt in some])
        for prompt in some:
            record, answers = prompt.record(), there[prompt.pk]
            for one in answers if len(answers) >= FEWEST else ():
                yield StoredRecord(prompt=record, completion=one.text, key=str(one.pk))


def _asked(prompts: Sequence[Prompt]) -> Iterator[AskedRecord]:
    """The pairs of these prompts that are tasks, whether or not somebody has answered them."""
    for some in _parts(prompts):
        records = {prompt.pk: prompt.record() for prompt in some}
        items = TaskItem.objects.filter(task__kind="compare", task__prompt__in=records)
        texts: dict[tuple[int, int], list[str]] = {}
        for item in items.values_list("task", "task__prompt", "completion__text"):
            texts.setdefault(item[:2], []).append(item[2])
        for (_task, prompt), pair in texts.items():
            yield AskedRecord(prompt=records[prompt], completions=(pair[0], pair[1]))
