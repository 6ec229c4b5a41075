"""Lists in parts."""

import pytest

from tests.factories import a_prompt, some_prompts
from webapp.api.errors import FieldsError
from webapp.api.paging import MOST, Paging, list_part
from webapp.projects.models import Prompt


def keys_of(rows, **options):
    """The keys of all rows, part by part."""
    found, cursor = [], ""
    while cursor is not None:
        part = list_part(rows, Paging(limit=2, cursor=cursor), **options)
        assert len(part.items) <= 2
        found += [row.pk for row in part.items]
        cursor = part.next
    return found


@pytest.mark.parametrize("number", [0, 1, 2, 3, 4])
def test_the_parts_are_the_whole_in_order(project, number):
    some_prompts(project, number)
    keys = list(project.prompts.order_by("pk").values_list("pk", flat=True))
    assert keys_of(project.prompts.all()) == keys
    assert keys_of(project.prompts.all(), newest=True) == keys[::-1]


def test_what_comes_and_goes_meanwhile_moves_nothing(project):
    first, _second, third, fourth = some_prompts(project, 4)
    part = list_part(project.prompts.all(), Paging(limit=2))
    Prompt.objects.filter(pk=first.pk).delete()
    fifth = a_prompt(project)
    rest = list_part(project.prompts.all(), Paging(limit=9, cursor=part.next))
    assert [row.pk for row in rest.items] == [third.pk, fourth.pk, fifth.pk]
    assert rest.next is None


@pytest.mark.parametrize(
    "cursor", ["x", "é", "MQ==", "djE6", "djE6LTE=", "djE6OTk5OTk5OTk5OTk5OTk5OTk5OTk5"]
)
def test_a_foreign_cursor_is_refused(project, cursor):
    with pytest.raises(FieldsError, match="no cursor"):
        list_part(project.prompts.all(), Paging(cursor=cursor))


@pytest.mark.parametrize("sent", ["limit=0", f"limit={MOST + 1}", "limit=x", f"cursor={'x' * 101}"])
def test_too_much_at_once_is_refused(program, project, sent):
    answer = program.get(f"/projects/{project.pk}/prompts?{sent}")
    assert answer.status_code == 422
    assert list(answer.json()["fields"]) == [sent.partition("=")[0]]


def test_what_nothing_reads_is_refused(program, project):
    answer = program.get(f"/projects/{project.pk}/prompts?splits=train")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["splits"])
    assert "cursor, limit, split" in answer.json()["error"]


def test_a_part_takes_as_many_queries_as_a_row(program, project, django_assert_max_num_queries):
    some_prompts(project, 30)
    with django_assert_max_num_queries(6):
        assert len(program.get(f"/projects/{project.pk}/prompts?limit=30").json()["items"]) == 30
