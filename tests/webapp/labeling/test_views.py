"""The label page for people and programs, and the tables of tasks and labels."""

import re
from datetime import timedelta
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from tests.factories import a_label, a_project, a_user, again, an_artifact, some_labels, some_tasks
from tests.webapp.labeling.acts import overdue, queries_of
from webapp.accounts.roles import Role
from webapp.labeling import queue
from webapp.labeling.models import Assignment, Completion, Label, Task
from webapp.labeling.services import expire_leases, skip, submit_label
from webapp.site import pages

FRAGMENT = {"HX-Request": "true"}
JSON = {"Accept": "application/json"}


@pytest.fixture
def tasks(project):
    return some_tasks(project, 6)


@pytest.fixture
def url(project):
    return reverse("labeling:label", args=[project.pk])


@pytest.fixture
def annotator(client, ana, tasks):
    client.force_login(ana)
    return client


@pytest.fixture
def leased(project, ana, tasks):
    return queue.claim(project, ana)


def answer(assignment, choice=2, **fields):
    return {"assignment": assignment.pk, "client_id": uuid4(), "choice": choice} | fields


def label_some(project, user, number=1, choice=2):
    for _ in range(number):
        submit_label(queue.claim(project, user), client_id=uuid4(), answer={"choice": choice})


@pytest.mark.once
def test_the_page_shows_the_shown_pair_and_hides_the_next_three(annotator, url):
    response = annotator.get(url)
    assertContains(response, "data-assignment=", count=4)
    assertContains(response, 'aria-label="Pair to compare" hidden', count=3)
    assertContains(response, "6</span> waiting")


@pytest.mark.once
def test_a_plain_form_stores_the_answer_and_comes_back(annotator, url, leased):
    assertRedirects(annotator.post(url, answer(leased, 6, rationale="Kinder.")), url)
    label = Label.objects.get()
    assert (label.assignment, label.said.choice, label.rationale) == (leased, 6, "Kinder.")


@pytest.mark.once
def test_a_script_gets_only_the_cards_it_lacks(annotator, url, project, ana):
    first, *ahead = queue.claim_page(project, ana)
    have = ",".join(str(card.pk) for card in ahead)
    response = annotator.post(url, answer(first) | {"have": have}, headers=FRAGMENT)
    assertNotContains(response, "<html")
    assertContains(response, "data-assignment=", count=1)
    assertContains(response, 'data-lost=""')


def test_an_answer_is_counted_by_its_page_and_a_renewal_counts_again(annotator, url, project, ana):
    first = answer(queue.claim_page(project, ana)[0])
    counts = 'data-waiting="{}" data-today="{}"\n         data-last="{}"'.format
    stored = annotator.post(url, first, headers=FRAGMENT)
    assertContains(stored, counts("", "", first["client_id"]))
    for sent in (first, {"renew": 1}):  # again, and no answer at all
        response = annotator.post(url, sent, headers=FRAGMENT)
        assertContains(response, counts(5, 1, first["client_id"]))


@pytest.mark.once
def test_a_renewal_says_which_cards_are_lost(annotator, url, leased):
    overdue(leased)
    expire_leases()
    response = annotator.post(url, {"renew": 1, "have": leased.pk}, headers=FRAGMENT)
    assertContains(response, f'data-lost="{leased.pk}"')
    assert not Label.objects.exists()


def test_a_swapped_card_is_leased_for_longer(annotator, url, project, ana):
    first, second, *_ = queue.claim_page(project, ana)
    data = answer(first) | {"have": second.pk, "shown": second.pk}
    annotator.post(url, data, headers=FRAGMENT)
    assert again(second).lease_until > timezone.now() + timedelta(seconds=queue.AHEAD)


@pytest.mark.once
def test_a_program_reads_a_pair_and_answers_it(annotator, url, project):
    card = annotator.get(url, headers=JSON).json()
    held = Assignment.objects.get(pk=card["assignment"])
    assert (card["prompt"], card["items"]) == (
        held.task.prompt.text,
        [one.text for one in held.shown],
    )
    following = annotator.post(url, answer(held), headers=JSON).json()
    assert following["assignment"] != held.pk
    assert following["waiting"] == 5


@pytest.mark.once
def test_a_program_is_told_when_nothing_is_left(client, ana, url):
    client.force_login(ana)
    assert client.get(url, headers=JSON).json()["assignment"] is None


@pytest.mark.once
def test_an_answer_without_a_choice_is_refused(annotator, url, leased):
    data = answer(leased)
    del data["choice"]
    assertContains(annotator.post(url, data), "Choose an answer first")
    assert annotator.post(url, data, headers=JSON).status_code == 409
    assert not Label.objects.exists()


def test_a_pair_of_somebody_else_is_refused(annotator, url, project, ben):
    his = queue.claim(project, ben)
    response = annotator.post(url, answer(his), headers=JSON)
    assertContains(response, "not yours", status_code=409)
    assert not Label.objects.exists()


@pytest.mark.once
def test_a_skip_gives_the_pair_back(annotator, url, leased):
    annotator.post(url, {"assignment": leased.pk, "skip": "too_long"})
    assert again(leased).state == Assignment.State.SKIPPED


@pytest.mark.once
def test_a_skip_needs_a_reason_of_the_list(annotator, url, leased):
    data = {"assignment": leased.pk, "skip": "bored"}
    assert annotator.post(url, data, headers=JSON).status_code == 409
    assert again(leased).state == Assignment.State.LEASED


@pytest.fixture
def drafts(project):
    return reverse("labeling:draft", args=[project.pk])


@pytest.mark.once
def test_a_draft_is_kept_and_comes_with_the_card(annotator, url, drafts, leased):
    data = {"assignment": leased.pk, "rationale": 'Say "why"', "flags": ["false"]}
    assert annotator.post(drafts, data).json() == {"revision": 1}
    response = annotator.get(url)
    assertContains(response, 'data-rationale="Say &quot;why&quot;" data-flags="false"')
    assertContains(response, "Say &quot;why&quot;</textarea>")


def test_nobody_writes_on_the_pair_of_somebody_else(annotator, drafts, project, ben):
    his = queue.claim(project, ben)
    assert annotator.post(drafts, {"assignment": his.pk, "rationale": "x"}).status_code == 409
    assert again(his).draft == {}


def test_undo_shows_the_same_pair_first(annotator, url, project, ana):
    first, *_ = queue.claim_page(project, ana)
    data = answer(first)
    annotator.post(url, data)
    response = annotator.post(url, {"undo": data["client_id"]}, headers=FRAGMENT)
    assertContains(response, f'data-undone="{first.pk}"')
    assert not Label.objects.current().exists()


def test_an_answer_is_taken_back_in_its_own_project_only(annotator, url, project, ana):
    other = a_project()
    other.memberships.create(user=ana, role=Role.ANNOTATOR)
    some_tasks(other, 1)
    data = answer(queue.claim(other, ana))
    annotator.post(reverse("labeling:label", args=[other.pk]), data)
    other.memberships.filter(user=ana).delete()
    response = annotator.post(url, {"undo": data["client_id"]}, headers=FRAGMENT)
    assertNotContains(response, "data-undone=")
    assert Label.objects.current().filter(task__project=other).count() == 1


def test_numbers_that_no_row_has_are_nonsense(annotator, url):
    have = {"have": "9" * 30}
    assert annotator.get(url, have, headers=FRAGMENT).status_code == 200


def test_an_undone_extra_stays_on_the_page(annotator, url, project, leased, ben):
    overdue(leased)
    expire_leases()
    assert queue.claim(project, ben).task == leased.task
    late = answer(leased)
    annotator.post(url, late)
    undo = {"undo": late["client_id"], "have": leased.pk}
    assertContains(annotator.post(url, undo, headers=FRAGMENT), 'data-lost=""')


@pytest.mark.once
def test_csrf_is_checked(ana, url, leased):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ana)
    assert strict.post(url, answer(leased)).status_code == 403


@pytest.mark.once
@pytest.mark.parametrize("page", ["label", "tasks", "labels"])
def test_strangers_find_nothing(client, project, page):
    client.force_login(a_user(a_project()))
    assert client.get(reverse(f"labeling:{page}", args=[project.pk])).status_code == 404


@pytest.mark.once
@pytest.mark.parametrize("page", ["tasks", "labels"])
def test_annotators_do_not_see_the_answers_of_others(client, project, ana, page):
    client.force_login(ana)
    assert client.get(reverse(f"labeling:{page}", args=[project.pk])).status_code == 404


@pytest.mark.once
def test_model_names_are_hidden(annotator, url, project, tmp_path):
    Completion.objects.update(model=an_artifact(project, tmp_path, name="secret-model"))
    assertNotContains(annotator.get(url), "secret-model")


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "</script><script>alert(1)</script>",
        '<img src=x onerror="alert(1)">',
        '<div hx-post="/accounts/logout/" hx-trigger="load">x</div>',
        "[click](javascript:alert(1))",
        "![beacon](https://example.org/x.png)",
        "</article></main>",
    ],
)
def test_hostile_answers_are_inert(client, ana, project, url, text):
    some_tasks(project, 1, texts=(f"{text} still here", "Short."))
    client.force_login(ana)
    body = client.get(url).content.decode()
    card = body[body.index("<article") : body.rindex("</article>")]
    assert "still here" in card
    for live in ("<script", "<img", "<div hx-", 'href="javascript', "</article"):
        assert live not in card


@pytest.mark.once
def test_earlier_turns_of_a_conversation_are_folded(client, ana, project, url):
    (task,) = some_tasks(project, 1)
    turns = [("user", "Hello?"), ("assistant", "Good day."), ("user", "Again?")]
    task.prompt.messages = [{"role": role, "content": content} for role, content in turns]
    task.prompt.save()
    client.force_login(ana)
    assertContains(client.get(url), "Earlier turns (2)")


@pytest.mark.once
def test_nothing_to_label_says_what_happens_next(client, ana, url):
    client.force_login(ana)
    assertContains(client.get(url), "New ones come when")


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


@pytest.fixture
def lists(project):
    return {name: reverse(f"labeling:{name}", args=[project.pk]) for name in ("tasks", "labels")}


def test_tasks_are_filtered_by_state(rita, lists, project, ana, tasks):
    label_some(project, ana)
    response = rita.get(lists["tasks"], {"state": "done"})
    assertContains(response, "1 of 1", count=1)
    assertNotContains(response, "0 of 1")


@pytest.mark.once
def test_tasks_three_people_skipped_are_listed_with_their_reasons(rita, lists, project, tasks):
    for reason in ("unclear", "upsetting", "other"):
        skip(queue.claim(project, a_user(project)), reason)
    assertContains(rita.get(lists["tasks"]), "1 task three people skipped")
    response = rita.get(lists["tasks"], {"state": "skipped"})
    assertContains(response, tasks[0].prompt.text)
    assertContains(response, "Upsetting")
    assertNotContains(response, tasks[1].prompt.text)


@pytest.mark.once
def test_without_tasks_the_page_leads_to_runs(rita, lists, project):
    assertContains(rita.get(lists["tasks"]), reverse("runs:list", args=[project.pk]))


@pytest.mark.once
def test_labels_are_shown_in_words_with_who_gave_them(rita, lists, project, tasks):
    robot = a_user(project, role=Role.ANNOTATOR, username="robot", simulated=True)
    label_some(project, robot, choice=7)
    response = rita.get(lists["labels"])
    assertContains(response, "B much better")
    assertContains(response, "3 of 3")
    assertContains(response, '<span class="badge">simulated</span>')


def test_labels_are_filtered_by_people_and_simulated(rita, lists, project, ana, tasks):
    robot = a_user(project, role=Role.ANNOTATOR, username="robot", simulated=True)
    label_some(project, robot, choice=7)
    label_some(project, ana, choice=4)
    people = rita.get(lists["labels"], {"by": "people"}, headers=FRAGMENT)
    assertNotContains(people, "B much better")
    assertContains(people, "tie")


def test_disagreements_are_found(rita, lists, project, ana, ben):
    agreed, split = some_tasks(project, 2, need=2)
    Task.objects.filter(pk=agreed.pk).update(priority=1)
    for user in (ana, ben):  # the sides alternate: the same answer is A for one, B for the other
        left = queue.claim(project, user).shown[0] == agreed.completions[0]
        label_some(project, user, choice=1 if left else 7)
        label_some(project, user, choice=1)
    assert set(Label.objects.disagreeing().values_list("task", flat=True)) == {split.pk}
    response = rita.get(lists["labels"], {"show": "disagreement"})
    assertContains(response, split.prompt.text)
    assertNotContains(response, agreed.prompt.text)


@pytest.mark.sqlite  # its plans are read
def test_the_history_is_found_without_a_look_at_what_still_speaks(project):
    some_labels(some_tasks(project))
    plan = Label.objects.of_project(project).standing("history").explain()
    assert "INDEX label_history" in plan
    assert "TEMP B-TREE" not in plan


def test_revisions_are_kept_in_the_history(rita, lists, leased):
    for choice in (1, 7):
        submit_label(leased, client_id=uuid4(), answer={"choice": choice})
    assertNotContains(rita.get(lists["labels"]), "A much better")
    assertContains(rita.get(lists["labels"], {"show": "history"}), "A much better")


@pytest.mark.parametrize("name", ["tasks", "labels"])
def test_a_table_takes_a_constant_number_of_queries(
    rita, lists, name, project, ana, django_assert_num_queries, monkeypatch
):
    monkeypatch.setattr(pages, "ROWS", 6)
    some_tasks(project, 3)
    label_some(project, ana, 2)
    few = queries_of(lambda: rita.get(lists[name]))
    some_tasks(project, 9)
    label_some(project, ana, 7)
    with django_assert_num_queries(few):
        assertContains(rita.get(lists[name]), 'rel="next"')


@pytest.mark.parametrize("need", [1, 2])
def test_a_save_takes_few_and_a_constant_number_of_queries(annotator, url, project, ana, need):
    for each in some_tasks(project, 20, need=need)[: 20 * (need - 1)]:
        a_label(each)
    have = [card.pk for card in queue.claim_page(project, ana)]
    taken = {queries_of(lambda: save(annotator, url, have)) for _ in range(10)}
    assert len(taken) <= need  # who disagrees with others has that kept, by one more
    assert max(taken) <= 11 + need


def save(annotator, url, have):
    """Answer the first of these cards, as the page's script does, and put the next one behind them."""
    data = answer(Assignment(pk=have.pop(0))) | {"have": ",".join(map(str, have)), "shown": have[0]}
    body = annotator.post(url, data, headers=FRAGMENT).content.decode()
    have.extend(map(int, re.findall(r'data-assignment="(\d+)"', body)))
    assert len(have) == queue.CARDS


def test_the_next_card_takes_few_queries(annotator, url, project, ana):
    annotator.get(url)
    assert queries_of(lambda: annotator.get(url, headers=JSON)) <= 10
    data = answer(queue.claim(project, ana))
    assert queries_of(lambda: annotator.post(url, data, headers=JSON)) <= 13
    annotator.post(url, {"renew": 1}, headers=FRAGMENT)
    assert queries_of(lambda: annotator.post(url, {"renew": 1}, headers=FRAGMENT)) <= 13
