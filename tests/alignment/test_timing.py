"""What a run's parts sum up to, by a machine's speed and what the run reads."""

import pytest

from alignment.kinds import KINDS
from alignment.seam.memory import Shape
from alignment.seam.timing import BESIDE, Extent, Speed, Timing

SMALL = Shape(
    parameters=600_000, layers=2, width=128, heads=4, key_width=128, vocabulary=2048, context=128
)
LARGE = SMALL._replace(
    parameters=135_000_000, layers=30, width=576, vocabulary=49_152, context=2048
)
SPEED = Speed(block=1e-4, operations=1e11, bandwidth=1e10, start=4.0)
READ = Extent(shape=SMALL, rows=400, prompts=5000, tokens=100_000)
TIMING = Timing(SPEED, READ)
# A setting of each kind that makes a run longer, and what of it a run with more of it takes.
MORE = {
    "pretrain": "steps", "sft": "epochs", "prefer": "epochs", "reward": "epochs", "align": "steps",
    "population": "steps", "distil": "steps", "factorise": "steps", "edit": "steps",
    "quantise": "held_out_prompts", "prune": "held_out_prompts", "evaluate": "prompts",
    "generate": "completions_per_prompt", "score": "prompts", "classify": "epochs",
}  # fmt: skip


def test_reading_is_two_operations_a_weight_and_token_where_nothing_else_counts():
    timing = Timing(SPEED._replace(block=0.0), READ)
    rows, length = 8, 10
    looked = 4 * SMALL.layers * SMALL.width * length
    each = (2 * SMALL.parameters + looked) / SPEED.operations
    assert timing.reading(rows, 4, length) == pytest.approx(BESIDE * rows * length * each)


def test_what_a_small_model_takes_is_the_beginning_of_its_blocks():
    timing = Timing(SPEED._replace(operations=1e30), READ)
    assert timing.reading(8, 4) == pytest.approx(BESIDE * 2 * SMALL.layers * SPEED.block)


def test_learning_takes_three_times_reading_and_an_update_for_each_batch():
    moved = TIMING.learning(8, 4, 10) - 3 * TIMING.reading(8, 4, 10)
    assert moved == pytest.approx(2 * 64 * SMALL.parameters / SPEED.bandwidth)


def test_writing_goes_token_by_token_to_the_limit():
    assert TIMING.writing(32, 2, 24) < TIMING.writing(32, 2, 48) < TIMING.writing(64, 2, 48)
    assert TIMING.writing(32, 2, 480) == TIMING.writing(32, 2, 48_000)  # nobody answers so long
    assert TIMING.writing(0, 2, 48) == 0


@pytest.mark.parametrize("name", list(MORE))
def test_more_of_a_setting_takes_longer(name):
    kind = KINDS[name]
    usual = kind.settings()
    value = getattr(usual, MORE[name])
    more = usual.model_copy(update={MORE[name]: 2 * value})
    assert 0 < kind.seconds(usual, TIMING) < kind.seconds(more, TIMING)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.seconds])
def test_a_larger_model_takes_longer(name):
    kind, large = KINDS[name], Timing(SPEED, READ._replace(shape=LARGE))
    config = kind.settings()
    if name == "pretrain":
        config = config.model_copy(update={"model": "continued"})
    assert kind.seconds(config, TIMING) < kind.seconds(config, large)


def test_every_kind_but_those_that_bring_a_model_says_what_it_takes():
    unknown = {name for name, kind in KINDS.items() if kind.seconds is None}
    assert unknown == {"import", "adopt", "checkpoint"}


def test_nobody_knows_how_fast_a_server_answers():
    kind = KINDS["generate"]
    config = kind.settings().model_copy(update={"engine": "server"})
    assert kind.seconds(config, TIMING) == 0


@pytest.mark.parametrize("name", ["sft", "prefer", "reward"])
def test_looks_and_bounds_are_counted_of_what_is_fitted(name):
    kind = KINDS[name]

    def seconds(**changes):
        return kind.summed(kind.settings().model_copy(update=changes), TIMING)

    usual, held = seconds(), seconds(held_out=0)
    assert seconds(evaluate_every=1) > seconds(evaluate_every=2) > usual
    assert seconds(most_tokens=1000) < usual < seconds(most_tokens=10**9) + 1e-9
    assert seconds(evaluate_on="own") > held > usual


def test_looks_are_counted_of_what_learns_from_its_own_answers():
    kind = KINDS["align"]

    def seconds(**changes):
        return kind.summed(kind.settings(**changes), TIMING)

    assert seconds(evaluate_every=1) > seconds(evaluate_every=2) > seconds()
    assert seconds(evaluate_every=2, evaluation_prompts=128) > seconds(evaluate_every=2)
    each = (seconds(evaluate_every=1) - seconds(evaluate_every=2)) / 20  # of 40 steps
    fewer = (seconds(evaluate_every=2) - seconds(evaluate_every=4)) / 10
    assert each == pytest.approx(fewer)


def test_heads_alone_take_the_reading_of_their_texts():
    kind = KINDS["reward"]
    frozen = kind.settings().model_copy(update={"trunk": "frozen", "folds": 9, "heads": 8})
    assert kind.summed(frozen, TIMING) == TIMING.reading(2 * READ.rows)


def test_texts_are_learned_for_as_many_tokens_and_minutes_as_are_allowed():
    kind = KINDS["pretrain"]
    whole = kind.settings().model_copy(update={"source": "file", "epochs": 10})
    some = whole.model_copy(update={"most_tokens": 10_000})
    short = whole.model_copy(update={"most_minutes": 1e-4})
    assert kind.summed(short, TIMING) == pytest.approx(60 * 1e-4)
    assert kind.summed(short, TIMING) < kind.summed(some, TIMING) < kind.summed(whole, TIMING)
