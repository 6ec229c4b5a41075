"""What the label page tells those whose answer was not stored, and what it gives back to them."""

from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.asserts import assertContains

from tests.factories import a_project, a_user, again, some_tasks
from webapp.accounts.models import User
from webapp.accounts.roles import Role
from webapp.labeling import queue
from webapp.labeling.forms import LONGEST_RATIONALE, LONGEST_TIME
from webapp.labeling.keys import all_keys, keys_of
from webapp.labeling.models import Assignment, Label
from webapp.people.services import deactivate

pytestmark = pytest.mark.once

FRAGMENT = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}
WORDS = "my reason\n\n  with its <b> shape"


@pytest.fixture
def url(project):
    return reverse("labeling:label", args=[project.pk])


@pytest.fixture
def annotator(client, ana, project):
    some_tasks(project, 6)
    client.force_login(ana)
    return client


@pytest.fixture
def leased(project, ana, annotator):
    return queue.claim(project, ana)


def answer(assignment, choice=2, **fields):
    return {"assignment": assignment.pk, "client_id": uuid4(), "choice": choice} | fields


def given_back(response, words=WORDS):
    """The words stand in a text box as they were sent."""
    escaped = words.replace("<", "&lt;").replace(">", "&gt;")
    assert f">\n{escaped}</textarea>" in response.content.decode()


@pytest.mark.parametrize("way", [FRAGMENT, JSON])
def test_who_is_signed_out_is_told_and_not_led_away(client, url, leased, way):
    client.logout()
    response = client.post(url, answer(leased), headers=way)
    assert (response.status_code, response.json()["kind"]) == (401, "signed_out")


@pytest.mark.parametrize("ended", [True, False])
def test_who_is_deactivated_is_told_so(annotator, url, leased, ana, project, ended):
    if ended:
        deactivate(ana, by=a_user(project, Role.ADMIN, is_superuser=True))
    else:
        User.objects.filter(pk=ana.pk).update(is_active=False)
    response = annotator.post(url, answer(leased), headers=FRAGMENT)
    assert (response.status_code, response.json()["kind"]) == (401, "deactivated")


def test_who_is_no_member_any_more_is_told_so(annotator, url, leased, ana):
    ana.memberships.all().delete()
    response = annotator.post(url, answer(leased), headers=FRAGMENT)
    assert (response.status_code, response.json()["kind"]) == (404, "not_yours")


@pytest.mark.twice
def test_an_answer_meant_for_somebody_else_is_not_stored(annotator, url, leased, ben):
    response = annotator.post(url, answer(leased) | {"as": ben.pk}, headers=FRAGMENT)
    assert (response.status_code, response.json()["kind"]) == (403, "other_person")
    assert not Label.objects.exists()


@pytest.mark.parametrize(("signed_in", "kind"), [(True, "stale"), (False, "signed_out")])
def test_a_token_that_does_not_fit_is_told(ana, url, leased, signed_in, kind):
    strict = Client(enforce_csrf_checks=True)
    if signed_in:
        strict.force_login(ana)
    response = strict.post(url, answer(leased), headers=FRAGMENT)
    assert response.json()["kind"] == kind


def test_what_was_stored_is_acknowledged_by_its_own_name(annotator, url, leased):
    data = answer(leased)
    response = annotator.post(url, data, headers=FRAGMENT)
    assertContains(response, f'data-receipt="{data["client_id"]}"')


@pytest.mark.parametrize(
    "fields", [{"rationale": WORDS, "choice": ""}, {"rationale": WORDS, "choice": 9}]
)
def test_without_scripts_a_refused_answer_comes_back_with_its_words(annotator, url, leased, fields):
    response = annotator.post(url, answer(leased, flags=["false"]) | fields)
    given_back(response)
    assertContains(response, 'value="false" checked')
    assertContains(response, f'name="assignment" value="{leased.pk}"')


@pytest.mark.twice
def test_without_scripts_a_reason_that_is_too_long_comes_back(annotator, url, leased):
    long = "x" * (LONGEST_RATIONALE + 1)
    response = annotator.post(url, answer(leased, rationale=long))
    given_back(response, long)
    assertContains(response, "10001 characters")


def test_without_scripts_who_was_signed_out_gets_the_words_back(client, url, leased):
    client.logout()
    given_back(client.post(url, answer(leased, rationale=WORDS)))


def test_without_scripts_who_lost_the_project_gets_the_words_back(annotator, url, leased, ana):
    ana.memberships.all().delete()
    given_back(annotator.post(url, answer(leased, rationale=WORDS)))


@pytest.mark.parametrize("name", ["rationale", "text", "guidelines"])
def test_a_form_of_another_session_gives_its_words_back(ana, project, name):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ana)
    given_back(strict.post(reverse("prompts", args=[project.pk]), {name: WORDS}))


@pytest.mark.parametrize(
    ("told", "stored"),
    [("1200", 1200), ("-5", 0), ("9" * 40, LONGEST_TIME), ("NaN", None), ("", None), ("1e3", None)],
)
def test_no_answer_is_refused_for_its_time(annotator, url, leased, told, stored):
    response = annotator.post(url, answer(leased, visible_ms=told), headers=FRAGMENT)
    assert response.status_code == 200
    assert Label.objects.get().visible_ms == stored


@pytest.mark.twice
def test_line_breaks_count_once_and_are_stored_as_one_character(annotator, url, leased):
    typed = "\r\n".join(["a line"] * 1428)
    annotator.post(url, answer(leased, rationale=typed), headers=FRAGMENT)
    assert Label.objects.get().rationale == typed.replace("\r\n", "\n")


def test_a_pair_is_sent_again_to_mend_its_answer(annotator, url, project, ana, leased):
    others = [card.pk for card in queue.claim_page(project, ana)[1:]]
    Assignment.objects.filter(pk=leased.pk).update(state=Assignment.State.EXPIRED)
    data = {"renew": 1, "have": ",".join(map(str, others)), "want": leased.pk}
    assertContains(annotator.post(url, data, headers=FRAGMENT), f'data-assignment="{leased.pk}"')


def test_a_pair_of_another_project_or_person_is_not_sent(annotator, url, ana, ben, project):
    other = a_project()
    other.memberships.create(user=ana, role=Role.ANNOTATOR)
    some_tasks(other, 1)
    foreign = [queue.claim(other, ana), queue.claim(project, ben)]
    data = {"renew": 1, "want": ",".join(str(card.pk) for card in foreign)}
    content = annotator.post(url, data, headers=FRAGMENT).content.decode()
    assert not [card for card in foreign if f'data-assignment="{card.pk}"' in content]


@pytest.mark.twice
def test_a_draft_that_is_too_long_is_refused_and_the_old_one_stays(annotator, project, leased):
    drafts = reverse("labeling:draft", args=[project.pk])
    annotator.post(drafts, {"assignment": leased.pk, "rationale": "kept"})
    long = {"assignment": leased.pk, "rationale": "x" * (LONGEST_RATIONALE + 1)}
    assert annotator.post(drafts, long).status_code == 409
    assert again(leased).draft["rationale"] == "kept"


def test_keys_go_back_to_the_usual_ones(annotator, project, ana):
    page = reverse("labeling:keys", args=[project.pk])
    annotator.post(page, {"undo": "Z"})
    assert keys_of(again(ana))["undo"] == "z"
    annotator.post(page, {"undo": ""})
    assert keys_of(again(ana)) == {key.action: key.usual for key in all_keys()}
    assert again(ana).label_keys == {"off": False, "keys": {}}


@pytest.mark.twice
def test_another_answer_under_the_same_name_is_refused_with_its_words(annotator, url, leased):
    data = answer(leased)
    annotator.post(url, data)
    again_ = data | {"choice": 6, "rationale": WORDS}
    assert annotator.post(url, again_, headers=FRAGMENT).status_code == 409
    response = annotator.post(url, again_)
    given_back(response)
    assert (
        str(data["client_id"])
        not in response.content.decode().split('id="dock"')[1].split("scale")[0]
    )
    assert annotator.post(url, data, headers=FRAGMENT).status_code == 200


def test_without_scripts_words_stay_with_their_pair_when_another_button_is_pressed(
    annotator, url, project, ana, leased
):
    given = answer(leased)
    annotator.post(url, given)
    shown = queue.claim(project, ana)
    annotator.post(url, {"undo": given["client_id"], "assignment": shown.pk, "rationale": WORDS})
    assert again(shown).draft["rationale"] == WORDS


def test_without_scripts_words_about_a_pair_that_is_not_ones_own_come_back(
    annotator, url, project, ben
):
    given_back(annotator.post(url, answer(queue.claim(project, ben), rationale=WORDS)))


@pytest.mark.parametrize("fields", [{"choice": 2}, {"flags": "false"}])
def test_without_scripts_who_was_signed_out_is_told_that_nothing_was_stored(
    client, url, leased, fields
):
    client.logout()
    response = client.post(url, {"assignment": leased.pk} | fields)
    assertContains(response, "This was not stored", status_code=401)
