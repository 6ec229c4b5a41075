"""Taking in what a file held: prompts, answers, tasks about them, and what was said of them.

Everything is idempotent: an answer is known by its own name or by its words, a label by its content. The rows
name the intake that they come with (`imports/parts.py` says how one goes on), so `every` row is looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, islice
from typing import Any, NamedTuple, TypeVar

from django.db import models
from django.utils import timezone

from alignment.rows.found import (
    Demonstrated,
    ImportedAnswer,
    ImportedLabel,
    ImportedPair,
    content_key,
)
from alignment.seam.records import Message, opening_key, prompt_key
from webapp.datasets import standins
from webapp.datasets.imports.reading import PromptFound
from webapp.datasets.models import ComingRank, ComingTasks, Intake, Preference
from webapp.labeling.bands import Band, priority_in
from webapp.labeling.kinds import kind_named, kind_of_label
from webapp.labeling.kinds.descriptor import HasText, TaskKind
from webapp.labeling.models import Completion
from webapp.labeling.services import Ask, place_asks
from webapp.projects.models import Project, Prompt, Split
from webapp.projects.services import PromptDraft, draft_prompt, insert_prompts
from webapp.site.bulk import insert_values

T = TypeVar("T")
W = TypeVar("W", bound=HasText)
BATCH = 500  # rows per INSERT, and keys per query
CONTENT = "sha256:"  # names of answers that have none of their own begin with it
PAIRS = 6  # of one prompt: all pairs of four answers
TWO = range(2, 3)  # answers of a task: then it is asked how many pairs
FIRST_KIND = "compare"  # of the tasks of imports from before there was a choice
ANSWERS = "answers, since only prompts were asked for"
JUDGED = "preferences and labels, since they were not asked for"
TEST = "prompts with answers that are kept for testing, of which no tasks are made"
ALIKE = "answers that look like another one to their prompt, of which no tasks are made"
ALONE = "prompts with fewer answers than a task is about"
ASKED = "pairs of answers that were asked about before"
NO_KIND = "labels of which no kind of task here has words"
UNTOLD = "answers that are no demonstrations, since others were put before them or a label says that they are bad"
OTHER_WORDS = "answers that are here under the same name with other words; these stay"
OTHER_COLUMNS = "columns for code of prompts that are here with others, which stay"
OTHER_RANK = "answers that are here with another rank, which stays"


class Become(models.TextChoices):
    """What the rows of a file become."""

    PROMPTS = "prompts", "Prompts only"
    ANSWERS = "answers", "Prompts and answers"
    TASKS = "tasks", "Prompts and answers, and tasks to label them"
    DEMONSTRATIONS = "demonstrations", "Prompts and demonstrations: answers worth imitating"
    PREFERENCES = "preferences", "Prompts and answers, and what the file says of them"


class Plan(NamedTuple):
    """What the rows of a file become: for tasks, of which kind, with how many labels and pairs of each prompt."""

    become: Become
    need: int = 1
    pairs: int = PAIRS  # 0: all
    kind: str = FIRST_KIND
    band: str = Band.NORMAL  # of the queue


@dataclass
class Added:
    """What an import brought that was not there yet, and what of the file it did not take."""

    prompts: int = 0
    completions: int = 0
    tasks: int = 0
    preferences: int = 0
    labels: int = 0
    left_out: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "Added":
        """What `stored` wrote down."""
        return cls(**{**stored, "left_out": Counter(stored.get("left_out", {}))})

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "left_out": dict(+self.left_out)}

    def count(self, more: "Added") -> None:
        """Add what another part brought."""
        for name in BROUGHT:
            setattr(self, name, getattr(self, name) + getattr(more, name))
        self.left_out += more.left_out


BROUGHT = ("prompts", "completions", "tasks", "preferences", "labels")
Portion = Mapping[str, PromptFound]  # some prompts of a file, by their keys


class PromptRow(NamedTuple):
    """Where a prompt of a file is stored."""

    pk: int
    here: bool  # before this part came
    split: str = ""  # of one that is new


@dataclass(slots=True)
class AnswerRow:
    """An answer of a file as it is stored, without all that a model of Django's brings."""

    text: str
    key: str
    rank: int | None
    sampling: Mapping[str, Any]
    prompt_id: int = 0
    pk: int = 0
    source: str = Completion.Source.IMPORTED
    model_id: int | None = None


StoredAnswer = Completion | AnswerRow
Answers = dict[str, Mapping[str, StoredAnswer]]  # by the key of the prompt, then of the answer


class Drafted(NamedTuple):
    """What a prompt of a file becomes where it is new: its row, those of its answers, and what tasks ask about these."""

    found: PromptFound
    prompt: PromptDraft
    answers: dict[str, AnswerRow]
    asked: Sequence[Sequence[AnswerRow]]
    alike: int  # answers that nobody could tell from another one


Drafts = Mapping[str, Drafted]  # by the keys of prompts


def draft_part(part: Portion, plan: Plan) -> Drafts:
    """What of `take_part` can be done before its transaction, in which others wait."""
    kind = kind_named(plan.kind) if plan.become == Become.TASKS else None
    stored = plan.become not in (Become.PROMPTS, Become.DEMONSTRATIONS)
    ranked = plan.become == Become.PREFERENCES
    drafts = {}
    for key, found in part.items():
        answers = _drafted(found, ranked=ranked) if stored else {}
        rows = distinct(answers.values()) if kind else []
        asked = items_asked(kind, rows, plan.pairs) if kind else []
        prompt = draft_prompt(key, found.messages)
        drafts[key] = Drafted(found, prompt, answers, asked, len(answers) - len(rows))
    return drafts


def _drafted(found: PromptFound, *, ranked: bool) -> dict[str, AnswerRow]:
    return {key: _answer_row(answer, ranked=ranked) for key, answer in found.answers.items()}


def take_part(intake: Intake, part: Portion, drafts: Drafts, plan: Plan) -> Added:
    """Add what a part of a file brings, in the caller's transaction; what is there already stays as it is."""
    added = Added()
    prompts = _prompts(intake, part, drafts, added)
    _keep_columns(prompts, part, added)
    ids = {key: row.pk for key, row in prompts.items()}
    if plan.become in (Become.PROMPTS, Become.DEMONSTRATIONS):
        answers: Answers = {}
    else:
        judged = plan.become == Become.PREFERENCES
        answers = _answers(intake, prompts, drafts, added, ranked=judged)
    if plan.become == Become.PROMPTS:
        added.left_out[ANSWERS] += sum(len(found.answers) for found in part.values())
    elif plan.become == Become.DEMONSTRATIONS:
        _demonstrations(intake, ids, part, added)
    elif plan.become == Become.TASKS:
        _tasks(intake, prompts, drafts, answers, plan, added)
    elif plan.become == Become.PREFERENCES:
        added.preferences += _preferences(intake, part, answers)
        _labels(intake, ids, part, answers, added)
    if plan.become != Become.PREFERENCES:
        added.left_out[JUDGED] += judgements(part)
    return added


def judgements(part: Portion) -> int:
    """How many preferences and labels a file or a part of it holds."""
    return sum(one.ranked() + len(one.pairs) + len(one.labels) for one in part.values())


def _prompts(intake: Intake, part: Portion, drafts: Drafts, added: Added) -> dict[str, PromptRow]:
    """Add the prompts that are new; the row of each key of the part."""
    locked = Project.objects.select_for_update(no_key=True)  # one bulk at a time; others may label
    project = locked.get(pk=intake.project_id)
    aliases = dict(_stored_trimmed(project, part))
    keys = [aliases.get(key, key) for key in part]
    rows: dict[str, PromptRow] = {}
    for some in _batches(keys):
        there = Prompt.every.filter(project=project, key__in=some).values_list("key", "pk")
        rows.update((key, PromptRow(pk, here=True)) for key, pk in there)
    new = [key for key, row in zip(part, keys, strict=True) if row not in rows]
    splits = _splits(project, {key: part[key] for key in new})
    coming = [drafts[key].prompt for key in new]
    if splits:
        coming = [one._replace(split=splits.get(one.key, one.split)) for one in coming]
    ids = insert_prompts(project, coming, intake=intake.pk)
    for pk, one in zip(ids, coming, strict=True):
        rows[one.key] = PromptRow(pk, here=False, split=one.split)
    added.prompts = len(new)
    return {key: rows[row] for key, row in zip(part, keys, strict=True)}


def _keep_columns(prompts: Mapping[str, PromptRow], part: Portion, added: Added) -> None:
    """Give prompts the columns that they keep for code; what one has already stays."""
    kept = {prompts[key].pk: found.columns for key, found in part.items() if found.columns}
    for some in _batches(list(kept)):
        there = dict(Prompt.every.filter(pk__in=some).values_list("pk", "columns"))
        new = [Prompt(pk=pk, columns=kept[pk]) for pk in some if not there[pk]]
        Prompt.every.bulk_update(new, ["columns"])
        added.left_out[OTHER_COLUMNS] += sum(there[pk] not in ("", kept[pk]) for pk in some)


def _splits(project: Project, part: Portion) -> dict[str, str]:
    """The splits that the file gives, but that of its opening to a conversation whose opening is here."""
    given = {key: found for key, found in part.items() if found.split}
    if not given:
        return {}
    openings = {key: opening_key(found.messages) for key, found in given.items()}
    there: dict[str, str] = {}
    for some in _batches(list(openings.values())):
        known = Prompt.every.filter(project=project, key__in=some)
        there.update(known.values_list("key", "split"))
    return {key: there.get(openings[key], found.split) for key, found in given.items()}


def _stored_trimmed(project: Project, part: Portion) -> Iterator[tuple[str, str]]:
    """Prompts that an earlier version stored without the spaces at their ends, by the answers they have."""
    trimmed = {}
    for key, found in part.items():
        names = {name for name in found.answers if not name.startswith(CONTENT)}
        if names and (other := _trimmed_key(found.messages)) != key:
            trimmed[key] = other, names
    known = Completion.every.filter(prompt__project=project)
    for some in _batches([other for other, _names in trimmed.values()]):
        there = set(known.filter(prompt__key__in=some).values_list("prompt__key", "key"))
        for key, (other, names) in trimmed.items():
            if any((other, name) in there for name in names):
                yield key, other


def _trimmed_key(messages: Sequence[Message]) -> str:
    words = [(turn, turn.content.replace("\r\n", "\n").strip()) for turn in messages]
    return prompt_key(turn.model_copy(update={"content": text or " "}) for turn, text in words)


def _answers(
    intake: Intake, prompts: Mapping[str, PromptRow], drafts: Drafts, added: Added, *, ranked: bool
) -> Answers:
    """Add the answers that are new; the row of each answer of the part."""
    there = _KnownAnswers(row.pk for row in prompts.values() if row.here)
    found: Answers = {}
    new: list[StoredAnswer] = []
    ranks: list[StoredAnswer] = []
    for name, draft in drafts.items():
        row, drafted = prompts[name], draft.answers
        for one in drafted.values():
            one.prompt_id, one.pk = row.pk, 0
        if not row.here:
            found[name] = drafted
            new += drafted.values()
            continue
        found[name] = rows = dict[str, StoredAnswer]()
        for key, answer in draft.found.answers.items():
            known = there.find(row.pk, answer)
            if known is None:
                known = there.named[row.pk, key] = drafted[key]
                new.append(known)
            else:
                ranks += _rank(known, answer, added) if known.pk and ranked else ()
                added.left_out[OTHER_WORDS] += known.text != answer.text
            rows[key] = known
    if ranked:
        fresh = {id(row) for row in (*new, *ranks)}
        added.preferences += sum(_ranked_pairs(rows.values(), fresh) for rows in found.values())
    _insert_answers(intake, new)
    _keep_ranks(intake, ranks)
    added.completions = len(new)
    return found


def _insert_answers(intake: Intake, new: Sequence[StoredAnswer]) -> None:
    """Write them; they have their ids then."""
    rows = [(one.prompt_id, one.text, one.key, one.rank, one.sampling) for one in new]
    numbers = insert_values(
        Completion,
        ("prompt_id", "text", "key", "rank", "sampling"),
        rows,
        intake_id=intake.pk,
        source=Completion.Source.IMPORTED,
        created_at=timezone.now(),
    )
    for one, number in zip(new, numbers, strict=True):
        one.pk = number


def _keep_ranks(intake: Intake, ranked: Iterable[StoredAnswer]) -> None:
    """Ranks of answers that were here before, which nobody is to see yet."""
    rows = [
        ComingRank(
            intake=intake, completion_id=one.pk, rank=one.rank, ranking=one.sampling["ranking"]
        )
        for one in ranked
        if one.rank is not None
    ]
    ComingRank.objects.bulk_create(rows, batch_size=BATCH)


def _ranked_pairs(rows: Iterable[StoredAnswer], fresh: set[int]) -> int:
    """How many pairs the ranks imply of which one answer got its rank just now."""
    together = defaultdict(list)
    for row in rows:
        if row.rank is not None:
            together[row.sampling.get("ranking", "")].append(row)
    return sum(
        one.rank != two.rank and (id(one) in fresh or id(two) in fresh)
        for ranking in together.values()
        for one, two in combinations(ranking, 2)
    )


class _KnownAnswers:
    """The answers to prompts that are there."""

    def __init__(self, prompts: Iterable[int]) -> None:
        self.named: dict[tuple[int, str], StoredAnswer] = {}  # by their prompt and name
        self.worded: dict[tuple[int, str], StoredAnswer] = {}  # by their prompt and words
        for some in _batches(list(prompts)):
            for one in Completion.every.filter(prompt__in=some).order_by("pk"):
                self.named[one.prompt_id, one.key] = one
                self.worded.setdefault((one.prompt_id, content_key(one.text)), one)

    def find(self, prompt_id: int, answer: ImportedAnswer) -> StoredAnswer | None:
        """The one of this name or, where that is made of the words, of these words."""
        known = self.named.get((prompt_id, answer.key))
        if known is None and answer.key == content_key(answer.text):
            known = self.worded.get((prompt_id, answer.key))
        return known


def _answer_row(answer: ImportedAnswer, *, ranked: bool) -> AnswerRow:
    ranking = answer.ranking
    sampling = {**answer.about, "ranking": ranking} if ranking else answer.about
    return AnswerRow(answer.text, answer.key, answer.rank if ranked else None, sampling)


def _rank(known: StoredAnswer, answer: ImportedAnswer, added: Added) -> list[StoredAnswer]:
    """An answer that is there without a rank gets the file's."""
    if answer.rank is None or known.rank == answer.rank:
        return []
    if known.rank is not None:
        added.left_out[OTHER_RANK] += 1
        return []
    known.rank = answer.rank
    known.sampling = {**known.sampling, "ranking": answer.ranking}
    return [known]


def _tasks(
    intake: Intake,
    prompts: Mapping[str, PromptRow],
    drafts: Drafts,
    answers: Answers,
    plan: Plan,
    added: Added,
) -> None:
    """Keep what a kind of task asks about the part, but nothing about a prompt that is kept for testing."""
    kind, asked = kind_named(plan.kind), _labelled(prompts.values())
    asks: list[Ask] = []
    alike = alone = tested = 0
    for key, row in prompts.items():
        draft = drafts[key]
        about: Sequence[Sequence[StoredAnswer]] = draft.asked
        same, size = draft.alike, len(draft.answers)
        if row.here:
            about, same, size = _asked_of(kind, answers[key].values(), plan.pairs)
        alike += same
        alone += size < kind.items[0]
        if not about:
            continue
        if row.pk in asked:
            asks += [Ask(row.pk, items, fresh=not row.here) for items in about]
        else:
            tested += 1
    if placed := place_asks(plan.kind, asks):
        when = {"need": plan.need, "priority": priority_in(Band(plan.band))}
        kept = list(placed.values())
        ComingTasks.objects.create(intake=intake, kind=plan.kind, placed=kept, **when)
    added.tasks = len(placed)
    known = len(asks) - added.tasks
    added.left_out.update({ALIKE: alike, ALONE: alone, TEST: tested, ASKED: known})


def _asked_of(
    kind: TaskKind, answers: Iterable[StoredAnswer], pairs: int
) -> tuple[Sequence[Sequence[StoredAnswer]], int, int]:
    """What a kind of task asks about answers to a prompt; how many look like another one, and how many they are."""
    there = {one.pk: one for one in answers}.values()
    rows = distinct(there)
    return items_asked(kind, rows, pairs), len(there) - len(rows), len(there)


def _labelled(prompts: Collection[PromptRow]) -> set[int]:
    """Those of which people may be asked."""
    asked = {row.pk for row in prompts if not row.here and row.split != Split.TEST}
    for some in _batches([row.pk for row in prompts if row.here]):
        open_ = Prompt.every.for_labels().filter(pk__in=some)
        asked.update(open_.values_list("pk", flat=True))
    return asked


def items_asked(kind: TaskKind, answers: Sequence[W], pairs: int) -> list[Sequence[W]]:
    """What a kind of task asks about the answers to one prompt: of pairs at most so many (0: all)."""
    if kind.items == TWO:
        return list(some_pairs(answers, pairs))
    return list(kind.ask(answers))


def _demonstrations(intake: Intake, ids: Mapping[str, int], part: Portion, added: Added) -> None:
    """Store each answer worth imitating as if somebody had written it when asked to."""
    given = []
    for key, found in part.items():
        good = found.worth_imitating()
        added.left_out[UNTOLD] += len(found.answers) - len(good)
        for answer in good:
            label = ImportedLabel(
                str(answer.about.get("annotator", "")), (), Demonstrated(answer.text)
            )
            if heard := kind_of_label(label.said, 0):
                given.append(standins.Given(label, ids[key], key, (), *heard))
            else:
                added.left_out[NO_KIND] += 1
    added.labels, here = standins.store_labels(intake, given)
    added.left_out[standins.HERE] += here


def distinct(answers: Iterable[W]) -> list[W]:
    """Those that people can tell apart: of answers that differ in spaces at their ends, the first."""
    seen: dict[str, W] = {}
    for answer in answers:
        seen.setdefault(answer.text.strip(), answer)
    return list(seen.values())


def some_pairs(rows: Sequence[T], most: int) -> list[tuple[T, T]]:
    """At most so many pairs (0: all), in which each row comes as often as any other, or nearly."""
    return list(islice(_around(rows), most or None))


def _around(rows: Sequence[T]) -> Iterator[tuple[T, T]]:
    """All pairs, neighbours on a circle first."""
    size = len(rows)
    for step in range(1, size // 2 + 1):
        for place in range(size // 2 if 2 * step == size else size):
            yield rows[place], rows[(place + step) % size]


def how_many_pairs(answers: int, most: int) -> int:
    """How many pairs `some_pairs` gives."""
    all_ = answers * (answers - 1) // 2
    return min(all_, most) if most else all_


def _preferences(intake: Intake, part: Portion, answers: Answers) -> int:
    """Store the pairs that a file says of its answers; the number of new ones."""
    said: Counter[Said] = Counter()
    rows: list[Preference] = []
    for key, found in part.items():
        for pair in found.pairs:
            row = _preference(pair, answers[key][pair.better], answers[key][pair.worse])
            about = _said(row)
            row.intake, row.number = intake, said[about]
            said[about] += 1
            rows.append(row)
    known = _known_preferences({row.better_id for row in rows})
    new = [row for row in rows if (_said(row), row.number) not in known]
    Preference.every.bulk_create(new, batch_size=BATCH, ignore_conflicts=True)
    return len(new)


Said = tuple[int, int, str, int, str]


def _said(row: Preference) -> Said:
    return row.better_id, row.worse_id, row.group, row.strength, row.annotator


def _known_preferences(better: Iterable[int]) -> set[tuple[Said, int]]:
    """What is said of these answers already, and how often before."""
    return {
        (_said(row), row.number)
        for some in _batches(sorted(better))
        for row in Preference.every.filter(better__in=some)
    }


def _preference(pair: ImportedPair, better: StoredAnswer, worse: StoredAnswer) -> Preference:
    return Preference(
        better_id=better.pk,
        worse_id=worse.pk,
        group=pair.group,
        strength=pair.strength,
        annotator=pair.annotator,
        created_at=pair.created_at or timezone.now(),
    )


def _labels(
    intake: Intake, ids: Mapping[str, int], part: Portion, answers: Answers, added: Added
) -> None:
    """Store the labels that a file holds, each by somebody who stands for its annotator."""
    given = []
    for key, found in part.items():
        for label in found.labels:
            if heard := kind_of_label(label.said, len(label.items)):
                shown = tuple(answers[key][name] for name in label.items)
                given.append(standins.Given(label, ids[key], key, shown, *heard))
            else:
                added.left_out[NO_KIND] += 1
    added.labels, here = standins.store_labels(intake, given)
    added.left_out[standins.HERE] += here


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), BATCH):
        yield rows[start : start + BATCH]
