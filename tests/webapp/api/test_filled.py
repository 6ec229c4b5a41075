"""Forms of pages, filled in by programs."""

import pytest
from django import forms

from webapp.api.errors import FieldsError
from webapp.api.filled import filled


class Order(forms.Form):
    """A field of each kind that ours have."""

    name = forms.CharField(max_length=5, initial="usual")
    number = forms.IntegerField(min_value=0, initial=3)
    rate = forms.FloatField(required=False)
    on = forms.BooleanField(required=False, initial=True)
    several = forms.MultipleChoiceField(choices=[("a", "A"), ("b", "B")], required=False)

    def clean(self):
        if self.cleaned_data.get("number") == 13:
            raise forms.ValidationError("Not on a Friday.")
        return self.cleaned_data


def cleaned(**given):
    return filled(Order, given).cleaned_data


def test_what_is_left_out_is_as_on_the_page():
    assert cleaned() == {"name": "usual", "number": 3, "rate": None, "on": True, "several": []}


def test_what_is_given_is_taken_as_it_is():
    given = {"name": "x", "number": 0, "rate": 1e-07, "on": False, "several": ["b", "a"]}
    assert cleaned(**given) == given


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "longer"}, "name"),
        ({"number": "three"}, "number"),
        ({"number": None}, "number"),
        ({"number": {"is": 3}}, "number"),
        ({"several": ["c"]}, "several"),
        ({"number": 13}, "all"),
        ({"nothing": 1}, "nothing"),
    ],
)
def test_what_the_form_refuses_is_refused_by_its_name(given, field):
    with pytest.raises(FieldsError) as refused:
        cleaned(**given)
    assert list(refused.value.fields) == [field]


def test_what_there_is_is_said_where_a_name_is_unknown():
    with pytest.raises(FieldsError, match="there is: name, number, rate, on, several"):
        cleaned(nothing=1)
