"""What a snapshot would hold, from labels and imported ranks, and what one holds."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby, permutations
from operator import attrgetter
from typing import Any, NamedTuple, TypedDict

from django.db.models import Exists, F, Max, Min, OuterRef, Q, QuerySet
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel

from alignment.seam.records import PromptRecord
from webapp.accounts.models import User
from webapp.artifacts.models import Artifact
from webapp.datasets import standins
from webapp.datasets.filters import SnapshotFilter
from webapp.datasets.models import Intake, Preference, Snapshot
from webapp.datasets.snapshots import (
    ACCEPTED,
    RANKED,
    WITHOUT_PREFERENCE,
    SnapshotRow,
    read,
    said_by,
)
from webapp.jobs.models import Job, State
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.descriptor import LETTERS, Asked, TaskKind
from webapp.labeling.models import Completion, Label, LabelQuerySet
from webapp.projects.models import Project, Prompt, Split
from webapp.quality.models import Adjudication
from webapp.site.pages import COUNTED, count_up_to
from webapp.site.words import Words

HASH_DIGITS = 10  # two of a thousand annotators share a name once in two million projects
IMPORTED = "import"  # who ranked what came from a file


def current_labels(project: Project) -> LabelQuerySet:
    """The newest revision of each answer in the project, oldest first."""
    return Label.objects.current().filter(project=project).order_by("pk")


def imported_completions(project: Project) -> QuerySet[Completion]:
    """Answers that came from files."""
    return Completion.objects.filter(prompt__project=project, source=Completion.Source.IMPORTED)


def reference_answers(project: Project, split: str) -> QuerySet[Completion]:
    """Imported answers that nothing was put before: no better rank, no preferred other. By prompt."""
    behind = Preference.objects.filter(worse=OuterRef("pk"))
    best = imported_completions(project).filter(prompt__split=split).exclude(rank__gt=0)
    return best.filter(~Exists(behind)).select_related("prompt").order_by("prompt__key", "pk")


def ranked_completions(project: Project) -> QuerySet[Completion]:
    """Imported answers that people put in an order, prompt by prompt."""
    ranked = imported_completions(project).filter(rank__isnull=False)
    return ranked.order_by("prompt_id", "rank", "pk")


def label_rows(project: Project, wanted: SnapshotFilter) -> Iterator[SnapshotRow]:
    """One row per label that is wanted; who gave it is a pseudonym."""
    labels = wanted.labels_of(project)
    names = pseudonyms(project, labels.order_by().values_list("annotator", flat=True).distinct())
    labels = labels.filter(annotator__in=names)  # what comes meanwhile may be by somebody new
    decided = Adjudication.objects.standing().filter(task=OuterRef("task"))
    labels = labels.annotate(
        overruled=Exists(decided) | Q(task__repeat_of__isnull=False),
        stands=F("review__standing"),  # None: nobody reviews it
    )
    related = labels.select_related("task__prompt", "annotator").prefetch_related("task__items")
    models = _names_of_models()
    for label in related.iterator(chunk_size=2000):
        yield SnapshotRow(
            **_prompt_columns(label.task.prompt),
            **_item_columns(label.shown, models),
            task=label.task_id,
            label=label.pk,
            kind=label.task.kind,
            answer=label.said.model_dump_json(),
            annotator=names[label.annotator_id],
            simulated=label.annotator.simulated,
            counted=label.counted,
            rationale=label.rationale,
            flags=label.flags,
            visible_ms=label.visible_ms,
            created_at=label.created_at,
            source="label",
            imported=label.imported,
            form=label.form,
            overruled=getattr(label, "overruled", False),
            standing=getattr(label, "stands", None) or ACCEPTED,
        )


def adjudication_rows(project: Project, wanted: SnapshotFilter) -> Iterator[SnapshotRow]:
    """One row per decision that stands and is wanted: it speaks instead of the labels of its task."""
    standing = Adjudication.objects.standing().filter(task__project=project)
    made = wanted.decisions(standing).order_by("pk")
    people = set(made.order_by().values_list("by", flat=True))
    if not people:
        return
    names, models = pseudonyms(project, people), _names_of_models()
    made = made.filter(by__in=names).select_related("task__prompt").prefetch_related("task__items")
    for decision in made.iterator(chunk_size=2000):
        kind = decision.task.asks
        yield SnapshotRow(
            **_prompt_columns(decision.task.prompt),
            kind=kind.name,
            **_item_columns(decision.task.in_order(decision.order), models),
            task=decision.task_id,
            answer=kind.canonical(decision.answer),
            annotator=names[decision.by_id],
            counted=True,
            rationale=decision.rationale,
            created_at=decision.created_at,
            source="adjudication",
        )


def rank_rows(project: Project, wanted: SnapshotFilter) -> Iterator[SnapshotRow]:
    """One row per two answers of a prompt with different ranks, the better one first."""
    ranked = wanted.ranked(ranked_completions(project)).select_related("prompt")
    by_prompt = groupby(ranked.iterator(chunk_size=2000), key=attrgetter("prompt_id"))
    for _prompt, answers in by_prompt:
        yield from _pairs_of_ranking(list(answers))


def _pairs_of_ranking(answers: list[Completion]) -> Iterator[SnapshotRow]:
    """Ranks compare within one ranking: two files may rank different answers to one prompt."""
    for better, worse in permutations(answers, 2):
        together = better.sampling.get("ranking") == worse.sampling.get("ranking")
        if together and (better.rank or 0) < (worse.rank or 0):
            yield SnapshotRow(
                **_prompt_columns(better.prompt),
                **_ranked_columns(better, worse, strength=1),
                annotator=IMPORTED,
                created_at=max(better.created_at, worse.created_at),
                source="rank",
                group=better.sampling.get("ranking") or better.prompt.key,
                imported=True,
            )


def preference_rows(project: Project, wanted: SnapshotFilter) -> Iterator[SnapshotRow]:
    """One row per imported preference, the better answer first."""
    rows = wanted.preferences(Preference.objects.of_project(project))
    related = rows.select_related("better__prompt", "worse")
    for preference in related.iterator(chunk_size=2000):
        better, worse = preference.better, preference.worse
        yield SnapshotRow(
            **_prompt_columns(better.prompt),
            **_ranked_columns(better, worse, strength=preference.strength),
            annotator=preference.annotator or IMPORTED,
            created_at=preference.created_at,
            source="rank",
            group=preference.group,
            imported=True,
        )


def _names_of_models() -> dict[int, str]:
    return dict(Artifact.objects.filter(type=Artifact.Type.MODEL).values_list("pk", "name"))


class _ItemColumns(TypedDict):
    items: list[str]
    completions: list[int]
    sources: list[str]
    models: list[str]


def _item_columns(shown: Sequence[Completion], models: Mapping[int, str]) -> _ItemColumns:
    """Answers in the order in which somebody saw them, and who wrote them."""
    return {
        "items": [one.text for one in shown],
        "completions": [one.pk for one in shown],
        "sources": [one.source for one in shown],
        "models": [models.get(one.model_id or 0, "") for one in shown],
    }


class _RankedColumns(_ItemColumns):
    kind: str
    answer: str


def _ranked_columns(better: Completion, worse: Completion, *, strength: int) -> _RankedColumns:
    answer = json.dumps({"strength": strength})
    return {**_item_columns((better, worse), {}), "kind": RANKED, "answer": answer}


class _PromptColumns(TypedDict):
    prompt_key: str
    split: str
    messages: str


def _prompt_columns(prompt: Prompt) -> _PromptColumns:
    messages = json.dumps(prompt.messages, ensure_ascii=False)
    return {"prompt_key": prompt.key, "split": prompt.split, "messages": messages}


def pseudonyms(project: Project, annotators: Iterable[int]) -> dict[int, str]:
    """Names by a keyed hash, which say nothing about who joined when: always the same in a project.

    Whoever stands in for a name of a file keeps that name, so that files that went round are not doubled.
    """
    salt = f"snapshot annotators of project {project.pk} of {project.created_at.timestamp()}"
    names = {pk: f"a{salted_hmac(salt, str(pk)).hexdigest()[:HASH_DIGITS]}" for pk in annotators}
    return names | standins.names_in_files(project, names)


def newest(project: Project) -> dict[str, int]:
    """The last label, ranked answer and preference there are, to tell later what is new.

    What an import is about to bring has lower numbers than what people store meanwhile: it will be new.
    """
    rows: dict[str, tuple[QuerySet[Any], QuerySet[Any]]] = {
        "label": (current_labels(project), Label.every.all()),
        "ranked": (ranked_completions(project), Completion.every.all()),
        "preference": (Preference.objects.of_project(project), Preference.every.all()),
    }
    last = {name: found.aggregate(pk=Max("pk"))["pk"] or 0 for name, (found, _) in rows.items()}
    if coming := Intake.objects.filter(project=project, whole=False).first():
        for name, (_found, every) in rows.items():
            first = every.filter(intake=coming).aggregate(pk=Min("pk"))["pk"]
            last[name] = min(last[name], first - 1 if first else last[name])
    if not last["preference"]:  # snapshots from before there were any say nothing of them
        del last["preference"]
    return last


COUNTS = (
    "labels",
    "simulated",
    "annotators",
    "ranked",
    "preferences",
    "new_labels",
    "new_ranked",
    "new_preferences",
)


def unfrozen(project: Project, only: Collection[str] = COUNTS) -> dict[str, int]:
    """How many labels and ranked answers there are, and how many came after the last snapshot; up to a limit."""
    last = project.snapshots.first()
    seen = last.manifest["newest"] if last else defaultdict(int)
    labels = current_labels(project)
    ranked, preferences = ranked_completions(project), Preference.objects.of_project(project)
    given = labels.filter(annotator=OuterRef("pk"))
    rows: dict[str, QuerySet[Any]] = {
        "labels": labels,
        "simulated": labels.filter(annotator__simulated=True),
        "annotators": User.objects.filter(Exists(given)),
        "ranked": ranked,
        "preferences": preferences,
        "new_labels": labels.filter(pk__gt=seen["label"]),
        "new_ranked": ranked.filter(pk__gt=seen["ranked"]),
        "new_preferences": preferences.filter(pk__gt=seen.get("preference", 0)),
    }
    counts: dict[str, int] = {}
    for name in only:  # where there is nothing, nothing is new
        any_ = counts.get(name.removeprefix("new_"), 1)
        counts[name] = count_up_to(rows[name]) if any_ else 0
    return counts


class WantedCounts(NamedTuple):
    """How much a snapshot would take in, each counted up to a limit."""

    labels: int
    tasks: int
    ranked: int
    preferences: int


def count_wanted(project: Project, wanted: SnapshotFilter) -> WantedCounts:
    """What a snapshot by this filter would take in now."""
    labels = wanted.labels_of(project)
    tasks = labels.order_by().values("task").distinct()[: COUNTED + 1]
    preferences = wanted.preferences(Preference.objects.of_project(project))
    return WantedCounts(
        count_up_to(labels),
        tasks.count(),
        count_up_to(wanted.ranked(ranked_completions(project))),
        count_up_to(preferences),
    )


def count_rows(project: Project, wanted: SnapshotFilter) -> int:
    """How many rows a snapshot by this filter would have now, but for decisions, which are few."""
    preferences = wanted.preferences(Preference.objects.of_project(project))
    ranked = wanted.ranked(ranked_completions(project))
    return wanted.labels_of(project).count() + ranked.count() + preferences.count()


class SplitCount(NamedTuple):
    """How much of a snapshot one split holds."""

    split: str
    rows: int
    pairs: int
    written: int


def splits(snapshot: Snapshot) -> list[SplitCount]:
    """Rows, usable pairs and written answers of each split."""
    rows, pairs = snapshot.manifest["splits"], snapshot.manifest["pairs"]
    return [
        SplitCount(name, rows.get(name, 0), pairs.get(name, 0), snapshot.written_in(name))
        for name in Split.values
    ]


def files_before(snapshot: Snapshot) -> QuerySet[Job]:
    """The imports that had ended when a snapshot was frozen, the newest first."""
    done = snapshot.project.jobs.filter(kind="import", state=State.DONE)
    return done.filter(ended_at__lte=snapshot.created_at).order_by("-pk")


class Tally(NamedTuple):
    """How often each answer to one kind of task was given, in the order of its keys."""

    title: Words
    answers: list[tuple[Words, int]]


def answers_in_words(snapshot: Snapshot) -> list[Tally]:
    """What a snapshot's labels say, by the kinds of task that asked."""
    found = _answers(snapshot.manifest)
    return [_tally(TASK_KINDS[name], given) for name, given in found.items() if name in TASK_KINDS]


def _answers(manifest: Mapping[str, Any]) -> Mapping[str, Mapping[str, int]]:
    """Answers by kind; snapshots once held comparisons only."""
    if "answers" in manifest:
        found: Mapping[str, Mapping[str, int]] = manifest["answers"]
        return found
    said = TASK_KINDS["compare"].canonical
    return {"compare": {said({"choice": one}): n for one, n in manifest["choices"].items()}}


def _tally(kind: TaskKind, given: Mapping[str, int]) -> Tally:
    answers = [
        kind.Answer.model_validate(key.answer) for key in kind.keys if key.answer is not None
    ]
    counted = [(kind.words(one).text, given.get(one.model_dump_json(), 0)) for one in answers]
    return Tally(kind.title, counted)


def answers_without_a_pair(snapshot: Snapshot) -> list[tuple[Words, int]]:
    """How often each answer that keys give was given, of those that prefer no text to another."""
    found = _answers(snapshot.manifest)
    kinds = [TASK_KINDS[name] for name in found if name in TASK_KINDS]
    return [
        (kind.words(answer).text, n)
        for kind in kinds
        for key in kind.keys
        if key.answer is not None
        and _says(kind, answer := kind.Answer.model_validate(key.answer)) & WITHOUT_PREFERENCE
        and (n := found[kind.name].get(answer.model_dump_json()))
    ]


def _says(kind: TaskKind, answer: BaseModel) -> set[str]:
    """What an answer about different texts says of them."""
    asked = Asked(PromptRecord(key="", messages=()), LETTERS[: kind.items[-1]])
    return set(map(said_by, kind.records(asked, answer)))


class FirstRow(NamedTuple):
    """A row of a snapshot as its page shows it."""

    prompt: str
    items: list[str]
    answer: Words
    annotator: str
    simulated: bool
    split: str


def first_rows(snapshot: Snapshot, limit: int) -> list[FirstRow]:
    """The first rows of the stored file; none where the folder was removed from the store."""
    folder = snapshot.artifact.path
    rows = [_shown(row) for row in read(folder, limit=limit)] if folder.is_dir() else []
    widest = max((len(row.items) for row in rows), default=0)
    return [row._replace(items=row.items + [""] * (widest - len(row.items))) for row in rows]


def _shown(row: dict[str, Any]) -> FirstRow:
    return FirstRow(
        prompt=json.loads(row["messages"])[-1]["content"],
        items=row["items"],
        answer=_in_words(row["kind"], row["answer"]),
        annotator=row["annotator"],
        simulated=row["simulated"],
        split=row["split"],
    )


def _in_words(kind: str, answer: str) -> Words:
    if kind == RANKED:
        return _("A ranked above B")
    if kind not in TASK_KINDS:
        return answer
    return TASK_KINDS[kind].words(TASK_KINDS[kind].Answer.model_validate_json(answer)).text
