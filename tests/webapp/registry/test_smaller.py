"""The small models of one original: their numbers, the front, which one is named, and where they are drawn."""

import pytest
from django.urls import reverse
from pytest_django.asserts import assertContains, assertNotContains

from tests.factories import a_project, a_run, an_artifact
from webapp.artifacts.models import ArtifactInput
from webapp.registry.plot import picture_of, plot_axis, round_step, tick_words
from webapp.registry.smaller import COSTS, MOST, SAVED, SMALLER, size_board

pytestmark = pytest.mark.once


def estimate(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 9, "unit": ""}


def summary_of(size, kl, win=None, speedup=2.0):
    found = {"bytes_ratio": size, "kl_token": estimate(kl), "speedup": estimate(speedup, 0.1)}
    return found | ({"win_rate": estimate(win)} if win is not None else {})


@pytest.fixture
def original(project, var):
    return an_artifact(project, var, name="Aligned")


@pytest.fixture
def made(project, original, var):
    """A small model of the original, or of another one."""

    def make(name, summary, kind="quantise", of=original, role="policy"):
        run = a_run(project, "pretrain", name=f"run of {name}")
        type(run).objects.filter(pk=run.pk).update(kind=kind)
        run.refresh_from_db()
        ArtifactInput.objects.create(run=run, artifact=of, role=role)
        return an_artifact(project, var, name=name, producer=run, summary=summary)

    return make


@pytest.fixture
def inside(client, researcher):
    client.force_login(researcher)
    return client


def page_of(original):
    return reverse("registry:smaller", args=[original.project_id, original.pk])


def names(rows):
    return [row.artifact.name for row in rows]


def test_the_kinds_that_make_models_smaller_are_known():
    assert {"quantise", "prune", "factorise", "distil"} <= set(SMALLER)
    assert "edit" not in SMALLER


def test_small_models_of_this_original_are_listed_by_size(made, original, project, var):
    other = an_artifact(project, var, name="Other")
    made("INT8", summary_of(0.3, 0.01))
    made("student", summary_of(0.2, 0.2), kind="distil")
    made("edited", summary_of(1, 0.01), kind="edit")
    made("of another", summary_of(0.1, 0.01), of=other)
    made("judged by it", summary_of(0.1, 0.01), of=original, role="judge")
    board = size_board(original, {})
    assert names(board.rows) == ["student", "INT8"]
    assert [row.number for row in board.rows] == [1, 2]
    assert (board.across.name, board.up.name) == ("size", "kl")
    assert size_board(other, {}).rows[0].artifact.name == "of another"


def test_the_front_is_what_no_other_model_beats(made, original):
    made("small", summary_of(0.2, 0.3, win=0.4))
    made("worse and larger", summary_of(0.4, 0.35, win=0.3))
    made("near", summary_of(0.6, 0.01, win=0.45))
    made("as near, larger", summary_of(0.7, 0.01, win=0.5))
    made("not measured", {"bytes_ratio": 0.1})
    on_front = {row.artifact.name: row.front for row in size_board(original, {}).rows}
    assert on_front == {
        "not measured": False, "small": True, "worse and larger": False, "near": True,
        "as near, larger": False,
    }  # fmt: skip
    by_wins = [row for row in size_board(original, {"up": "win"}).rows if row.front]
    assert names(by_wins) == ["small", "near", "as near, larger"]  # more of it is better


def test_times_are_shares_of_the_original_with_their_intervals_turned(made, original):
    made("INT8", summary_of(0.3, 0.01, speedup=2.0))
    (row,) = size_board(original, {"across": "time"}).rows
    found = row.figures["time"]
    assert found.value == 0.5
    assert found.ends == (1 / 2.1, 1 / 1.9)


def test_the_smallest_within_a_percent_of_the_win_rate_is_named(made, original, inside):
    made("tiny", summary_of(0.1, 0.5, win=0.48))
    within = made("good", summary_of(0.3, 0.1, win=0.4901))
    made("better", summary_of(0.5, 0.01, win=0.52))
    page = inside.get(page_of(original))
    assert page.context["board"].within.artifact == within
    assertContains(page, "Smallest within 1 % of the win rate:")
    assertContains(page, "with 30 % of the size on disk and a win rate of 49.0 % (48.0 … 50.0).")


def test_one_whose_interval_reaches_a_percent_is_undecided(made, original, inside):
    made("tiny", summary_of(0.1, 0.5, win=0.3))
    page = inside.get(page_of(original))
    assertContains(page, "None is within 1 % of the original")
    assertNotContains(page, "more held-out prompts")
    made("coarse", summary_of(0.3, 0.1, win=0.485))
    assertContains(inside.get(page_of(original)), "coarse may be, at 48.5 % (")


def test_without_a_judge_none_is_named(made, original, inside):
    made("INT8", summary_of(0.3, 0.01))
    assertContains(inside.get(page_of(original)), "Nobody judged their answers")
    made("tiny", summary_of(0.1, 0.5, win=0.3))
    assertContains(inside.get(page_of(original)), "None is within 1 %")


def test_an_original_without_small_models_says_how_to_make_one(inside, original):
    page = inside.get(page_of(original))
    assertContains(page, "None yet")
    assertNotContains(page, "<svg")
    assertContains(page, f"?kind=quantise&amp;policy={original.pk}")


def test_one_model_is_drawn_and_stands_in_the_table(made, original, inside, project):
    model = made("INT8", summary_of(0.3, 0.01))
    page = inside.get(page_of(original))
    assertContains(page, "<circle", count=1)
    assertContains(page, reverse("registry:model", args=[project.pk, model.pk]))
    assertContains(page, "0.010 (0.000 … 0.020)")
    page = inside.get(page_of(original), {"across": "time", "up": "win"})
    assertContains(page, "No model has both numbers")
    assertContains(page, 'up=win#plot" aria-current="true"', count=2)


def test_unknown_scales_are_the_usual_ones(made, original, inside):
    made("INT8", summary_of(0.3, 0.01))
    page = inside.get(page_of(original), {"across": "<b>", "up": "size"})
    assert page.context["board"].up.name == "kl"
    assertNotContains(page, "<b>")


@pytest.mark.twice
def test_of_very_many_the_newest_are_shown_in_few_queries(
    made, original, inside, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr("webapp.registry.smaller.MOST", 3)
    for place in range(5):
        made(f"m{place}", summary_of(0.9 - place / 10, 0.01 * place))
    with django_assert_max_num_queries(12):
        page = inside.get(page_of(original))
    assert names(page.context["board"].rows) == ["m4", "m3", "m2"]
    assertContains(page, "The newest 3 of 5.")
    assert MOST >= 100


def test_another_projects_model_does_not_exist(inside, project, var):
    foreign = an_artifact(a_project(), var)
    assert inside.get(page_of(foreign)).status_code == 404
    borrowed = reverse("registry:smaller", args=[project.pk, foreign.pk])
    assert inside.get(borrowed).status_code == 404


def test_points_lie_where_their_numbers_say(made, original):
    made("a", summary_of(0.2, 0.4))
    made("b", summary_of(0.6, 0.2))
    board = size_board(original, {})
    picture = picture_of(board)
    a, b = picture.points
    x0, y0 = picture.original
    assert a.x < b.x < x0  # more of size to the right
    assert a.y < b.y < y0  # more of KL further up
    assert (x0 - b.x) == pytest.approx(b.x - a.x, abs=0.2)  # 1 - 0.6 = 0.6 - 0.2
    assert (y0 - b.y) == pytest.approx(b.y - a.y, abs=0.2)
    assert a.top < a.y < a.bottom  # an interval of KL
    assert a.left == a.x == a.right  # none of size
    for tick in picture.across:
        assert picture.left <= tick.at <= picture.right
    assert picture.front == f"{a.x},{a.y} {b.x},{b.y}"


def test_ticks_are_round_and_say_what_they_show():
    assert [round_step(least) for least in (0.0031, 0.1, 0.13, 0.6, 20)] == [
        pytest.approx(step) for step in (0.005, 0.1, 0.2, 1, 20)
    ]
    assert tick_words(0.15, 0.05, percent=True) == "15 %"
    assert tick_words(-0.0, 0.005, percent=False) == "0.000"
    axis = plot_axis([], COSTS["kl"], 0, 100)  # nothing but the original
    assert axis.low < 0 < axis.high
    assert plot_axis([], SAVED["size"], 0, 100).low < 1


@pytest.mark.twice
def test_a_model_that_was_healed_stands_beside_the_others_by_its_evaluation(
    made, original, project, var, inside
):
    student = made("student", summary_of(0.5, 0.2, win=0.4), kind="distil")
    healed = made("healed", {}, kind="align", of=student)
    made("never evaluated", {}, kind="align", of=student)
    elsewhere = made("against another", {}, kind="align", of=student)
    for place, (policy, reference, win) in enumerate(
        ((healed, original, 0.3), (healed, original, 0.55), (elsewhere, healed, 0.9))
    ):
        run = a_run(project, "pretrain", name=f"evaluation {place}")
        for role, artifact in (("policy", policy), ("reference", reference)):
            ArtifactInput.objects.create(run=run, artifact=artifact, role=role)
        columns = {"kind": "evaluate", "state": "succeeded", "summary": summary_of(0, 0, win=win)}
        type(run).objects.filter(pk=run.pk).update(**columns)
    type(original).objects.update(bytes=100)
    type(original).objects.filter(pk=healed.pk).update(bytes=40)
    original.refresh_from_db()
    rows = {row.artifact.name: row for row in size_board(original, {}).rows}
    assert set(rows) == {"student", "healed"}
    assert rows["healed"].figures["win"].value == 0.55  # of the newest
    assert rows["healed"].figures["size"].value == 0.4
    assert "kl" not in rows["healed"].figures
    page = inside.get(page_of(original), {"up": "win"})
    assertContains(page, "Aligned after that, by an evaluation")
    assert page.context["board"].within.artifact == healed
