"""Fields are drawn without templates: the same markup as Django's."""

import pytest
from django import forms
from django.forms.renderers import DjangoTemplates
from django.test.html import parse_html
from django.utils.translation import gettext_lazy

from webapp.site.renderer import Renderer

VALUES = ["", None, 3, 0.5, "a", 'he said "<b>"', True, False, "Two & <i>"]
ATTRIBUTES = [
    {"id": "id_a"},
    {"step": "any", "required": True, "disabled": False, "aria-describedby": "b_helptext"},
    {"class": 'a"b', "maxlength": "20"},
]
CHOICES = [
    ("", gettext_lazy("Accept")),
    ("a", "A & <b>"),
    (3, "three"),
    ('"Group" <i>', [("Two & <i>", "two"), (True, "yes")]),
]
INPUTS = [
    *(forms.CheckboxInput, forms.EmailInput, forms.HiddenInput, forms.NumberInput),
    *(forms.PasswordInput, forms.TextInput, forms.URLInput, forms.Textarea, forms.FileInput),
]


def both(widget, value, attributes):
    """What we draw and what Django does."""
    drawn = (
        widget.render("align-a", value, attributes, renderer())
        for renderer in (Renderer, DjangoTemplates)
    )
    return [(parse_html(one), type(one)) for one in drawn]


@pytest.mark.parametrize("attributes", ATTRIBUTES)
@pytest.mark.parametrize("kind", INPUTS)
def test_an_input_is_drawn_as_django_does(kind, attributes):
    for value in VALUES:
        ours, theirs = both(kind(), value, attributes)
        assert ours == theirs, value


@pytest.mark.parametrize("attributes", ATTRIBUTES)
def test_a_choice_is_drawn_as_django_does(attributes):
    for value in VALUES:
        ours, theirs = both(forms.Select(choices=CHOICES), value, attributes)
        assert ours == theirs, value
        ours, theirs = both(forms.SelectMultiple(choices=CHOICES), [value, 3], attributes)
        assert ours == theirs, value


def test_forms_are_drawn_by_it(settings):
    class Form(forms.Form):
        one = forms.ChoiceField(choices=[("a", "A")])

    assert isinstance(Form().renderer, Renderer)
    assert (
        str(Form()["one"]) == '<select name="one" id="id_one"><option value="a">A</option></select>'
    )
