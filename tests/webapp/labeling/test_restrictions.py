"""Nobody is handed out tasks of kinds that their project does not offer, nor in languages that they do not read."""

import pytest

from tests.factories import again, some_tasks, tasks_of
from webapp.labeling import cursors, queue
from webapp.labeling.checks import make_gold
from webapp.labeling.dispatch import ask_person
from webapp.labeling.models import Task
from webapp.labeling.queries import open_for
from webapp.labeling.restrictions import Restriction, kinds_handed_out, restriction_for
from webapp.labeling.services import change_form

pytestmark = pytest.mark.django_db
KNOWN = {"answer": {"choice": 1}, "order": [0, 1], "verdict": "0>1"}


def offering(project, *kinds, **said):
    """The project once it offers these kinds."""
    number = again(project).form_version
    change_form(project, {"kinds": list(kinds), **said}, seen=number, by=None)
    return again(project)


def reading(person, *codes):
    """The person who reads these languages."""
    type(person).objects.filter(pk=person.pk).update(reads=list(codes))
    return again(person)


def speaking(tasks, *codes):
    """The tasks, in these languages."""
    for task, code in zip(tasks, codes, strict=True):
        Task.objects.filter(pk=task.pk).update(language=code)
    return tasks


def handed(project, person):
    return [card.task_id for card in queue.claim_page(project, person)]


def test_a_kind_that_is_no_longer_offered_waits_until_it_is_again(project, ana):
    (pair,) = some_tasks(project)
    (text,) = tasks_of(project, "demonstrate", size=0)
    project = offering(project, "demonstrate")
    assert open_for(project, ana) == 1
    assert handed(project, ana) == [text.pk]
    assert queue.claim_page(project, ana, count=2)[1:] == []
    project = offering(project, "demonstrate", "compare")
    assert handed(project, ana) == [text.pk, pair.pk]


def test_who_has_come_to_the_end_finds_a_kind_that_is_offered_again(project, ana):
    (pair,) = some_tasks(project)
    project = offering(project, "demonstrate")
    assert queue.claim(project, ana) is None
    assert cursors.Cursor.objects.of(project, ana).exists()
    assert handed(offering(project, "compare"), ana) == [pair.pk]


def test_what_waits_for_somebody_and_checks_are_of_kinds_that_are_offered(project, ana, researcher):
    kept, known = some_tasks(project, 2)
    ask_person(project, [kept.pk], ana)
    make_gold(known, KNOWN, by=researcher)
    type(project).objects.filter(pk=project.pk).update(gold_every=1)
    assert handed(offering(project, "demonstrate"), ana) == []
    assert set(handed(offering(project, "compare"), ana)) == {kept.pk, known.pk}


def test_reviews_come_by_themselves_and_conversations_need_a_model(project):
    assert kinds_handed_out(project) == ()
    project = offering(project, "compare")
    assert kinds_handed_out(project) == ("compare", "review")
    assert "converse" not in kinds_handed_out(offering(project, points=2))
    talks = offering(project, points=4, converse={"models": [1]})
    assert kinds_handed_out(talks) == ()


def test_who_names_languages_is_given_tasks_in_them_and_those_nobody_can_tell(project, ana, ben):
    tasks = speaking(some_tasks(project, 4), "de", "en", "", None)
    reader = reading(ana, "en", "fr")
    assert restriction_for(project, reader) == Restriction((), ("en", "fr"))
    assert open_for(project, reader) == 3
    assert handed(project, reader) == [task.pk for task in tasks[1:]]
    assert handed(project, ben) == [tasks[0].pk]


def test_a_place_that_is_kept_for_somebody_is_theirs_in_any_language(project, ana):
    (task,) = speaking(some_tasks(project), "de")
    reader = reading(ana, "en")
    ask_person(project, [task.pk], reader)
    assert handed(project, reader) == [task.pk]


def test_a_cursor_leads_past_what_its_person_does_not_read(project, ana):
    number = cursors.FAR + 2
    tasks = some_tasks(project, number)
    speaking(tasks, *["de"] * (number - 1), "en")
    reader = reading(ana, "en")
    assert handed(project, reader) == [tasks[-1].pk]
    place = cursors.Cursor.objects.of(project, ana).values_list("key", flat=True).get()
    assert place > tasks[-2].key


def test_a_check_is_in_a_language_that_its_person_reads(project, ana, researcher):
    foreign, own = speaking(some_tasks(project, 2), "de", "en")
    for task in (foreign, own):
        make_gold(task, KNOWN, by=researcher)
    type(project).objects.filter(pk=project.pk).update(gold_every=1)
    assert handed(again(project), reading(ana, "en")) == [own.pk]
