"""Projects and their prompts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from json.encoder import encode_basestring_ascii
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from alignment.seam.records import Message, prompt_key, split_of_prompt
from alignment.world import grammar
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.audit.acts import Act
from webapp.audit.records import record_act
from webapp.projects.errors import ProjectError
from webapp.projects.models import Membership, Project, Prompt, PromptStanding, PromptWording
from webapp.site.bulk import WrittenJson, insert_values

BATCH = 500  # rows per INSERT, and keys per query: SQLite bounds both
STARTER_PROMPTS = 800
STARTER_SEED = 1


@transaction.atomic
def create_project(
    name: str, *, by: User, guidelines: str = "", starter_prompts: bool = False
) -> Project:
    """A new project with its creator as admin, and with generated prompts to try it if wanted."""
    project = Project.objects.create(name=name, guidelines=guidelines)
    Membership.objects.create(project=project, user=by, role=Role.ADMIN)
    record_act(Act.PROJECT_MADE, by, project=project.pk, about=project.pk, name=name)
    if starter_prompts:
        prompts = grammar.prompts(STARTER_SEED, STARTER_PROMPTS)
        add_prompts(project, prompts, source=Prompt.Source.GENERATED)
    return project


@transaction.atomic
def write_prompt(project: Project, messages: Sequence[Message], *, by: User) -> tuple[Prompt, bool]:
    """The prompt that somebody has written, and whether it is new: what is there already stays as it is."""
    prompt, new = add_prompt(project, messages, source=Prompt.Source.WRITTEN, author=by)
    if new:
        record_act(Act.PROMPT_WRITTEN, by, project=project.pk, about=prompt.pk)
    return prompt, new


def add_prompt(
    project: Project, messages: Sequence[Message], *, source: str, author: User | None = None
) -> tuple[Prompt, bool]:
    """The prompt of this conversation, and whether it is new; one that is written waits for its reviews."""
    new = _row(project, messages, source, author)
    if source == Prompt.Source.WRITTEN and project.reviews:
        new.standing = PromptStanding.WAITING
    coming = Prompt.every.filter(project=project, key=new.key, intake__whole=False)
    if coming.update(intake=None, source=source, author=author):
        return Prompt.objects.get(project=project, key=new.key), True
    copied = ("messages", "split", "source", "author", "standing")
    defaults = {name: getattr(new, name) for name in copied}
    return Prompt.objects.get_or_create(project=project, key=new.key, defaults=defaults)


def keep_conversation(
    project: Project, messages: Sequence[Message], *, split: str, author: User
) -> Prompt:
    """The prompt of what a conversation has come to; a new one is kept retired, for nothing but its answers.

    Its split is that of its opening prompt.
    """
    new = _row(project, messages, Prompt.Source.WRITTEN, author)
    copied = ("messages", "source", "author")
    defaults = {name: getattr(new, name) for name in copied}
    defaults |= {"split": split, "standing": PromptStanding.RETIRED}
    kept, _created = Prompt.every.get_or_create(project=project, key=new.key, defaults=defaults)
    return kept


@transaction.atomic
def reword_prompt(prompt: Prompt, text: str, *, by: int | None) -> None:
    """Let the last turn of a prompt that nothing has used say something else; what it said is kept.

    Its key and split are those of the new words. Raises ProjectError where another prompt says the same.
    """
    turns = [*prompt.messages[:-1], prompt.messages[-1] | {"content": text}]
    new = _row(prompt.project, [Message(**turn) for turn in turns], prompt.source)
    if Prompt.every.filter(project=prompt.project_id, key=new.key).exclude(pk=prompt.pk).exists():
        raise ProjectError(_("There is a prompt of these words already: nothing was stored."))
    PromptWording.objects.create(prompt=prompt, messages=prompt.messages, by_id=by)
    prompt.messages, prompt.key, prompt.split = new.messages, new.key, new.split
    prompt.save(update_fields=["messages", "key", "split"])


@transaction.atomic
def add_prompts(
    project: Project,
    conversations: Iterable[Sequence[Message]],
    *,
    source: str,
    splits: Mapping[str, str] | None = None,
) -> int:
    """Add the conversations that are not there yet, in these splits by their keys; the number added.

    Those that an intake is about to bring are there at once.
    """
    Project.objects.select_for_update().get(pk=project.pk)  # one bulk at a time: the count is right
    rows = {row.key: row for row in (_row(project, turns, source) for turns in conversations)}
    shown = _show_coming(project, list(rows))
    known = _known(project, list(rows))
    new = [row for key, row in rows.items() if key not in known]
    for row in new:
        row.split = (splits or {}).get(row.key, row.split)
    Prompt.every.bulk_create(new, batch_size=BATCH, ignore_conflicts=True)
    return len(new) + shown


class PromptDraft(NamedTuple):
    """A conversation as its row will have it."""

    key: str
    messages: WrittenJson
    split: str


def draft_prompt(key: str, messages: Sequence[Message]) -> PromptDraft:
    """What takes time about a row of a conversation, and may be done before its transaction."""
    turns = f"[{', '.join(map(_turn, messages))}]"
    return PromptDraft(key, WrittenJson(turns), split_of_prompt(messages, key))


def _turn(message: Message) -> str:
    """A turn as JSON; a plain one without the encoder, since files have millions."""
    if message.is_plain:
        return (
            f'{{"role": "{message.role}", "content": {encode_basestring_ascii(message.content)}}}'
        )
    return json.dumps(message.model_dump())


def insert_prompts(
    project: Project, drafts: Sequence[PromptDraft], *, intake: int
) -> Sequence[int]:
    """Write conversations that an intake brings and are not there; their ids."""
    return insert_values(
        Prompt,
        PromptDraft._fields,
        drafts,
        project_id=project.pk,
        source=Prompt.Source.IMPORTED,
        intake_id=intake,
    )


def _show_coming(project: Project, keys: Sequence[str]) -> int:
    """Take prompts of these keys out of an intake that is not whole, so that they are there; how many."""
    coming = Prompt.every.filter(project=project, intake__whole=False)
    return sum(
        coming.filter(key__in=keys[start : start + BATCH]).update(intake=None)
        for start in range(0, len(keys), BATCH)
    )


@transaction.atomic
def save_guidelines(
    project: Project,
    guidelines: str,
    *,
    seen: str,
    min_visible_ms: int | None = None,
    by: User | None = None,
) -> None:
    """Replace what annotators are asked to look at, if it still is the text that was `seen` (`mark_of`),
    and how long they look at least, where that is given.

    Raises ProjectError where somebody else has changed it meanwhile.
    """
    known = Project.objects.select_for_update().get(pk=project.pk)
    if mark_of(known.guidelines) != seen and known.guidelines != guidelines:
        raise ProjectError(
            _(
                "Somebody else changed the guidelines meanwhile: theirs stand below. Take over what you "
                "want to keep, then save again."
            )
        )
    _renew_form(known, by, guidelines=guidelines)
    if min_visible_ms is not None:
        known.min_visible_ms = min_visible_ms
        known.save(update_fields=["min_visible_ms"])
    said = {"version": known.form_version, "min_visible_ms": known.min_visible_ms}
    record_act(Act.GUIDELINES_SAVED, by, project=known.pk, about=known.pk, **said)


@transaction.atomic
def save_composition(
    project: Project, composition: Mapping[str, object], *, seen: int, by: User | None = None
) -> None:
    """Replace how tasks are asked, if the form still has the number that was `seen`.

    Raises ProjectError where somebody else has changed it meanwhile.
    """
    known = Project.objects.select_for_update().get(pk=project.pk)
    if known.form_version != seen and known.composition != composition:
        raise ProjectError(
            _(
                "Somebody else changed the form or the guidelines meanwhile. What you chose stands here: "
                "look at the newest version below, then save again."
            )
        )
    _renew_form(known, by, composition=composition)
    version = known.form_version
    record_act(Act.FORM_SAVED, by, project=known.pk, about=known.pk, version=version)


def _renew_form(known: Project, by: User | None, **changed: object) -> None:
    """Ask by something else from now on: each change has a number, and what was before is kept."""
    if all(getattr(known, name) == value for name, value in changed.items()):
        return
    known.form_versions.get_or_create(number=known.form_version, defaults=_form_of(known))
    for name, value in changed.items():
        setattr(known, name, value)
    known.form_version += 1
    known.save(update_fields=[*changed, "form_version"])
    known.form_versions.create(number=known.form_version, by=by, **_form_of(known))


def _form_of(project: Project) -> dict[str, Any]:
    """What a version keeps."""
    return {"guidelines": project.guidelines, "composition": project.composition}


@transaction.atomic
def set_reviews(project: Project, *, by: User | None = None, **wanted: int) -> None:
    """How many people judge what is written from now on, and how many must accept it, by the project's columns."""
    for name, number in wanted.items():
        setattr(project, name, number)
    project.save(update_fields=list(wanted))
    record_act(Act.REVIEWS_SET, by, project=project.pk, about=project.pk, **wanted)


def mark_of(text: str) -> str:
    """Tells one text from another."""
    return sha256(text.encode()).hexdigest()


def _known(project: Project, keys: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for start in range(0, len(keys), BATCH):
        there = Prompt.every.filter(project=project, key__in=keys[start : start + BATCH])
        known.update(there.values_list("key", flat=True))
    return known


def _row(
    project: Project, messages: Sequence[Message], source: str, author: User | None = None
) -> Prompt:
    key = prompt_key(messages)
    return Prompt(
        project=project,
        key=key,
        messages=[message.model_dump() for message in messages],
        split=split_of_prompt(messages),
        source=source,
        author=author,
    )
