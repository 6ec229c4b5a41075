import pytest
from django.forms import BooleanField

from alignment.kinds import KINDS
from tests.factories import a_project, a_user, an_artifact
from webapp.rounds.config import PRESETS, RoundConfig
from webapp.rounds.forms import RoundForm
from webapp.site.fields import drawn_field, drawn_fields

pytestmark = pytest.mark.once


def sent(project, ready, **changes):
    """The bound form as a browser sends it untouched, but for the changes."""
    blank = RoundForm(project=project, start=ready["config"])
    filled = {name: field.initial for name, field in blank.fields.items()}
    data = {name: value for name, value in filled.items() if value is not None}
    start = {"key": "7b1c7a4e-51a5-4a0b-8f1d-4f8e3a5b9c10", "seed": 0}
    start |= {"snapshot": ready["snapshot"].pk, "policy": ready["policy"].pk}
    return RoundForm(data | start | changes, project=project, start=ready["config"])


@pytest.mark.parametrize("kind", KINDS)
def test_every_setting_has_title_help_topic_and_bounds_in_words(kind):
    for name, info in KINDS[kind].settings.model_fields.items():
        field = drawn_field(info, info.default)
        assert field.label, name
        assert len(info.description) > 10, name
        assert info.description.endswith("."), name
        assert field.topic, name
        said = "From" in field.help_text or "Above" in field.help_text
        assert said or getattr(field, "choices", None) or isinstance(field, BooleanField), name


def test_a_drawn_field_carries_the_settings_unit_and_bounds():
    field = drawn_fields("align", KINDS["align"].settings())["align-kl_budget"]
    assert (field.label, field.unit, field.initial, field.max_value) == (
        "KL budget", "nats", 4.0, 1000,
    )  # fmt: skip


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sent_as_it_is_gives_its_own_config(project, ready, name):
    config = PRESETS[name].config
    form = sent(project, ready | {"config": config})
    assert form.is_valid(), form.errors
    assert form.config == config


def test_the_balanced_preset_is_the_defaults():
    assert PRESETS["balanced"].config == RoundConfig()


def test_what_follows_from_the_round_is_not_asked(project, ready):
    asked = set(sent(project, ready).fields)
    known = {"reward-labels", "reward-evaluate_on"}
    assert not {"evaluate-beta", "evaluate-divergence", *known} & asked


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("align-steps", "0", "greater than or equal to 1"),
        ("align-beta", "0", "greater than 0"),
        ("align-divergence", "chi2", "valid choice"),
        ("align-prompts", "8", "more prompts than take part"),
        ("align-steps", "1", "longer than the 1 steps"),
        ("evaluate-prompts", "many", "whole number"),
    ],
)
def test_what_cannot_be_is_said_beside_a_field(project, ready, field, value, words):
    form = sent(project, ready, **{field: value})
    assert not form.is_valid()
    assert words in str(form.errors)
    assert not form.non_field_errors()


def test_models_of_other_projects_are_no_choice(project, ready, var):
    form = sent(project, ready, policy=an_artifact(a_project(), var).pk)
    assert "policy" in form.errors


def test_the_utility_judges_only_where_people_are_simulated(project, ready):
    judges = {name for name, _ in sent(project, ready).fields["evaluate-judge"].choices}
    a_user(project, simulated=True)
    with_them = {name for name, _ in sent(project, ready).fields["evaluate-judge"].choices}
    assert with_them - judges == {"utility"}


@pytest.mark.twice
def test_the_topics_hold_every_drawn_field_once(project, ready):
    form = sent(project, ready)
    shown = [field.name for topic in form.topics() for field in topic.fields + topic.more]
    assert sorted(shown) == sorted(name for name in form.fields if "-" in name)


def test_an_encoder_may_carry_the_reward_model_and_no_policy(project, ready, var):
    encoder = an_artifact(project, var, type="encoder")
    form = RoundForm(project=project, start=RoundConfig())
    assert encoder in form.fields["backbone"].queryset
    assert encoder not in form.fields["policy"].queryset
