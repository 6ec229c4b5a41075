"""Forms of the tables of labelling."""

import pytest
from django.core.management import CommandError, call_command

from webapp.labeling.forms import FormNumber, LabelFilter, TaskFilter

ENDLESS = "9" * 5000  # more digits than Python reads as a number


def test_fields_are_ordered_by_their_names_and_not_by_words():
    for form in (TaskFilter, LabelFilter):
        assert {type(name) for name in form.field_order} == {str}


@pytest.mark.parametrize("text", [ENDLESS, "9" * 19, "-1", "1.5", "", "²"])
def test_what_is_no_number_of_a_form_is_the_present_one(text):
    assert FormNumber().clean(text) is None


@pytest.mark.django_db
@pytest.mark.parametrize("name", [ENDLESS, "9" * 19])
def test_a_project_is_not_looked_for_by_a_number_that_no_row_has(tmp_path, name):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "Why?"}\n')
    for command in (["make_tasks", name, "compare"], ["import_feedback", name, str(rows)]):
        with pytest.raises(CommandError, match="There is no project"):
            call_command(*command)
