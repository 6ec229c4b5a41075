import re

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains, assertRedirects

from alignment.kinds import KINDS
from tests.factories import a_project, a_run, a_snapshot, a_user, again, an_artifact, run_at
from tests.webapp.foreign import Forms
from tests.webapp.sweeps.conftest import DEPTH, RATES, climb, finish, finish_all, open_trials
from webapp.runs.models import Run, State
from webapp.sweeps.models import Sweep
from webapp.sweeps.objectives import objectives_of
from webapp.sweeps.trials import advance

pytestmark = pytest.mark.once

HTMX = {"HX-Request": "true"}
KEY = "7b1c7a4e-51a5-4a0b-8f1d-4f8e3a5b9c10"
SENT = {
    "key": KEY, "name": "Descents", "seed": "3", "descend-rate": "0.1", "descend-side": "left",
    "descend-steps": "27", "descend-pause": "0", "vary_0": "rate", "values_0": "0.01, 0.1, 1",
    "vary_1": "", "vary_2": "", "vary_3": "", "objective": "result:depth", "better": "smaller",
    "watched": "", "search-method": "grid", "search-trials": "12", "search-at_once": "2",
    "search-steps": "0",
}  # fmt: skip
ASHA = {"search-method": "asha", "search-first_rung": "3", "search-reduction": "3"}


@pytest.fixture
def rita(client, researcher):
    client.force_login(researcher)
    return client


def at(name, *args, query=""):
    return reverse(f"sweeps:{name}", args=args) + query


@pytest.fixture
def form(project):
    return at("launch", project.pk, query="?kind=descend")


@pytest.fixture
def sweep(sweep_of):
    return sweep_of()


@pytest.fixture
def page(project, sweep):
    return at("detail", project.pk, sweep.pk)


def test_a_run_s_form_is_carried_over(rita, project, form):
    start = rita.get(f"{reverse('runs:start', args=[project.pk])}?kind=descend")
    assertContains(start, f'formaction="{form}"')
    sent = {
        "carry": "yes",
        "name": "Mine",
        "seed": "7",
        "descend-rate": "0.25",
        "descend-side": "right",
    }
    answer = rita.post(form, sent)
    assertContains(answer, 'name="descend-rate" value="0.25"')
    assertContains(answer, '<option value="right" selected>')
    assertContains(answer, 'value="Mine"')
    assertContains(answer, 'name="descend-steps" value="27"')  # not sent: as it is
    assertContains(answer, 'name="search-trials" value="12"')
    assert re.search(r'name="key" value="[-0-9a-f]{36}"', answer.content.decode())
    assertNotContains(answer, 'role="alert"')
    assert not Sweep.objects.exists()


@pytest.mark.twice
def test_the_form_starts_the_sweep_once(rita, project, form):
    for _ in range(2):
        answer = rita.post(form, SENT)
    made = Sweep.objects.get()
    assertRedirects(answer, at("detail", project.pk, made.pk))
    assert [one["name"] for one in made.space] == ["rate"]
    assert (made.seed, made.objective["key"], made.search["at_once"]) == (3, "depth", 2)
    assert [run.seed for run in Run.objects.all()] == [3, 3]


def test_a_changed_form_gets_only_its_sentence(rita, form):
    answer = rita.post(form, SENT, headers=HTMX)
    assertContains(answer, "3 trials of “Go down”, 2 at once")
    assertContains(answer, "Rate of 0.01, 0.1, 1")
    assertNotContains(answer, "<html")
    assert not Sweep.objects.exists()


def test_what_does_not_go_together_is_said_before(rita, form):
    both = SENT | {"values_0": "0.1, 6", "vary_1": "side", "values_1": ""}
    assertContains(rita.post(form, both, headers=HTMX), "passed over: the right side is too steep")
    right = SENT | {"values_0": "6, 7", "descend-side": "left", "vary_1": "side"}
    assertContains(rita.post(form, right, headers=HTMX), "4 trials")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"vary_0": ""}, "Choose a setting."),
        ({"values_0": "0.1"}, "Write several values"),
        ({"values_0": "0, 1"}, "greater than 0"),
        ({"vary_1": "rate", "values_1": "1, 2"}, "varied already"),
        ({"search-trials": "0"}, "greater than or equal to 1"),
        ({"descend-rate": "-1"}, "greater than 0"),
        (ASHA, "comes at a run&#x27;s end: choose a curve"),
        ({"vary_0": "nothing"}, "Select a valid choice"),
        ({"objective": "result:words"}, "Select a valid choice"),
        ({"better": ""}, "This field is required"),
    ],
)
def test_what_is_wrong_is_told_beside_its_field(rita, form, change, words):
    assertContains(rita.post(form, SENT | change), words)
    assert not Sweep.objects.exists()


def test_asha_compares_by_a_curve(rita, form):
    rita.post(form, SENT | ASHA | {"watched": "loss:smaller"})
    found = Sweep.objects.get()
    assert (found.objective["watched"], found.search["first_rung"]) == ("loss", 3)


def test_a_controller_with_nothing_to_learn_from_is_refused_in_the_form(rita, form):
    sent = SENT | ASHA | {"search-method": "learned", "objective": "curve:loss"}
    assertContains(rita.post(form, sent), "There are 0 earlier runs of this kind")
    assert not Sweep.objects.exists()


@pytest.mark.twice
def test_a_curve_that_is_searched_for_is_what_rungs_compare(rita, form):
    rita.post(form, SENT | ASHA | {"objective": "curve:loss", "better": "larger"})
    found = Sweep.objects.get().objective
    assert (found["watched"], found["watched_better"]) == ("loss", "larger")


def test_what_a_reward_model_can_be_searched_for():
    names = [name for name, _title in objectives_of(KINDS["reward"])]
    assert names[0] == "result:accuracy"
    assert {"result:accuracy_crossvalidated", "curve:preference/accuracy"} <= set(names)
    assert "result:pairs_train" in names
    assert not {"result:shape", "result:ess_by_beta", "result:learning_curve"} & set(names)


def test_a_crossvalidated_number_needs_folds(rita, project, var):
    """k-fold scores of reward models: each trial's run makes them where its folds say so."""
    an_artifact(project, var)
    a_snapshot(project, var)
    form = at("launch", project.pk, query="?kind=reward")
    sent = Forms(rita.get(form).content.decode()).fields | {
        "vary_0": "weight_decay", "values_0": "0.01, 0.1", "better": "larger",
        "objective": "result:accuracy_crossvalidated",
    }  # fmt: skip
    assertContains(rita.post(form, sent), "Set “Folds” to 2 or more")
    rita.post(form, sent | {"reward-folds": "3"})
    made = Sweep.objects.get()
    assert made.config["folds"] == 3
    assert {row.role for row in made.inputs.all()} == {"backbone", "labels"}
    run = Run.objects.get()
    assert {row.role for row in run.inputs.all()} == {"backbone", "labels"}


def test_the_page_shows_trials_and_how_far_they_are(rita, page, sweep):
    answer = rita.get(page)
    assertContains(answer, "0 of 6 trials over")
    assertContains(answer, 'hx-trigger="every 2s"')
    assertContains(answer, "varying Rate of 0.01, 0.1, 1; Side of Left, Right")
    assertNotContains(answer, "Recommended")
    finish(open_trials(sweep)[0])
    advance(sweep.pk)
    assertContains(rita.get(page), "1 of 6 trials over")
    assertContains(rita.get(page), "Best so far")


def test_who_has_seen_all_gets_nothing(rita, page, sweep):
    stamp = re.search(r"Seen&quot;: &quot;(\w+)", rita.get(page).content.decode())[1]
    assert rita.get(page, headers=HTMX | {"Seen": stamp}).status_code == 204
    climb(open_trials(sweep)[0], 5)
    answer = rita.get(f"{page}?seen=running-on", headers=HTMX | {"Seen": stamp})
    assertContains(answer, "5 / 27")
    assertNotContains(answer, "<html")
    assert "HX-Refresh" not in answer.headers


def test_the_end_recommends_the_best_with_its_interval(rita, page, sweep, project):
    finish_all(sweep)
    run_at(open_or_last(sweep).run, state=State.SUCCEEDED)
    answer = rita.get(page)
    assertContains(answer, "Recommended")
    assertContains(answer, "0.00 ± 0.10")
    assertContains(answer, "Rate 0.1, Side Right.")
    assertContains(answer, "No other trial")
    assertNotContains(answer, "hx-trigger")
    best = sweep.trials.order_by("score").first()
    like = reverse("runs:start", args=[project.pk]) + f"?kind=descend&amp;like={best.run_id}"
    assertContains(answer, like)


def open_or_last(sweep):
    return sweep.trials.last()


def test_where_larger_is_better_the_largest_is_best(rita, sweep_of, project):
    deepest = DEPTH.model_copy(update={"better": "larger"})
    sweep = finish_all(sweep_of(objective=deepest))
    answer = rita.get(at("detail", project.pk, sweep.pk))
    assertContains(answer, "searched for the largest Depth")
    assert answer.context["board"].best.score == 1.5
    listed = rita.get(at("list", project.pk)).context["listed"]
    assert [one.best for one in listed] == [1.5]


def test_trials_that_cannot_be_told_apart_are_named(rita, sweep_of, project):
    close = RATES.model_copy(update={"values": (0.1, 0.11)})
    sweep = finish_all(sweep_of(close))
    answer = rita.get(at("detail", project.pk, sweep.pk))
    assertContains(answer, "not told apart from it")


def test_launching_with_the_best_settings_fills_the_form(rita, project, sweep):
    finish_all(sweep)
    best = sweep.trials.order_by("score").first()
    start = reverse("runs:start", args=[project.pk])
    answer = rita.get(start, {"kind": "descend", "like": best.run_id})
    assertContains(answer, 'name="descend-rate" value="0.1"')
    assertContains(answer, '<option value="right" selected>')


def test_a_run_like_one_of_another_project_or_kind_is_the_usual_one(rita, project, descent):
    start = reverse("runs:start", args=[project.pk])
    foreign = a_run(a_project(), "descend", {"rate": 3.0})
    other = a_run(project)
    for pk in (foreign.pk, other.pk, "9" * 30, "x"):
        answer = rita.get(start, {"kind": "descend", "like": pk})
        assertContains(answer, 'name="descend-rate" value="0.1"')


def test_a_run_like_another_reads_what_that_read(rita, project, var):
    newest = [an_artifact(project, var) for _ in range(2)]
    run = a_run(project, "generate", inputs={"policy": newest[0]}, seed=9)
    answer = rita.get(
        reverse("runs:start", args=[project.pk]), {"kind": "generate", "like": run.pk}
    )
    assert answer.context["form"].initial["policy"] == newest[0]
    assert answer.context["form"].initial["seed"] == 9


def test_a_run_names_its_sweep(rita, project, sweep, page):
    run = open_trials(sweep)[1].run
    answer = rita.get(reverse("runs:detail", args=[project.pk, run.pk]))
    assertContains(answer, f'trial 2 of\n  <a href="{page}">Descents</a>')


@pytest.mark.parametrize(
    ("action", "state"), [("pause", "paused"), ("cancel", "cancelled"), ("retry", "running")]
)
def test_buttons_do_what_they_say_or_say_why_not(rita, project, sweep, page, action, state):
    answer = rita.post(at("act", project.pk, sweep.pk, action), follow=True)
    assertRedirects(answer, page)
    assert again(sweep).state == state
    if action == "retry":
        assertContains(answer, "that cannot be done now")


def test_buttons_are_those_that_make_sense(rita, project, sweep, page):
    def buttons():
        return re.findall(r'id="act-(\w+)"', rita.get(page).content.decode())

    assert buttons() == ["pause", "cancel"]
    rita.post(at("act", project.pk, sweep.pk, "pause"))
    assert buttons() == ["resume", "cancel"]
    rita.post(at("act", project.pk, sweep.pk, "cancel"))
    assert buttons() == ["retry"]


def test_a_state_with_other_buttons_refreshes_the_page(rita, page, sweep):
    finish_all(sweep)
    answer = rita.get(f"{page}?seen=running-on", headers=HTMX)
    assert answer.headers["HX-Refresh"] == "true"


def test_the_list_tells_how_far_sweeps_are(rita, project, sweep):
    finish_all(sweep)
    answer = rita.get(at("list", project.pk))
    assertContains(answer, "6 of 6")
    assertContains(answer, "Depth")


@pytest.mark.twice
def test_an_empty_list_says_how_to_begin(rita, project):
    assertContains(rita.get(at("list", project.pk)), "Vary this")


@pytest.mark.twice
def test_the_page_takes_as_many_queries_for_any_number_of_trials(
    rita, sweep_of, project, django_assert_num_queries
):
    sweep = sweep_of(at_once=1)
    page = at("detail", project.pk, sweep.pk)
    rita.get(page)
    with django_assert_num_queries(5):
        rita.get(page)
    finish_all(sweep)
    with django_assert_num_queries(5):
        rita.get(page)


def test_an_unknown_kind_or_action_is_not_found(rita, project, sweep):
    assert rita.get(at("launch", project.pk, query="?kind=none")).status_code == 404
    assertRedirects(rita.get(at("launch", project.pk)), reverse("runs:choose", args=[project.pk]))
    assert rita.post(at("act", project.pk, sweep.pk, "none")).status_code == 404


def test_a_stranger_finds_nothing(client, page):
    client.force_login(a_user(a_project()))
    assert client.get(page).status_code == 404
