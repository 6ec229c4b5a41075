"""Simulated annotators: they answer every task over HTTP, as a kind of task that they know."""

import pytest

from alignment.world.utility import SimulatedAnnotator
from tests.factories import a_user, some_tasks
from webapp.accounts.roles import Role
from webapp.demo.annotators import ANSWERS, Login, answers_to, label_all, signed_in
from webapp.labeling.kinds import TASK_KINDS
from webapp.labeling.models import Label, Task

pytestmark = pytest.mark.once

PASSWORD = "long-enough-to-type"  # of a test


@pytest.mark.django_db(transaction=True)
def test_they_answer_all_there_is_as_they_like_what_was_shown(live_server, project):
    some_tasks(project, 5, texts=("Yes, with pleasure.", "No."))
    logins = [Login(f"simulated-{number}", PASSWORD, seed=number) for number in (1, 2)]
    for login in logins:
        a_user(project, Role.ANNOTATOR, username=login.username, password=PASSWORD, simulated=True)
    given = []
    with signed_in(live_server.url, logins) as people:
        assert label_all(project.pk, people, lambda: given.append(1), most=2) == 2
        assert Task.objects.filter(done=1).count() == 2  # the rest is left for others
        assert label_all(project.pk, people, lambda: given.append(1)) == 3
    assert len(given) == Task.objects.filter(done=1).count() == 5
    assert {label.annotator.username for label in Label.objects.all()} <= {
        login.username for login in logins
    }


def test_an_answer_is_one_of_the_kind_that_asked():
    texts = ["Yes, with pleasure.", "No.", "Perhaps."]
    for name, answer in ANSWERS.items():
        card = {"prompt": "May I?", "items": texts[: TASK_KINDS[name].items[-1]]}
        said = answer(SimulatedAnnotator(1), card)
        assert TASK_KINDS[name].Answer.model_validate(said)


def test_one_person_answers_cards_in_their_order():
    asked, good, bad = "How do I bake bread?", "Please enjoy it, my friend.", "Shut up, fool."
    cards = [
        {"kind": "compare", "prompt": asked, "items": one} for one in ((good, bad), (bad, good))
    ]
    first, second = answers_to(cards * 10, seed=1), answers_to(cards * 10, seed=1)
    choices = [answer["choice"] for answer in first]
    assert choices == [answer["choice"] for answer in second]
    assert sum(choice < 4 for choice in choices[::2]) >= 9
    assert sum(choice > 4 for choice in choices[1::2]) >= 9
