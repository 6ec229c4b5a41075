"""Widgets that are written without templates: the same markup as Django's."""

import pytest
from django import forms
from django.test.html import parse_html

from webapp.site import widgets

VALUES = ["", None, 3, 0.5, "a", 'he said "<b>"', True, False]
ATTRIBUTES = [
    {"id": "id_a"},
    {"step": "any", "required": True, "disabled": False, "aria-describedby": "b_helptext"},
    {"class": 'a"b', "maxlength": "20"},
]
CHOICES = [("", "none"), ("a", "A & <b>"), (3, "three")]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("name", ["NumberInput", "TextInput", "CheckboxInput"])
def test_an_input_is_written_as_django_does(name, value, attributes):
    ours, theirs = getattr(widgets, name)(), getattr(forms, name)()
    written, wanted = (one.render("align-a", value, attributes) for one in (ours, theirs))
    assert parse_html(written) == parse_html(wanted)


@pytest.mark.parametrize("attributes", ATTRIBUTES)
@pytest.mark.parametrize("value", VALUES)
def test_a_choice_is_written_as_django_does(value, attributes):
    ours, theirs = widgets.Select(choices=CHOICES), forms.Select(choices=CHOICES)
    written, wanted = (one.render("align-b", value, attributes) for one in (ours, theirs))
    assert parse_html(written) == parse_html(wanted)


@pytest.mark.parametrize("name", ["NumberInput", "TextInput", "CheckboxInput", "Select"])
def test_pages_take_it_for_what_it_is(name):
    class Form(forms.Form):
        one = forms.Field(widget=getattr(widgets, name)())

    assert Form()["one"].widget_type == name.lower().removesuffix("input")
