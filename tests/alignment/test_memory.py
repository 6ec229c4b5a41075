"""How much memory each kind of run needs, by hand."""

import pytest

from alignment.kinds import KINDS, memory_by_kind
from alignment.kinds.evaluate.run import TARGET_BATCH, TARGET_COMPLETIONS
from alignment.models.trials import described
from alignment.seam import memory
from tests.alignment.conftest import tiny_policy

SHAPE = memory.Shape(1000, 2, 8, 2, 8, 16, 32)


def of(kind, shape=SHAPE, **settings):
    """Bytes of a run with these settings."""
    return KINDS[kind].memory(KINDS[kind].settings(**settings), shape)


def test_memory_follows_the_formula_by_hand():
    assert memory.activations(SHAPE, 3, 4) == 2 * (64 * 12 * 8 + 4 * 2 * 12 * 4)
    assert memory.sampling(SHAPE, 64) == 2 * 4 * 2 * 8 * 32 * 64 + 24 * 64 * 16
    assert of("generate") == 4000 + memory.sampling(SHAPE, 64)
    best = {"kept": "best", "best_of": 40}
    assert of("generate", **best) == 8000 + memory.sampling(SHAPE, 80)
    learning = memory.activations(SHAPE, 64, 32) + 3 * 4 * 2048 * 16
    assert of("reward") == 16_000 + memory.activations(SHAPE, 64, 32)
    assert of("sft") == 16_000 + learning
    assert of("prefer") == 20_000 + learning
    assert of("evaluate") == 16_000 + memory.sampling(SHAPE, 512)
    step = max(learning, memory.sampling(SHAPE, 128))
    kept = 10 * 4 * 2 * 8 * 128 * KINDS["align"].settings().max_new_tokens
    assert of("align") == 24_000 + step + kept
    assert of("population") == 24_000 + step + 2 * 16_000


def test_settings_count():
    assert of("sft", lora_rank=4) == of("sft") - 12_000 + 16 * 2 * 7 * 2 * 4 * 8
    assert of("align", reward_weight=0, must_contain="a") == of("align") - 4000
    assert of("generate", engine="server", server_url="http://a", server_model="b") == 0
    big = {"width": 256, "layers": 4, "heads": 4}
    assert of("pretrain", None, **big) > 2 * of("pretrain", None, width=64, layers=2)


@pytest.mark.parametrize("kind", [name for name in KINDS if name != "import"])
def test_every_kind_forecasts_its_memory(kind):
    assert of(kind, SHAPE if KINDS[kind].inputs else None) > 16_000 / 4
    assert kind == "pretrain" or of(kind, None) == 0  # of an unknown model nobody knows


def test_a_card_tells_the_memory_of_the_usual_settings():
    assert memory_by_kind(SHAPE)["sft"] == of("sft")
    assert "pretrain" not in memory_by_kind(SHAPE)


def test_an_evaluation_weighs_as_many_completions_at_once():
    assert memory.WEIGHED_AT_ONCE == TARGET_BATCH * TARGET_COMPLETIONS


def test_a_card_counts_key_heads_apart(policy):
    policy.model.config.num_key_value_heads = 1
    assert described(policy)["memory"]["generate"] < described(tiny_policy())["memory"]["generate"]
