"""Prompts that teach nothing are given up for others, a bounded number of times."""

from dataclasses import replace
from itertools import product

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.objectives.problem import prepare
from alignment.objectives.redrawing import dull, dull_share, with_signal
from alignment.objectives.samples import Term, draw
from alignment.objectives.steps import train_step
from alignment.objectives.toy import toy_problem, toy_state
from tests.alignment.test_loop import continues, problems

TEXTS = [" ".join(pick) for pick in product("abcd", repeat=2)]


def lottery(policy, rollouts):
    """A reward that is one number wherever the prompt ends with an even token."""
    some = torch.tensor([prompt[-1] % 2 for prompt in rollouts.prompts])
    return (rollouts.tokens * rollouts.mask).sum(1).double() * some


def made(redraws):
    """A problem of sixteen prompts, half of which teach nothing, and its state."""
    config = AlignConfig(
        objective="rloo", max_new_tokens=3, completions_per_prompt=4, prompts_per_step=6,
        reference_completions=2, redraws=redraws,
    )  # fmt: skip
    one = replace(toy_problem(config, prompts=TEXTS), reward=lottery)
    state = toy_state(one)
    prepare(one, state)
    return one, state


def test_other_prompts_take_the_place_of_those_that_teach_nothing():
    one, state = made(redraws=9)
    before = draw(one, state, range(6), Term())
    kept = (~dull(one.config, before)).nonzero().flatten().tolist()
    places, after = with_signal(one, state, range(6), before)
    assert len(kept) < 6
    assert dull_share(one.config, after) == 0
    assert [places[row] for row in kept] == kept
    assert len(set(places)) == 6
    prompts = list(after.scored.rollouts.prompts[::4])
    assert prompts == [tuple(one.ids[place]) for place in places]
    for row in kept:
        torch.testing.assert_close(after.u[row], before.u[row])


@pytest.mark.parametrize("redraws", [0, 1])
def test_a_step_draws_again_as_often_as_asked(redraws):
    one, state = made(redraws)
    told = train_step(one, state)
    assert ("prompts/dull" in told) is bool(redraws)
    drawn = state.progress.tokens
    assert 0 < drawn <= 6 * 4 * 3


def test_where_nothing_else_is_left_they_stay():
    one, state = made(redraws=3)
    one = replace(one, reward=lambda policy, rollouts: torch.ones(len(rollouts.prompts)))
    places, after = with_signal(one, state, range(6), draw(one, state, range(6), Term()))
    assert len(set(places)) == 6
    assert dull_share(one.config, after) == 1


def test_a_saved_run_that_draws_again_continues_bit_by_bit(policy_folder, tmp_path):
    settings = {"objective": "grpo", "redraws": 2, "steps": 4, "sample_prompts": 0}
    settings |= {
        "clip_above": 0.3,
        "averaged": "tokens",
        "leave_cut_out": True,
        "entropy_weight": 0.01,
    }
    settings |= {"weight_decay": 0.1, "decay_shape": "cosine", "most_tokens": 10_000}
    continues(lambda: problems(policy_folder)(**settings), tmp_path, 2)
