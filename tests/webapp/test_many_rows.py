"""Every page of the dashboard, made from its addresses: what one takes does not grow with the rows there are."""

from itertools import chain

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from benchmarks.large import NOTHING, Sizes, a_place, grow
from benchmarks.pages import BARS, paths_of, polls_of, viewer_of
from webapp.rendering import services as renderings
from webapp.rendering.models import Rendering

pytestmark = [pytest.mark.django_db, pytest.mark.once, pytest.mark.slow]

SPARE = 2  # queries
FEW = Sizes(*(60 for _ in Sizes()))
MANY = Sizes(*(120 for _ in Sizes()))._replace(projects=60, runs=200, points=12_000)


@pytest.fixture(scope="module")
def taken(kept):
    """The queries and the kB of every page, with few rows and with several times as many.

    However short its texts are, each page looks them up and stores them: nobody has seen them yet.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(renderings, "FEW", 0)
        grow(NOTHING, FEW)
        place = a_place()
        few = measured(place)
        grow(FEW, MANY)
        return few, measured(place)


def measured(place):
    """What each page took, asked once where it was asked already to see what there is."""
    client, found = viewer_of(place), {}
    client.get = counted(client.get, taken := {})
    for page in chain(paths_of(place, client), polls_of(place, client)):
        if page.headers or page.path not in taken:
            client.get(page.path, headers=page.headers)
        found[page.name] = taken[page.path]
    return found


def counted(get, taken):
    """The same, and what it took noted by the address."""

    def ask(path, **options):
        Rendering.objects.all().delete()
        with CaptureQueriesContext(connection) as asked:
            response = get(path, **options)
        size = 0 if response.streaming else len(response.content) / 1000
        taken[path] = (len(asked), size)
        return response

    return ask


def test_no_page_takes_a_query_a_row(taken):
    """A row that was chosen and is not listed, or kept points, take one more; the label page leases cards."""
    few, many = taken
    grown = {
        name: (few[name][0], queries)
        for name, (queries, _) in many.items()
        if name in few and queries > few[name][0] + SPARE and name != "labeling:label"
    }
    assert grown == {}


def test_no_page_takes_too_many_queries_or_is_too_long(taken):
    long = {
        name: found
        for name, found in taken[1].items()
        if found[0] > BARS["queries"] or found[1] > BARS["kB"]
    }
    assert long == {}


def test_lists_have_been_turned(taken):
    deep = {name for name in taken[1] if name.endswith(" deep")}
    assert {"labeling:labels deep", "labeling:tasks deep", "prompts deep", "runs:list deep"} <= deep
