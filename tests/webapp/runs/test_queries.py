"""What pages read of runs."""

import pytest
from django.db.models.functions import Now

from tests.factories import a_run, a_worker, run_at
from webapp.results.charts import charts_for
from webapp.results.queries import (
    eta_seconds,
    log_tail,
    metric_series,
    samples,
)
from webapp.runs.folders import folder_of
from webapp.runs.models import RunMetric, RunNeed, RunSample
from webapp.runs.points import bucket_width
from webapp.runs.waiting import waiting_reason
from webapp.site.clock import after


@pytest.fixture
def run(project):
    return a_run(project)


def measured(run, steps, epoch=1, key="loss", **columns):
    RunMetric.objects.bulk_create(
        RunMetric(run=run, key=key, step=step, epoch=epoch, value=100 * epoch + step, **columns)
        for step in steps
    )


def curve(run, **options):
    return [(point.step, point.value) for point in metric_series(run, **options)["loss"]]


def test_a_curve_has_every_step_while_there_are_few(run):
    measured(run, range(1, 4))
    assert curve(run) == [(1, 101), (2, 102), (3, 103)]


def test_what_a_later_epoch_did_again_is_shown_once(run):
    measured(run, range(1, 8))
    measured(run, range(6, 9), epoch=2)
    assert curve(run) == [(s, 100 + s) for s in range(1, 6)] + [(s, 200 + s) for s in (6, 7, 8)]


def test_points_beyond_the_resume_are_hidden_before_they_are_done_again(run):
    measured(run, range(1, 8))
    measured(run, [6], epoch=2)
    assert curve(run)[-1] == (6, 206)


def test_a_long_curve_is_in_buckets_of_least_mean_and_greatest(run):
    measured(run, range(10))
    point = metric_series(run, buckets=3)["loss"][1]
    assert (point.step, point.low, point.value, point.high, point.n) == (7, 104, 105.5, 107, 4)


def test_buckets_stay_where_they_are_as_points_arrive(run):
    measured(run, range(9))
    early = curve(run, buckets=3)
    measured(run, [9])
    assert curve(run, buckets=3)[:-1] == early[:-1]


@pytest.mark.parametrize(("last", "width"), [(0, 1), (499, 1), (500, 2), (1000, 4), (20_000, 64)])
def test_five_hundred_buckets_are_enough(last, width):
    assert bucket_width(last, 500) == width


def test_a_live_page_asks_only_for_what_is_new(run):
    measured(run, range(1, 5))
    measured(run, range(1, 5), key="reward/mean")
    assert list(metric_series(run, ["loss"], since=4)) == ["loss"]
    assert curve(run, since=4) == [(4, 104)]


def test_a_bucket_without_a_finite_number_is_a_gap(run):
    RunMetric.objects.create(run=run, key="loss", step=1, epoch=1, value=None)
    assert curve(run) == [(1, None)]


def test_samples_pair_the_first_answer_with_the_newest(run):
    for step, stage, text in [(0, "before", "a"), (10, "after", "b"), (20, "after", "c")]:
        RunSample.objects.create(
            run=run, epoch=1, step=step, stage=stage, prompt_key="k", prompt="?", completion=text
        )
    (pair,) = samples(run)
    assert (pair.before.completion, pair.after.completion) == ("a", "c")


def test_the_log_is_read_from_its_end_or_from_an_offset(run):
    folder = folder_of(run)
    folder.mkdir(parents=True)
    (folder / "stdout.log").write_text("one two three")
    assert log_tail(run, limit=5) == ("three", 8, 13)
    assert log_tail(run, limit=3, offset=4) == ("two", 4, 7)


def test_a_run_without_a_log_has_an_empty_one(run):
    assert log_tail(run).text == ""


def test_the_time_left_follows_the_pace_of_the_last_steps(run):
    measured(run, [1], at=after(-20))
    measured(run, [11], at=Now())
    run = run_at(run, state="running", epoch=1, step=11, total_steps=16)
    assert eta_seconds(run) == pytest.approx(10, abs=0.1)


def test_the_time_left_is_unknown_after_one_step(run):
    measured(run, [1])
    assert eta_seconds(run_at(run, state="running", epoch=1, step=1, total_steps=9)) is None


def test_a_run_says_what_it_waits_for(project, run):
    assert waiting_reason(a_run(project, needs={"after": run})) == f"waits for {run.name}"


def test_a_queued_run_says_that_nobody_works(run):
    assert waiting_reason(run) == "no worker is running"


def test_a_worker_unheard_of_for_a_lease_does_not_count(run, settings):
    a_worker(last_seen=after(-2 * settings.RUN_LEASE))
    assert waiting_reason(run) == "no worker is running"


def test_a_queued_run_counts_those_ahead(project, run):
    a_worker()
    assert waiting_reason(a_run(project, priority=200)) == "1 run ahead"
    assert waiting_reason(run) == "starts in a moment"


def test_a_run_that_nobody_takes_says_so_after_a_minute(project, run):
    a_worker()
    run_at(run, created_at=after(-90))
    run.events.update(at=after(-90))
    assert waiting_reason(run).startswith("a worker is there and does not take it")


@pytest.mark.parametrize("lately", ["put off", "queued again", "what it needed"])
def test_a_run_that_could_not_start_before_is_about_to(project, run, lately):
    a_worker()
    run_at(run, created_at=after(-90))
    run.events.update(at=after(-90))
    if lately == "put off":
        run_at(run, not_before=after(-5))
    if lately == "queued again":
        run.events.create(actor="tend", epoch=1, to_state="queued")
    if lately == "what it needed":
        first = run_at(a_run(project), state="succeeded", ended_at=after(-5))
        RunNeed.objects.create(run=run, needs=first, role="policy")
    assert waiting_reason(run) == "starts in a moment"


def test_a_run_that_is_put_off_says_until_when(run):
    assert waiting_reason(run_at(run, not_before=after(60))).startswith("is tried again at ")


def test_a_live_run_leaves_room_for_common_curves_alone():
    _, more = charts_for("align", ["value/explained"], live=True)
    titles = [chart.title for chart in more]
    assert "Explained by the value" in titles
    assert "Learning rate" in titles
    assert "Stopped by the clip" not in titles
