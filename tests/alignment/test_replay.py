"""What earlier steps drew, beside what this one draws: its weights, its gradient, its share."""

from dataclasses import replace
from typing import get_args

import pytest
import torch
from pydantic import ValidationError

from alignment.kinds.align.run import tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.divergences import DivergenceName
from alignment.maths.advantages import weighted_leave_one_out
from alignment.objectives.problem import prepare
from alignment.objectives.replay import joined, mixed, remember
from alignment.objectives.samples import Term, draw, placed
from alignment.objectives.steps import Lesson, backward, grown_old, lessons_of, train_step
from alignment.objectives.table import OBJECTIVES
from alignment.objectives.toy import toy_policy, toy_problem, toy_state
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.events import StepDone
from tests.alignment.test_loop import FEW, continues, exact_divergence, of, problems
from tests.cases import cases

REPLAY = {"replay_share": 0.5, "replay_steps": 2}
SMALL = {"max_new_tokens": 3, "completions_per_prompt": 4, "beta": 0.3, "prompts_per_step": 2}


@pytest.fixture
def problem(policy_folder):
    return problems(policy_folder)


def toy(**settings):
    one = toy_problem(AlignConfig(**SMALL | REPLAY | settings))
    state = toy_state(one, toy_policy(seed=1))
    prepare(one, state)
    return one, state


def test_a_step_draws_less_by_what_it_replays():
    one, state = toy()
    for step in range(4):
        metrics = train_step(one, state)
        assert ("weights/ess" in metrics) == (step > 0)
    assert [len(kept.places) for kept in state.replay] == [1, 1]
    assert 0 < metrics["weights/ess"] <= 1


def test_what_is_kept_is_mixed_in_whole_groups_of_a_prompt():
    one, state = toy(replay_share=0.9)
    old = draw(one, state, [1, 0], Term())
    remember(one.config, state, [1, 0], old.scored)
    drawn = draw(one, state, [0], Term())
    whole = mixed(one, state, drawn, [0])
    assert (whole.fresh, whole.u.shape) == (4, (2, 4))
    rows = old.scored.rollouts.completion_ids()
    assert whole.scored.rollouts.completion_ids()[4:] in (rows[:4], rows[4:])
    place = 1 if whole.scored.rollouts.completion_ids()[4:] == rows[:4] else 0
    assert set(whole.scored.rollouts.prompts[4:]) == {tuple(one.ids[place])}
    expected = placed(one, state, [1, 0], old.scored, Term()).u[1 - place]
    torch.testing.assert_close(whole.u[1], expected)


def test_completions_of_other_lengths_are_padded_alike():
    one, state = toy()
    long = draw(one, state, [0, 1], Term()).scored
    width = long.rollouts.tokens.shape[1]
    short = long.rows(torch.tensor([0]))
    cut = replace(
        short,
        rollouts=replace(
            short.rollouts,
            tokens=short.rollouts.tokens[:, :1],
            mask=short.rollouts.mask[:, :1],
            token_logps=short.rollouts.token_logps[:, :1],
        ),
        reference_token_logps=short.reference_token_logps[:, :1],
    )
    whole = joined([cut, long])
    assert whole.rollouts.tokens.shape == (9, width)
    assert whole.rollouts.lengths[0] == 1
    assert whole.rollouts.completion_ids()[1:] == long.rollouts.completion_ids()


def gradient(one, state, drawn):
    state.policy.model.zero_grad()
    rated = OBJECTIVES[one.config.objective](one, state, drawn)
    backward(state, Lesson(drawn, rated))
    return [weight.grad.clone() for weight in state.policy.model.parameters()]


@pytest.mark.parametrize(
    "changed",
    [{}, {"estimator": "surrogate"}, {"objective": "rloo"}, {"objective": "grpo"}],
    ids=lambda changed: "-".join(changed.values()) or "score",
)
def test_each_half_has_the_gradient_it_has_alone(changed):
    """Fresh completions with weights of 1, old ones with those of the policy that drew them."""
    one, state = toy(**changed)
    now = state.policy
    state.policy = toy_policy(seed=2)
    before = draw(one, state, [1], Term())
    remember(one.config, state, [1], before.scored)
    state.policy = now
    drawn = draw(one, state, [0], Term())
    whole = gradient(one, state, mixed(one, state, drawn, [0]))
    fresh = gradient(one, state, drawn)
    old = gradient(one, state, replace(before, fresh=0))
    for found, first, second in zip(whole, fresh, old, strict=True):
        assert second.abs().max() > 0
        torch.testing.assert_close(found, (first + second) / 2, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("name", get_args(DivergenceName))
def test_at_the_target_old_samples_pull_nowhere(name):
    """Each completion's part is 0 there, not only their mean: what was noise when drawn is gone."""
    one, state = toy(divergence=name, replay_share=0.0, replay_steps=4)
    target, state.policy = state.policy, toy_policy(seed=2)
    old = draw(one, state, [0, 1], Term())
    state.policy = target
    logps = completion_token_logps(target.model, old.scored.rollouts).sum(1).detach()
    u = (old.scored.rollouts.logps - logps).view(old.u.shape)  # as if p were this policy
    for wrong in (1e-9, 1.0):  # also with a wrong Z; total variation asks for the sign of u
        found = gradient(one, state, replace(old, u=u + wrong, fresh=0))
        assert max(weight.abs().max() for weight in found) < 1e-8


def test_a_prompt_that_comes_twice_has_one_baseline():
    values = torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]])
    weights = torch.tensor([[1.0, 2.0], [1.0, 1.0], [1.0, 3.0]])
    found = weighted_leave_one_out(values, weights, torch.tensor([4, 9, 4]))
    expected = [[(4 + 7 + 33) / 6, (1 + 7 + 33) / 5], [5, 3], [(1 + 4 + 33) / 6, (1 + 4 + 7) / 4]]
    torch.testing.assert_close(found, torch.tensor(expected))


def test_others_that_weigh_nothing_are_no_baseline():
    weights = torch.tensor([[1e30, 1e-12]], dtype=torch.float64)
    found = weighted_leave_one_out(torch.tensor([[1.0, 5.0]]).double(), weights, torch.tensor([0]))
    assert found.tolist() == [[0.0, 1.0]]


def test_every_update_replays_others():
    one, state = toy(updates_per_step=2)
    for place in (0, 1):
        remember(one.config, state, [place], draw(one, state, [place], Term()).scored)
    drawn, seen = [draw(one, state, [0], Term())], set()
    lessons = lessons_of(one, state, [0], drawn)
    assert lessons[0].drawn.fresh == 4
    for _ in range(20):
        lessons = grown_old(one, state, [0], lessons, drawn)
        assert (lessons[0].drawn.fresh, lessons[0].drawn.u.shape) == (0, (2, 4))
        seen.add(lessons[0].drawn.scored.rollouts.prompts[4:])
    assert len(seen) == 2


def test_a_run_with_replay_learns_from_half_the_samples(problem, tmp_path):
    one = problem(**FEW | {"steps": 24}, replay_share=0.5)
    events = of(list(tune(one, tmp_path)), StepDone)
    assert {event.metrics["prompts/skipped"] for event in events} == {0}
    rewards = [event.metrics["reward/mean"] for event in events]
    assert sum(rewards[-5:]) > 3 * sum(rewards[:5])
    before, after = exact_divergence(one, one.start), exact_divergence(one, tmp_path / "output")
    assert after < 0.4 * before


@cases("objective", ["fdpg", "ppo"])
def test_a_saved_run_continues_with_what_it_kept(problem, tmp_path, objective):
    settings = {"objective": objective, "sample_prompts": 0, "steps": 6, "updates_per_step": 2}
    continues(lambda: problem(**settings, **REPLAY), tmp_path, 3)


def test_the_rao_blackwell_estimator_has_no_use_for_old_samples():
    with pytest.raises(ValidationError, match="no replay"):
        AlignConfig(estimator="rao_blackwell", divergence="reverse_kl", replay_share=0.5)
