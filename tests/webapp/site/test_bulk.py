"""Rows written at once are as those that are written one by one."""

import pytest
from django.db import IntegrityError, connection, transaction

from tests.factories import a_completion, a_prompt, again, new_completion
from webapp.labeling.models import Completion
from webapp.site.bulk import insert_rows


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


def test_no_rows_ask_the_database_nothing(django_assert_num_queries, db):
    with django_assert_num_queries(0, connection=connection):
        insert_rows([])
