"""How much memory each kind of run needs, by hand."""

from alignment.kinds.evaluate.run import TARGET_BATCH, TARGET_COMPLETIONS
from alignment.models.trials import described
from alignment.seam import memory
from tests.alignment.conftest import tiny_policy


def test_memory_follows_the_formula_by_hand():
    shape = memory.Shape(1000, 2, 8, 2, 8, 16, 32)
    assert memory.activations(shape, 3, 4) == 2 * (64 * 12 * 8 + 4 * 2 * 12 * 4)
    assert memory.sampling(shape, 64) == 2 * 4 * 2 * 8 * 32 * 64 + 24 * 64 * 16
    assert memory.needed(shape)["generate"] == 4000 + memory.sampling(shape, 64)
    learning = memory.activations(shape, 64, 32) + 3 * 4 * 2048 * 16
    assert memory.needed(shape)["reward"] == 16_000 + memory.activations(shape, 64, 32)
    assert memory.needed(shape)["sft"] == 16_000 + learning
    assert memory.needed(shape)["prefer"] == 20_000 + learning
    assert memory.needed(shape)["evaluate"] == 16_000 + memory.sampling(shape, 512)
    assert memory.needed(shape)["align"] > 24_000


def test_an_evaluation_weighs_as_many_completions_at_once():
    assert memory.WEIGHED_AT_ONCE == TARGET_BATCH * TARGET_COMPLETIONS


def test_a_card_counts_key_heads_apart(policy):
    policy.model.config.num_key_value_heads = 1
    assert described(policy)["memory"]["generate"] < described(tiny_policy())["memory"]["generate"]
