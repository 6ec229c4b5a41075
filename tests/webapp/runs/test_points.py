"""Kept points say what the numbers themselves say, and spare reading them."""

import random
from itertools import product

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tests.cases import cases
from tests.factories import a_run
from webapp.results import queries
from webapp.results.queries import all_numbers, metric_series
from webapp.runs import points
from webapp.runs.models import RunMetric
from webapp.runs.points import (
    buckets_for,
    curve_names,
    keep_points,
    reached,
    shown_metrics,
    whole_of,
    width_of,
)

CURVES = ("loss", "kl/reference", "odd")


@pytest.fixture
def run(project, monkeypatch):
    monkeypatch.setattr(points, "BUCKETS", 8)
    monkeypatch.setattr(points.bucket_width, "__defaults__", (8,))
    return a_run(project)


def measured(run, steps, epoch=1):
    """Numbers as a worker stores them; one curve has few, some of them not finite."""
    chance = random.Random(f"{epoch} {steps}")
    RunMetric.objects.bulk_create(
        RunMetric(
            run=run,
            key=key,
            step=step,
            epoch=epoch,
            value=None if key == "odd" and step % 3 else chance.random(),
        )
        for step in steps
        for key in CURVES
        if key != "odd" or step % 2
    )
    keep_points(run)


def series(run, **options):
    found = metric_series(run, **options)
    return {
        key: [tuple(one if one is None else pytest.approx(one) for one in point) for point in line]
        for key, line in found.items()
    }


def alike(run, *asked):
    """Whether what is shown with kept points is what the numbers alone come to, each time that it is asked for."""
    shown = [series(run, **options) for options in asked]
    with transaction.atomic():
        run.points.all().delete()
        alone = [metric_series(run, **options) for options in asked]
        transaction.set_rollback(True)
    assert alone == shown
    return shown


STORIES = {
    "once": [(1, range(1, 100))],
    "in small parts": [(1, range(start, start + 3)) for start in range(1, 121, 3)],
    "taken up again": [(1, range(1, 60)), (2, range(41, 90)), (3, range(81, 100))],
    "taken up from the start": [(1, range(1, 60)), (2, range(1, 20))],
    "taken up twice at one place": [(1, range(1, 60)), (2, range(41, 50)), (3, range(41, 80))],
    "few": [(1, range(1, 6))],
    "from nothing": [(0, range(60))],
}


@cases(
    ("story", "buckets"),
    product(STORIES, [8, 4, 1, 500]),
    quick=[("taken up again", 8), ("taken up from the start", 4), ("once", 1), ("few", 500)],
)
def test_curves_are_the_same_with_kept_points_and_without(run, story, buckets):
    for epoch, steps in STORIES[story]:
        measured(run, steps, epoch)
        alike(run, {"buckets": buckets})
    places = range(0, reached(run).step, 3 * width_of(run, buckets))
    alike(run, *({"buckets": buckets, "since": since} for since in places))
    (shown,) = alike(run, {"buckets": buckets, "keys": ["odd", "a\0"]})
    assert list(shown) == ["odd"]


@pytest.mark.parametrize("story", STORIES)
def test_every_number_that_is_shown_is_read_once_and_in_order(run, story, monkeypatch):
    monkeypatch.setattr(queries, "CHUNK", 7)
    for epoch, steps in STORIES[story]:
        measured(run, steps, epoch)
    shown = shown_metrics(run, 0, reached(run)).order_by("key", "step")
    wanted = list(shown.values_list("step", "key", "value"))
    assert list(all_numbers(run)) == wanted
    odd = [row for row in wanted if row[1] == "odd"]
    assert list(all_numbers(run, ["odd", "a\0", "none", "odd"])) == odd


@pytest.mark.sqlite  # its plans are read
def test_the_first_numbers_are_found_in_an_index(run):
    measured(run, range(1, 40))
    with CaptureQueriesContext(connection) as asked:
        next(all_numbers(run))
        list(all_numbers(run, ["loss"]))
    with connection.cursor() as cursor:
        plans = [
            str(cursor.execute(f"EXPLAIN QUERY PLAN {one['sql']}").fetchall()) for one in asked
        ]
    assert not any("TEMP B-TREE" in plan or "SCAN runs" in plan for plan in plans)


def test_many_curves_share_their_points(run, monkeypatch):
    monkeypatch.setattr(points, "POINTS", 12)
    monkeypatch.setattr(points, "FEWEST", 3)
    assert buckets_for(run) == 8  # without any
    measured(run, range(1, 40))
    assert curve_names(run) == sorted(CURVES)
    assert buckets_for(run) == 4
    monkeypatch.setattr(points, "POINTS", 2)
    assert buckets_for(run) == 3


def test_what_is_kept_is_read_no_more(run):
    measured(run, range(1, 100))
    whole = series(run, buckets=8)
    assert whole_of(run, reached(run)).end == 96
    run.metrics.filter(step__lt=96, step__gt=1).delete()
    assert metric_series(run, buckets=8) == whole


def test_points_are_kept_once_and_for_curves_that_are_longer_than_their_points(run):
    measured(run, range(1, 8))
    assert not run.points.exists()
    measured(run, range(8, 40))
    first = set(run.points.values_list("pk", flat=True))
    measured(run, [40])
    assert first < set(run.points.values_list("pk", flat=True))
    keep_points(run)
    assert run.points.count() == len({(one.key, one.step) for one in run.points.all()})


def test_numbers_that_came_by_another_way_are_shown(run):
    measured(run, range(1, 100))
    RunMetric.objects.create(run=run, key="late", step=100, epoch=1, value=2.0)
    RunMetric.objects.create(run=run, key="loss", step=1, epoch=2, value=7.0)
    found = metric_series(run, buckets=8)
    assert [point.value for point in found["loss"]] == [7.0]
    assert "late" not in found
