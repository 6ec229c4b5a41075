"""What was changed and is read by nothing is refused with a sentence, not ignored."""

import pytest
from pydantic import ValidationError

from alignment.kinds import KINDS
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.evaluate.settings import EvaluateConfig
from alignment.kinds.population.settings import PopulationConfig
from alignment.kinds.spec import RunSpec

IN_VAIN = [
    ("align", {"alpha": 0.7}, "jensen_shannon does not read “Order”, alpha does"),
    ("align", {"weight_limit": 5, "estimator": "surrogate"}, "surrogate does not read “Limit of"),
    (
        "align",
        {"pseudo_reward_limit": 5, "estimator": "rao_blackwell", "divergence": "reverse_kl"},
        "rao_blackwell does not read “Limit of pseudo-rewards”, score and surrogate do",
    ),
    (
        "align",
        {"inference_temperature": 0.7},
        "says nothing without “Weight of the deployed model”",
    ),
    ("align", {"inference_weights": "int8"}, "says nothing without “Weight of the deployed model”"),
    ("align", {"soften": 0.1}, "says nothing without “Must contain” and “Must match”"),
    ("align", {"share": 0.2}, "says nothing without “Phrase with a share”"),
    ("align", {"rule_text": "sun"}, "no_rule does not read “Text of the rule”"),
    ("align", {"replay_steps": 9}, "says nothing without “Share of replay”"),
    ("align", {"demonstrations_per_update": 9}, "says nothing without “Weight of demonstrations”"),
    ("align", {"objective": "rloo", "alpha": 0.7}, "does not read “Order”"),
    ("population", {"alpha": 0.7}, "does not read “Order”, alpha does"),
    ("prefer", {"loss": "ipo", "divergence": "forward_kl"}, "ipo does not read “Divergence”"),
    ("sft", {"custom_template": "{prompt}"}, "own does not read “Custom template”, custom does"),
    ("generate", {"server_model": "m"}, "sampler does not read “Model of the server”"),
    ("evaluate", {"alpha": 0.7}, "does not read “Order”"),
]


@pytest.mark.parametrize(("kind", "changed", "reason"), IN_VAIN)
def test_a_setting_that_nothing_reads_is_refused(kind, changed, reason):
    with pytest.raises(ValidationError, match=reason) as refused:
        KINDS[kind].settings(**changed)
    assert refused.value.errors()[0]["ctx"]["error"].setting in changed


def test_what_is_read_is_taken():
    assert AlignConfig(divergence="alpha", alpha=0.7).alpha == 0.7
    assert AlignConfig(must_match="^a", soften=0.1).soften == 0.1
    assert AlignConfig(inference_weight=1, inference_weights="int8").inference_weights == "int8"
    assert EvaluateConfig(divergence="alpha", alpha=0.7).alpha == 0.7


@pytest.mark.parametrize("kind", KINDS)
def test_defaults_are_never_in_vain(kind):
    assert KINDS[kind].settings() == KINDS[kind].settings()


def test_agents_get_the_order_only_where_they_read_it():
    config = PopulationConfig(divergences=("alpha", "reverse_kl"), alpha=0.7)
    assert config.agent("alpha").alpha == 0.7
    assert config.agent("reverse_kl").divergence == "reverse_kl"


def test_what_was_stored_once_is_taken_although_nothing_reads_it():
    """An earlier version let it pass; a run or a result of that time goes on."""
    stored = AlignConfig.stored({"alpha": 0.7, "divergence": "reverse_kl", "share": 0.2})
    assert (stored.alpha, stored.share) == (0.7, 0.2)
    spec = RunSpec(kind="align", run=1, epoch=1, config={"soften": 0.3})
    assert spec.settings().soften == 0.3
    with pytest.raises(ValidationError, match="reverse_kl is infinite"):
        AlignConfig.stored({"must_contain": "x", "divergence": "reverse_kl"})


def test_a_default_that_is_nought_is_named_as_it_is():
    with pytest.raises(ValidationError, match=r"leave it at 0\.0, or change that"):
        AlignConfig(weight_limit=3, estimator="surrogate")
