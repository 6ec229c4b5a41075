"""Rows written at once are as those that are written one by one."""

import pytest
from django.db import IntegrityError, connection, transaction

from tests.factories import a_completion, a_prompt, again, new_completion
from webapp.labeling.models import Completion
from webapp.site import bulk
from webapp.site.bulk import insert_rows, insert_values


def test_rows_have_ids_of_their_own_and_what_the_database_fills(project):
    prompt = a_prompt(project)
    first = a_completion(prompt)
    rows = [new_completion(prompt, text, sampling={"say": [text, None]}) for text in ("a", "b")]
    insert_rows(rows)
    last = a_completion(prompt)
    assert len({first.pk, *(row.pk for row in rows), last.pk}) == 4
    stored = list(Completion.objects.filter(pk__in=[row.pk for row in rows]).order_by("text"))
    assert [(row.text, row.sampling, row.rank) for row in stored] == [
        (text, {"say": [text, None]}, None) for text in ("a", "b")
    ]
    assert all(row.created_at >= first.created_at for row in stored)
    rows[0].text = "changed"
    rows[0].save(update_fields=["text"])
    assert again(rows[0]).text == "changed"


def test_a_row_that_is_there_is_refused_and_nothing_is_written(project):
    there = a_completion(a_prompt(project))
    rows = [new_completion(there.prompt), new_completion(there.prompt, key=there.key)]
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_rows(rows)
    assert Completion.every.get() == there


def test_a_time_that_only_some_rows_give_is_refused(project):
    there = a_completion(a_prompt(project))
    dated = new_completion(there.prompt, created_at=again(there).created_at)
    with pytest.raises(ValueError, match="created_at is given by some rows only"):
        insert_rows([new_completion(there.prompt), dated])


def test_what_is_the_same_in_all_rows_is_any_text(project):
    words = """it's 100 %s "so"; \\N"""
    values = {"text": words, "source": "imported", "sampling": {"say": words}}
    (one,) = insert_values(Completion, ("key",), [("a",)], prompt_id=a_prompt(project).pk, **values)
    stored = Completion.objects.get(pk=one)
    assert (stored.text, stored.sampling, stored.logps) == (words, {"say": words}, None)


def test_no_rows_ask_the_database_nothing(django_assert_num_queries, db):
    with django_assert_num_queries(0, connection=connection):
        insert_rows([])
        assert insert_values(Completion, ["text"], []) == []


def test_values_become_rows_with_defaults_and_what_is_the_same_in_all(project):
    prompt = a_prompt(project)
    there = a_completion(prompt)
    rows = [(text, text, {"say": [text]}) for text in ("a", "b")]
    ids = insert_values(
        Completion, ("text", "key", "sampling"), rows, prompt_id=prompt.pk, source="imported"
    )
    stored = Completion.objects.filter(pk__in=ids).order_by("pk")
    assert [(one.pk, one.text, one.sampling) for one in stored] == [
        (number, text, sampling) for number, (text, _key, sampling) in zip(ids, rows, strict=True)
    ]
    told = {(one.prompt_id, one.source, one.rank, one.intake_id) for one in stored}
    assert told == {(prompt.pk, "imported", None, None)}
    assert all(one.created_at >= there.created_at for one in stored)
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_values(Completion, ("text", "key"), [("a", "a")], prompt_id=prompt.pk, source="x")


HARD = ("a\tb", "c\nd\r\n", "\\N", "\\.", "\\t", "e\\", "'f' %s \"", "ü 漢 🙂", " ", "")


@pytest.mark.parametrize("size", [bulk.AT_ONCE, 100])
@pytest.mark.parametrize("number", [1, bulk.TOGETHER - 1, bulk.TOGETHER, 2 * bulk.TOGETHER + 19])
def test_however_many_rows_of_whatever_texts_are_as_they_were_given(
    project, number, size, monkeypatch
):
    monkeypatch.setattr(bulk, "AT_ONCE", size)
    rows = [(HARD[place % len(HARD)], f"{place}\t\\", place % 3 or None) for place in range(number)]
    ids = insert_values(
        Completion, ("text", "key", "rank"), rows, prompt_id=a_prompt(project).pk, source="imported"
    )
    stored = Completion.objects.filter(pk__in=ids).order_by("pk")
    assert list(stored.values_list("text", "key", "rank")) == rows


def test_rows_that_fill_no_whole_statement_are_written_some_at_once(project):
    """One by one are fewer than in the smallest statement of several."""
    if connection.vendor != "sqlite":
        return
    rows, said = [(f"{n}", f"{n}") for n in range(2 * bulk.TOGETHER - 1)], []
    prompt = a_prompt(project)
    connection.connection.set_trace_callback(said.append)
    try:
        insert_values(Completion, ("text", "key"), rows, prompt_id=prompt.pk, source="imported")
    finally:
        connection.connection.set_trace_callback(None)
    written = [one for one in said if one.startswith("INSERT")]
    assert len(written) == 1 + (bulk.TOGETHER - 1) // 16 + (bulk.TOGETHER - 1) % 16


def test_of_rows_of_which_one_cannot_be_stored_none_is(project):
    prompt = a_prompt(project)
    rows = [("x", "1"), ("half a character: \ud800", "2")]
    there = Completion.every.count()
    with pytest.raises(UnicodeEncodeError), transaction.atomic():
        insert_values(Completion, ("text", "key"), rows, prompt_id=prompt.pk, source="imported")
    assert Completion.every.count() == there


def test_a_value_that_copy_has_no_text_for_is_no_row():
    with pytest.raises(TypeError, match="COPY is not told how to write bytes"):
        list(bulk._lines([[b"x"]], []))
