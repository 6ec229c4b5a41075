"""Form fields drawn from settings."""

from typing import Literal

import pytest
from django import forms
from pydantic import ValidationError, model_validator

from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.seam.settings import ConflictError, Settings, setting
from webapp.results.words import setting_in_words
from webapp.site.fields import add_errors, drawn_fields

JUDGES = {"none": "Nobody", "utility": "The simulated utility"}


class Small(Settings):
    """Settings with one of everything that a form draws in its own way."""

    judge: Literal["none", "utility"] = setting(
        "none", "Judge", help="Who decides.", topic="A", choices=JUDGES
    )
    sharp: bool = setting(False, "Sharp", help="Whether it cuts.", topic="A")
    depth: int = setting(
        1, "Depth", help="How far.", topic="A", ge=1, le=9, when={"judge": ("utility",)}
    )

    @model_validator(mode="after")
    def _sharp_is_shallow(self) -> "Small":
        if self.sharp and self.depth > 2:
            raise ConflictError("depth", "what is sharp is shallow")
        return self


class SmallForm(forms.Form):
    def __init__(self, *args):
        super().__init__(*args)
        self.fields |= drawn_fields("small", Small())


def test_a_setting_says_which_choices_read_it():
    fields = drawn_fields("small", Small())
    assert fields["small-depth"].when == '{"small-judge": ["utility"]}'
    assert fields["small-judge"].when == "{}"


def test_a_setting_that_is_on_or_off_is_a_box_that_need_not_be_ticked():
    form = SmallForm({"small-judge": "none", "small-depth": 1})
    assert form.is_valid()
    assert form.cleaned_data["small-sharp"] is False
    assert setting_in_words(value=True) == "yes"


@pytest.mark.parametrize("lacking", [{"none": "Nobody"}, JUDGES | {"people": "People"}])
def test_values_and_words_that_do_not_agree_are_refused_by_name(lacking):
    with pytest.raises(TypeError, match=r"Wrong\.judge has values and words that do not agree"):

        class Wrong(Settings):
            judge: Literal["none", "utility"] = setting(
                "none", "Judge", help="Who decides.", topic="A", choices=lacking
            )


def test_a_text_is_shown_as_it_is_though_it_is_called_as_a_choice():
    fields = KINDS["align"].settings.model_fields
    assert setting_in_words("none", fields["must_contain"]) == "none"
    assert setting_in_words("none", KINDS["evaluate"].settings.model_fields["judge"]) == "Nobody"


def test_a_conflict_is_said_beside_the_setting_to_change():
    form = SmallForm({"small-judge": "utility", "small-sharp": "on", "small-depth": 3})
    assert form.is_valid()
    with pytest.raises(ValidationError) as refusal:
        Small(judge="utility", sharp=True, depth=3)
    add_errors(form, refusal.value, section="small")
    assert form.errors == {"small-depth": ["What is sharp is shallow."]}


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_setting_is_read_for_can_be_chosen(kind):
    fields = drawn_fields(kind, KINDS[kind].settings.model_construct())
    for info in KINDS[kind].settings.model_fields.values():
        for name, values in info.json_schema_extra["when"].items():
            if (asked := fields.get(f"{kind}-{name}")) is None:
                continue  # another form of these settings asks for it
            choices = getattr(asked, "choices", [("true", ""), ("false", "")])
            assert set(values) < {value for value, _ in choices}


def test_an_impossible_divergence_is_refused_at_the_divergence():
    with pytest.raises(ValidationError) as refusal:
        AlignConfig(divergence="reverse_kl", must_contain="please")
    assert refusal.value.errors()[0]["ctx"]["error"].setting == "divergence"


def test_bounds_are_told_as_people_write_them():
    fields = drawn_fields("population", KINDS["population"].settings())
    assert fields["population-divergences"].help_text.endswith("From 2 to 10 of them.")
    assert fields["population-weight_limit"].help_text.endswith("From 0 to 1,000,000.")
