"""Our own exports read back: the same pairs, sides and strengths, by people who cannot sign in."""

from collections import Counter
from uuid import uuid4

import pytest
from django.urls import reverse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pytest_django.asserts import assertContains

from alignment.rows.formats import GUESS
from alignment.rows.json_lines import Row
from alignment.seam.records import Message, prompt_key
from tests.cases import cases
from tests.factories import (
    a_completion,
    a_label,
    a_project,
    a_prompt,
    a_ranking,
    a_user,
    compare,
    some_tasks,
)
from tests.faults.ledger import miscounted
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.datasets.exports import EXPORTS
from webapp.datasets.exports.folders import write_folder, zipped
from webapp.datasets.imports.parts import take_in
from webapp.datasets.imports.reading import read, read_rows
from webapp.datasets.intake import Become, Plan
from webapp.datasets.queries import pseudonyms
from webapp.datasets.services import freeze_snapshot
from webapp.datasets.snapshots import labels_of
from webapp.datasets.standins import HERE
from webapp.labeling.models import Label, Task
from webapp.projects.models import Split

pytestmark = pytest.mark.once

# Formats that say who preferred what to what, and how, in rows of pairs.
PAIRED = {"strengths", "sides", "annotators", "groups"}
FORMS = [n for n, one in EXPORTS.items() if one.keeps >= PAIRED and "reasons" not in one.keeps]
TOLD_APART = [
    "trl_preference_plain",
    "trl_implicit_plain",
    "pairs_csv",
]  # text must be escaped or cut


def exported(project, folder, text="trl_preference_conversational"):
    """The zip of an export of what the project holds now."""
    return exported_of(freeze_snapshot(project), folder, text)


def exported_of(snapshot, folder, text):
    folder = folder / f"out-{uuid4().hex[:8]}"
    for _ in write_folder(folder, snapshot, EXPORTS[text]):
        continue
    return zipped(folder)


def held(path):
    steps = read(path, GUESS, limit=10_000_000)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def brought(project, path):
    reading = held(path)
    assert reading.refusals == []
    return take_in(project, reading, Plan(Become.PREFERENCES))


def names_of(project):
    """The pseudonyms of all who labelled in a project."""
    people = Label.objects.filter(task__project=project).values_list("annotator", flat=True)
    return {*pseudonyms(project, people).values()}


def pairs_of(project):
    """All pairs of a project, as often as there are, with how many people gave each kind."""
    return pairs_in(freeze_snapshot(project))


def pairs_in(snapshot):
    pairs = [pair for split in Split.values for pair in labels_of(snapshot.artifact, split)]
    said = Counter(
        (p.prompt.key, p.chosen, p.rejected, p.strength, p.left_won, p.group)
        for p in pairs
        if p.kind == "pair" and p.chosen != p.rejected
    )
    people = Counter(p.annotator for p in pairs if p.kind == "pair" and p.left_won is not None)
    return said, sorted(people.values())


def labelled(project, number=6):
    """Tasks answered by two people, once with each strength and side."""
    people = [a_user(project, Role.ANNOTATOR) for _ in range(2)]
    for place, task in enumerate(some_tasks(project, number, need=2)):
        for turn, person in enumerate(people):
            choice = [1, 2, 3, 5, 6, 7][(place + turn) % 6]
            a_label(task, choice, annotator=person)
    return people


@cases("text", FORMS, quick=["pairs_csv"])
def test_an_export_comes_back_as_the_same_pairs(project, tmp_path, text):
    labelled(project)
    a_ranking(a_prompt(project), 0, 1, 1, 2)
    into = a_project()
    path = exported(project, tmp_path, text)
    added = brought(into, path)
    assert (added.labels, added.preferences, miscounted()) == (12, 5, 0)
    assert pairs_of(into) == pairs_of(project)
    keys = [dict(p.prompts.values_list("key", "split")) for p in (project, into)]
    assert keys[0] == keys[1]
    assert exported(into, tmp_path, text).exists()


@pytest.mark.twice
def test_a_second_import_of_an_export_adds_nothing(project, tmp_path):
    labelled(project)
    into, path = a_project(), exported(project, tmp_path)
    brought(into, path)
    before = Label.objects.count(), Task.objects.count(), User.objects.count()
    assert brought(into, path).labels == 0
    assert before == (Label.objects.count(), Task.objects.count(), User.objects.count())


def test_an_export_adds_nothing_where_it_was_made(project, tmp_path):
    labelled(project)
    added = brought(project, exported(project, tmp_path))
    assert (added.prompts, added.completions, added.labels) == (0, 0, 0)
    assert added.left_out == {HERE: 12}


def test_labels_of_several_people_share_a_task_with_their_sides(project, tmp_path):
    labelled(project)
    into = a_project()
    brought(into, exported(project, tmp_path))
    assert set(into.tasks.values_list("need", "taken", "done")) == {(2, 2, 2)}
    for label in Label.objects.filter(task__project=into):
        assert label.assignment.order == label.order
        assert (label.counted, label.imported) == (True, True)


def row(**columns):
    """A row as our own export writes it."""
    key = prompt_key([Message(role="user", content="Why?")])
    known = {"prompt": "Why?", "chosen": "x", "rejected": "y", "prompt_key": key, "group": ""}
    return known | {"strength": 3, "annotator": "a1", "left_won": True} | columns


def stored(project, *rows):
    reading = read_rows(Row(f"row {number}", one) for number, one in enumerate(rows))
    assert reading.refusals == []
    return take_in(project, reading, Plan(Become.PREFERENCES))


def test_people_who_saw_the_same_sides_hold_places_of_those_sides(project):
    stored(project, *[row(annotator=f"a{n}", left_won=n % 3 > 0) for n in range(6)])
    assert (project.tasks.get().need, miscounted()) == (6, 0)
    for label in Label.objects.all():
        assert label.assignment.order == label.order
        assert label.shown[label.said.better].text == "x"


def test_a_pair_without_sides_keeps_its_strength_and_group(project):
    stored(project, row(left_won=None, annotator="import", group="t1"))
    assert list(pairs_of(project)[0]) == [(row()["prompt_key"], "x", "y", 3, None, "t1")]


def test_two_labels_of_one_person_about_equal_words_are_both_kept(project, tmp_path):
    prompt, ann = a_prompt(project), a_user(project, Role.ANNOTATOR)
    for _ in range(2):
        pair = a_completion(prompt, "x"), a_completion(prompt, "y")
        compare(project, [pair], need=1)
    for task, choice in zip(project.tasks.order_by("pk"), (1, 7), strict=True):
        a_label(task, choice, annotator=ann)
    into = a_project()
    path = exported(project, tmp_path)
    assert (brought(into, path).labels, into.tasks.count(), miscounted()) == (2, 2, 0)
    assert pairs_of(into) == pairs_of(project)
    assert brought(into, path).labels == 0


def test_a_label_takes_a_free_place_of_a_task_that_is_there(project, tmp_path):
    labelled(project, 1)
    into, path = a_project(), exported(project, tmp_path)
    take_in(into, held(path), Plan(Become.TASKS, need=3))
    if not into.tasks.exists():  # its prompt is kept for testing
        pair = list(into.prompts.get().completions.all())
        compare(into, [pair], need=3)
    brought(into, path)
    task = into.tasks.get()
    assert (task.need, task.taken, task.done, miscounted()) == (3, 2, 2, 0)


def test_who_stands_in_cannot_sign_in_and_is_no_member(project, tmp_path):
    labelled(project)
    into = a_project()
    brought(into, exported(project, tmp_path))
    people = User.objects.filter(labels__task__project=into).distinct()
    assert {person.shown_name for person in people} == names_of(project)
    for person in people:
        assert not person.is_active
        assert not person.has_usable_password()
        assert not person.memberships.exists()


def test_a_name_in_a_file_is_never_a_persons_account(project, tmp_path):
    labelled(project, 1)
    into, victims = a_project(), [a_user(username=name) for name in names_of(project)]
    brought(into, exported(project, tmp_path))
    assert not any(victim.labels.exists() for victim in victims)


@pytest.mark.twice
def test_pseudonyms_of_two_projects_are_two_people(project, tmp_path):
    labelled(project, 1)
    path = exported(project, tmp_path)
    brought(a_project(), path)
    brought(a_project(), path)
    for name in names_of(project):
        assert User.objects.filter(first_name=name).count() == 2


@pytest.mark.twice
def test_exports_before_and_after_somebody_new_labels_bring_each_label_once(project, tmp_path):
    people = [a_user(project, Role.ANNOTATOR) for _ in range(3)]
    into, tasks, paths = a_project(), some_tasks(project, 2, need=3), []
    for person in people:
        for task in tasks:
            a_label(task, 1, annotator=person)
        paths.append(exported(project, tmp_path))
    for path in paths:
        brought(into, path)
    assert Label.objects.filter(task__project=into).count() == 6
    assert pairs_of(into) == pairs_of(project)


@pytest.mark.twice
def test_people_of_two_projects_stay_apart_in_a_third(project, tmp_path):
    into, other = a_project(), a_project()
    for one in (project, other):
        labelled(one, 2)
        brought(into, exported(one, tmp_path))
    people = User.objects.filter(labels__task__project=into).distinct()
    assert {person.shown_name for person in people} == names_of(project) | names_of(other)
    assert people.count() == 4


def test_labels_that_went_round_through_another_project_are_the_same(project, tmp_path):
    labelled(project)
    middle, last = a_project(), a_project()
    first = exported(project, tmp_path)
    brought(middle, first)
    second = exported(middle, tmp_path)
    assert brought(last, first).labels == 12
    assert brought(last, second).labels == 0
    assert brought(project, second).labels == 0


def test_imported_labels_are_marked_in_the_table(client, project, tmp_path):
    labelled(project, 1)
    into = a_project()
    brought(into, exported(project, tmp_path))
    client.force_login(a_user(into, Role.RESEARCHER))
    assertContains(client.get(reverse("labeling:labels", args=[into.pk])), "imported</span>")


TEXT = st.text(max_size=6).map(lambda text: text.replace("\0", "")) | st.sampled_from(
    ["", " ", "a ", " a", "a\r\n", "\u2028", "\u00a0", "e\u0301", "\n\nHuman: a"]
)
QUESTION = (TEXT | st.just("\n\nHuman: Hi\n\nAssistant:")).filter(str.strip)
ACTS = st.lists(
    st.tuples(
        st.integers(0, 2),  # prompt
        TEXT,
        TEXT,
        st.lists(st.tuples(st.integers(0, 2), st.integers(0, 7)), min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=5,
)


def played(project, questions, acts):
    """Labels of three people about answers of any words."""
    people = [a_user(project, Role.ANNOTATOR) for _ in range(3)]
    prompts = [a_prompt(project, question) for question in dict.fromkeys(questions)]
    for number, left, right, labels in acts:
        prompt = prompts[number % len(prompts)]
        pair = [a_completion(prompt, text) for text in (left or "-", right or "-")]
        for completion, text in zip(pair, (left, right), strict=True):
            type(completion).objects.filter(pk=completion.pk).update(text=text)
        compare(project, [pair], need=3)
        task = Task.objects.filter(items__completion=pair[0]).first()
        for person, choice in dict(labels).items() if task else ():
            a_label(task, choice, annotator=people[person])


@pytest.mark.once
@pytest.mark.django_db
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions=st.lists(QUESTION, min_size=1, max_size=3), acts=ACTS)
def test_whatever_was_said_comes_back_from_a_table(tmp_path, questions, acts):
    comes_back(tmp_path, "pairs_csv", questions, acts)


@pytest.mark.slow
@pytest.mark.once
@pytest.mark.django_db
@pytest.mark.parametrize("text", TOLD_APART)
@settings(max_examples=7, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions=st.lists(QUESTION, min_size=1, max_size=3), acts=ACTS)
def test_whatever_was_said_comes_back(tmp_path, text, questions, acts):
    comes_back(tmp_path, text, questions, acts)


@pytest.mark.prove
@pytest.mark.django_db
@pytest.mark.parametrize("text", FORMS)
@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(questions=st.lists(QUESTION, min_size=1, max_size=3), acts=ACTS)
def test_whatever_was_said_comes_back_of_many(tmp_path, text, questions, acts):
    comes_back(tmp_path, text, questions, acts)


def comes_back(tmp_path, text, questions, acts):
    """Export, import, freeze: the same pairs; and a second import adds nothing."""
    project, into = a_project(), a_project()
    played(project, questions, acts)
    if not any(label.said.strength for label in Label.objects.filter(task__project=project)):
        return
    snapshot = freeze_snapshot(project)
    if snapshot.pairs == 0:
        return
    path = exported_of(snapshot, tmp_path, text)
    brought(into, path)
    assert pairs_of(into)[0] == pairs_in(snapshot)[0]
    assert miscounted() == 0
    added = brought(into, path)
    assert (added.prompts, added.completions, added.labels, added.preferences) == (0, 0, 0, 0)
