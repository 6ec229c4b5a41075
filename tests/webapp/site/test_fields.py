"""Fields that are drawn from settings."""

import pytest
from django import forms

from alignment.seam.settings import Settings, setting
from webapp.site.fields import (
    DrawnField,
    bounds_in_words,
    drawn,
    drawn_fields,
    topics_of,
    values_of,
)


class Bounded(Settings):
    """Numbers that are bounded on one side, on two, or on none."""

    least: int = setting(2, "Least", help="", topic="Numbers", ge=1)
    above: float = setting(0.5, "Above", help="", topic="Numbers", gt=0)
    most: float = setting(0.5, "Most", help="", topic="Numbers", le=1)
    between: int = setting(5, "Between", help="", topic="Numbers", advanced=True, gt=0, le=2000)
    closed: int = setting(5, "Closed", help="", topic="Numbers", ge=0, le=2000)
    free: float = setting(0.5, "Free", help="", topic="Others")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("least", "At least 1."),
        ("above", "Above 0."),
        ("most", "At most 1."),
        ("between", "Above 0, at most 2,000."),
        ("closed", "From 0 to 2,000."),
        ("free", ""),
    ],
)
def test_only_the_bounds_that_a_setting_has_are_told(name, words):
    assert bounds_in_words(Bounded.model_fields[name]) == words


class Form(forms.Form):
    """A form of these settings beside a field of its own."""

    by_hand = forms.CharField(required=False)

    def __init__(self, *args):
        super().__init__(*args)
        self.fields |= drawn_fields("bounded", Bounded())


def test_a_drawn_form_keeps_its_fields_by_topic_and_folds_what_is_advanced():
    numbers, others = topics_of(Form())
    assert [field.name for field in numbers.fields] == [
        f"bounded-{name}" for name in ("least", "above", "most", "closed")
    ]
    assert [field.name for field in numbers.more] == ["bounded-between"]
    assert [field.name for field in others.fields] == ["bounded-free"]


def test_what_is_sent_comes_back_as_the_settings_take_it():
    sent = {f"bounded-{name}": str(value) for name, value in Bounded(least=7).model_dump().items()}
    form = Form(sent)
    assert form.is_valid(), form.errors
    assert Bounded(**values_of(form, "bounded")) == Bounded(least=7)


def test_a_field_by_hand_is_not_taken_for_a_setting():
    form = Form()
    assert isinstance(drawn(form, "bounded-least"), DrawnField)
    with pytest.raises(TypeError, match="by_hand"):
        drawn(form, "by_hand")
