"""Rows of drawn forms: what nobody has touched is drawn once, and never shown where it would look otherwise."""

from typing import Literal

import pytest
from django import forms
from django.template import Context, Template, TemplateDoesNotExist
from django.utils import translation

from alignment.seam.settings import Settings, setting
from webapp.artifacts.models import Artifact
from webapp.launch.form import ArtifactField
from webapp.site.fields import drawn_fields, offer_names
from webapp.site.templatetags import form_rows


class Asked(Settings):
    """A setting of each sort."""

    number: int = setting(2, "Number", help="How many.", topic="All", ge=1, unit="tokens")
    name: str = setting("", "Name", help="", topic="All", max_length=300)
    kind: Literal["one", "two"] = setting(
        "one", "Kind", help="", topic="All", choices={"one": "The one", "two": "The other"}
    )


class Form(forms.Form):
    def __init__(self, *args, **values):
        super().__init__(*args)
        self.fields |= drawn_fields("asked", Asked(**values))


def shown(field):
    template = Template("{% load form_rows %}{% field_row field %}")
    return template.render(Context({"field": field}))


@pytest.fixture
def drawn(monkeypatch):
    """All rows of an untouched form; from now on there is no template to draw another."""
    form_rows._drawn.clear()
    rows = [shown(field) for field in Form()]
    monkeypatch.setattr(form_rows, "TEMPLATE", "nothing.html")
    return rows


def test_an_untouched_field_is_drawn_once(drawn):
    assert [shown(field) for field in Form()] == drawn
    assert 'value="2"' in drawn[0]
    assert "tokens" in drawn[0]
    assert '<option value="one" selected>The one</option>' in drawn[2]


@pytest.mark.parametrize(
    "changed",
    [
        lambda form: form.fields.update(drawn_fields("asked", Asked(number=3))),
        lambda form: setattr(form.fields["asked-number"], "help_text", "Otherwise."),
        lambda form: setattr(form.fields["asked-number"], "label", "Otherwise"),
        lambda form: setattr(form.fields["asked-number"], "required", False),
        lambda form: setattr(form.fields["asked-number"], "unit", "steps"),
        lambda form: setattr(form.fields["asked-number"], "when", '{"kind": ["two"]}'),
        lambda form: setattr(form, "auto_id", "other_%s"),
    ],
)
def test_what_looks_otherwise_is_drawn_anew(drawn, changed):
    changed(form := Form())
    with pytest.raises(TemplateDoesNotExist):
        shown(form["asked-number"])
    assert shown(Form()["asked-number"]) == drawn[0]  # and nobody else's has changed


def test_choices_that_were_narrowed_are_drawn_anew_and_by_no_other_form(drawn):
    offer_names(form := Form(), "asked-kind", [("two", "The other")])
    with pytest.raises(TemplateDoesNotExist):
        shown(form["asked-kind"])
    assert shown(Form()["asked-kind"]) == drawn[2]


def test_another_language_is_drawn_anew(drawn):
    with translation.override("de"), pytest.raises(TemplateDoesNotExist):
        shown(Form()["asked-number"])


def test_what_was_sent_is_never_kept(db):
    form = Form({"asked-number": "0", "asked-name": "<b>", "asked-kind": "two"})
    assert "At least 1" in shown(form["asked-number"])
    assert 'role="alert"' in shown(form["asked-number"])
    before = len(form_rows._drawn)
    assert '"&lt;b&gt;"' in shown(form["asked-name"])
    assert "x" * 300 in shown(Form(name="x" * 300)["asked-name"])  # nor what is long
    assert len(form_rows._drawn) == before


def test_rows_of_tables_are_never_kept(db):
    form_rows._drawn.clear()
    form = Form()
    form.fields["asked-name"] = field = ArtifactField(Artifact.objects.none())
    field.offer(Artifact.objects.all(), "", None)
    assert "<select" in shown(form["asked-name"])
    assert not form_rows._drawn


def test_so_many_are_kept_and_no_more(monkeypatch):
    monkeypatch.setattr(form_rows, "MOST", 2)
    for number in range(1, 6):
        assert f'value="{number}"' in shown(Form(number=number)["asked-number"])
        assert len(form_rows._drawn) <= 2
