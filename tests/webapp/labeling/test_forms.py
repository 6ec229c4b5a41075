"""Forms of the tables of labelling."""

from webapp.labeling.forms import LabelFilter, TaskFilter


def test_fields_are_ordered_by_their_names_and_not_by_words():
    for form in (TaskFilter, LabelFilter):
        assert {type(name) for name in form.field_order} == {str}
