"""Pages of long lists: whichever way they are turned, every row stands on one of them, in its order."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from tests.factories import new_prompt, some_tasks
from webapp.projects.models import Project, Prompt
from webapp.runs.models import Run, State
from webapp.site.pages import (
    ROWS,
    count_up_to,
    in_figures,
    number_up_to,
    page_of,
    page_of_list,
)

SPARE = 7  # rows of the last page
ORDERS = [("-pk",), ("name",), ("-ended_at", "-pk"), ("priority", "step", "pk")]


def address(**said):
    query = QueryDict(mutable=True)
    query.update({name: str(value) for name, value in said.items()})
    return query


@pytest.fixture
def runs(project):
    """Two pages and a few, with many that are alike in all but their names."""
    began = datetime(2026, 1, 1, tzinfo=UTC)
    Run.objects.bulk_create(
        Run(project=project, kind="pretrain", name=f"n{number * 37 % 113:03}", config={}, config_hash="",
            state=State.SUCCEEDED, idempotency_key=f"k{number}", priority=number % 3, step=number % 5,
            ended_at=began + timedelta(milliseconds=number // 7))
        for number in range(2 * ROWS + SPARE)
    )  # fmt: skip
    return project.runs.all()


@pytest.mark.parametrize("order", ORDERS)
def test_turning_on_shows_every_row_once_in_its_order(runs, order):
    pages = [page_of(runs, address(), *order)]
    while pages[-1].after:
        pages.append(page_of(runs, address(after=pages[-1].after), *order))
    assert [len(page) for page in pages] == [ROWS, ROWS, SPARE]
    assert [run.pk for page in pages for run in page] == [run.pk for run in runs.order_by(*order)]


@pytest.mark.parametrize("order", ORDERS)
def test_turning_back_leads_to_the_same_rows(runs, order):
    first = page_of(runs, address(), *order)
    second = page_of(runs, address(after=first.after), *order)
    last = page_of(runs, address(after=second.after), *order)
    assert list(page_of(runs, address(before=last.before), *order)) == list(second)
    back = page_of(runs, address(before=second.before), *order)
    assert (list(back), back.before, back.after) == (list(first), None, first.after)


@pytest.mark.parametrize("mark", ["", "0", "nobody", "9" * 40, "-3", "999999999"])
@pytest.mark.parametrize("turn", ["after", "before", "page"])
def test_what_names_no_row_leads_to_the_first_page(runs, turn, mark):
    shown = page_of(runs, address(**{turn: mark}), "name", "pk")
    assert list(shown) == list(runs.order_by("name")[:ROWS])


def test_a_list_that_is_at_hand_turns_alike():
    items = list(range(25))
    first = page_of_list(items, address(), 10)
    second = page_of_list(items, address(after=first.after), 10)
    last = page_of_list(items, address(after=second.after), 10)
    assert [*first, *second, *last] == items
    assert (first.before, last.after) == (None, None)
    assert list(page_of_list(items, address(before=last.before), 10)) == list(second)
    assert page_of_list(items, address(before=second.before), 10).before is None
    assert list(page_of_list(items, address(after="99"), 10)) == list(first)


def test_other_pages_keep_what_the_address_says_but_where_it_was(runs):
    query = address(after=3, page=2, q="a b&c", state="done")
    assert page_of(runs, query, "-pk").kept == "q=a+b%26c&state=done&"
    assert page_of(runs, address(before=3), "-pk").kept == ""


def test_counting_stops(runs):
    assert [count_up_to(runs, most) for most in (99, 107, 1000)] == [100, 107, 107]
    assert count_up_to(runs.none()) == 0
    assert [in_figures(n) for n in (0, 9_999, 10_000, 10_001)] == [
        "0",
        "9,999",
        "10,000",
        "10,000+",
    ]


def test_counting_in_a_list_stops_in_each_row(project, runs):
    def counted(most):
        return Project.objects.annotate(n=number_up_to(runs, "project", most)).get(pk=project.pk).n

    assert [counted(most) for most in (99, 107, 1000)] == [100, 107, 107]


@pytest.mark.sqlite  # its plans are read
def test_a_page_deep_within_reads_no_more_of_the_table_than_the_first(project):
    """The plan that the database makes searches an index for the place, and sorts nothing."""
    some_tasks(project, 2 * ROWS)
    first = page_of(project.tasks.all(), address(), "priority", "key", "pk")
    with CaptureQueriesContext(connection) as asked:
        page_of(project.tasks.all(), address(after=first.after), "priority", "key", "pk")
    (query,) = asked.captured_queries
    plan = connection.cursor().execute(f"EXPLAIN QUERY PLAN {query['sql']}").fetchall()
    steps = " ".join(step[-1] for step in plan)
    assert "(project_id=? AND (priority,key)>(?,?))" in steps
    assert "TEMP B-TREE" not in steps


def test_an_address_of_an_old_kind_still_opens(client, project, researcher):
    Prompt.objects.bulk_create(new_prompt(project) for _ in range(ROWS + 1))
    client.force_login(researcher)
    response = client.get(reverse("prompts", args=[project.pk]), {"page": 2})
    assert len(response.context["page"]) == ROWS
