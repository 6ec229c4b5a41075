"""Every export, taken into an empty project and exported again: equal rows, and from then on equal bytes."""

from collections import Counter
from uuid import uuid4

import pytest

from alignment.world.utility import SimulatedAnnotator
from tests.cases import cases
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    a_user,
    again,
    compare,
    some_tasks,
    tasks_of,
)
from tests.webapp.datasets.test_exports import conversation, rows
from tests.webapp.datasets.test_standins import held
from webapp.accounts.roles import Role
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.folders import write_folder, zipped
from webapp.datasets.exports.losses import losses_of
from webapp.datasets.imports.parts import take_in
from webapp.datasets.intake import Become, Plan, judgements
from webapp.datasets.services import freeze_snapshot
from webapp.demo.annotators import ANSWERS
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.kinds.compare import Choice
from webapp.labeling.queue import claim
from webapp.labeling.services import submit_label

pytestmark = [pytest.mark.once, pytest.mark.django_db]
# Keys of rows here and there, and where they came from.
OWN = {
    "label",
    "task",
    "item_ids",
    "item_sources",
    "item_models",
    "origin",
    "source",
    "annotator",
    "form",
}


def answered(project):
    """Labels of many sorts, of prompts of one turn."""
    for choice in (Choice.LEFT_MUCH, Choice.RIGHT, Choice.TIE, Choice.BOTH_BAD):
        for task in some_tasks(project, need=2):
            a_label(task, choice, rationale="Since = it is so.", flags=["false"], visible_ms=1200)
            a_label(task, Choice.RIGHT_SLIGHTLY)
    a_ranking(a_prompt(project), 0, 1, 1)
    prompt = a_prompt(project, "=1+1\r\n\r\nand more")
    compare(project, [(a_completion(prompt, "-2"), a_completion(prompt, "@x\n\nHuman"))])
    a_label(prompt.tasks.get())


def every_kind(project):
    """A label of each kind of task, by a simulated person."""
    for name, kind in TASK_KINDS.items():
        tasks_of(project, name, 1, size=max(kind.items[0], min(kind.items[-1], 2)))
        held = claim(project, a_user(project, Role.ANNOTATOR))
        shown = {"prompt": held.task.prompt.text, "items": [one.text for one in held.shown]}
        sent = ANSWERS[name](SimulatedAnnotator(1), shown)
        said = {field: sent[field] for field in kind.Answer.model_fields if field in sent}
        submit_label(held, client_id=uuid4(), answer=said)


@pytest.fixture(scope="module")
def frozen(kept):
    """Labels of prompts of one turn, and the same with a conversation of several turns."""
    plain, talks = a_project(), a_project()
    answered(plain)
    answered(talks)
    conversation(talks)
    every_kind(talks)
    return [freeze_snapshot(project) for project in (plain, talks)]


def exported(snapshot, form, folder):
    for _ in write_folder(folder, snapshot, form):
        continue
    return folder


def taken(folder, form):
    """A new project with all that a file says, frozen."""
    project = a_project()
    reading = held(zipped(folder))
    assert reading.refusals == []
    judged = Become.PREFERENCES if judgements(reading.prompts) else Become.DEMONSTRATIONS
    take_in(project, reading, Plan(judged if reading.answers else Become.PROMPTS))
    for prompt in project.prompts.filter(tasks=None) if form.config == "prompt_only" else ():
        compare(project, [(a_completion(prompt), a_completion(prompt))])
        a_label(prompt.tasks.get(), Choice.TIE)
    return freeze_snapshot(project)


def told(folder):
    """How often each row is there, but for what names it."""
    found = [row for split in rows(folder).values() for row in split]
    return Counter(repr(_unnamed(row)) for row in found)


def content(folder, form):
    """The bytes of all files of rows; where rows have ids, which no other database has, the rest of each in order."""
    if "ids" in form.keeps:
        return {n: [_unnamed(row) for row in split] for n, split in rows(folder).items()}
    return {path.name: path.read_bytes() for path in (folder / form.config).iterdir()}


def _unnamed(row):
    return {n: row[n] for n in row if n not in OWN}


@cases("name", EXPORTS, quick=["raw_labels", "trl_preference_conversational"])
def test_rows_come_back_equal_and_then_bytes_do(frozen, on_kept, tmp_path, name):
    form = EXPORTS[name]
    snapshot = again(frozen[0 if form.refuses else 1])
    folders = [exported(snapshot, form, tmp_path / "0")]
    for trip in ("1", "2"):
        folders.append(exported(taken(folders[-1], form), form, tmp_path / trip))
    first, second, third = folders
    assert told(first) == told(second)
    assert content(second, form) == content(third, form)
    lost = {str(loss.words) for loss in losses_of(snapshot, form)}
    assert bool(lost) == (name != "raw_labels")
