"""RLOO, GRPO and PPO: their parts by hand, their gradients against exact ones, their refusals."""

from dataclasses import replace

import pytest
import torch
from datasets import Dataset
from pydantic import ValidationError
from trl import GRPOConfig, GRPOTrainer

from alignment.kinds.align.settings import AlignConfig
from alignment.maths.advantages import generalised, group_normalised, whitened
from alignment.maths.losses import clipped_losses, k3, value_losses
from alignment.objectives.policy_gradients import token_rewards
from alignment.objectives.problem import prepare, score
from alignment.objectives.samples import Pass, Term, draw
from alignment.objectives.steps import Lesson, backward, forward
from alignment.objectives.table import OBJECTIVES
from alignment.objectives.toy import PROMPTS, listing, toy_policy, toy_problem, toy_state
from alignment.objectives.values import ValueHead, completion_values
from alignment.sampling.scoring import batches, completion_token_logps, shared_batches

SMALL = {"max_new_tokens": 3, "completions_per_prompt": 4, "beta": 0.3}
MASK = torch.tensor([[True, True, True], [True, True, False]])
REWARDS = torch.tensor([[0.0, -0.1, 2.0], [0.3, 1.0, 0.0]], dtype=torch.float64)
VALUES = torch.tensor([[0.2, -0.4, 0.1], [1.0, 0.5, 0.0]], dtype=torch.float64)


def toy(objective, prompts=PROMPTS, **settings):
    """A problem, a policy that is not its reference, and eight completions of it."""
    problem = toy_problem(AlignConfig(objective=objective, **SMALL, **settings), prompts=prompts)
    state = toy_state(problem, toy_policy(seed=1))
    prepare(problem, state)
    return problem, state, draw(problem, state, [0, 1], Term())


def worths(problem, state, drawn, shift=0.0):
    """What the loss multiplies each token's log-probability by; and the batch it is of."""
    rated = OBJECTIVES[problem.config.objective](problem, state, drawn)
    (batch,) = batches(state.policy.model, drawn.scored.rollouts)
    logps = torch.zeros(batch.mask.shape, dtype=torch.float64, requires_grad=True)
    values = torch.zeros_like(logps)
    loss, metrics = rated.loss(Pass(batch, logps[..., None], logps, logps + shift, values))
    (found,) = torch.autograd.grad(loss, logps)
    return -found, batch, metrics


def fresh(drawn, batch):
    """The sampler's log-probabilities of a batch that the policy itself has drawn."""
    sampled = drawn.scored.rollouts.token_logps[batch.rows, : batch.mask.shape[1]]
    return sampled, torch.ones(len(batch.rows), dtype=torch.bool)


def gradient(problem, state, drawn):
    """That of a step's first update, by parameter of the policy."""
    state.policy.model.zero_grad()
    rated = OBJECTIVES[problem.config.objective](problem, state, drawn)
    backward(state, Lesson(drawn, rated))
    return [weight.grad.clone() for weight in state.policy.model.parameters()]


def close(found, expected, factor=1.0):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, factor * other, atol=1e-10, rtol=1e-10)


def test_rloo_is_beta_times_reverse_kl_f_dpg_sample_by_sample():
    problem, state, drawn = toy("rloo")
    other = replace(problem, config=AlignConfig(divergence="reverse_kl", **SMALL))
    (found, batch, _), (expected, *_) = (worths(p, state, drawn) for p in (problem, other))
    assert found[batch.mask].abs().min() > 1e-4
    torch.testing.assert_close(found, 0.3 * expected, atol=1e-10, rtol=0)
    close(gradient(problem, state, drawn), gradient(other, state, drawn), 0.3)


def test_rloo_s_worth_is_the_reward_with_its_kl_less_the_others_mean():
    problem, state, drawn = toy("rloo")
    found, batch, _ = worths(problem, state, drawn)
    scored = drawn.scored
    kl = scored.rollouts.logps - scored.reference_logps
    rewards = (scored.rewards - 0.3 * kl).view(2, 4)
    expected = (rewards - (rewards.sum(1, keepdim=True) - rewards) / 3).flatten() / 8
    torch.testing.assert_close(found[:, 0], expected[batch.rows], atol=1e-10, rtol=0)


def test_grpo_without_its_scales_is_rloo_with_its_own_completion_in_the_baseline():
    settings = {"group_scaling": False}
    found = gradient(*toy("grpo", **settings))
    close(found, gradient(*toy("rloo")), 3 / 4 / SMALL["max_new_tokens"])


def test_grpo_weighs_tokens_by_the_group_s_deviation_and_the_completion_s_length():
    problem, state, drawn = toy("grpo")
    found, batch, _ = worths(problem, state, drawn)
    rewards = (0.3 * drawn.scored.log_weights).view(2, 4)
    scaled = (rewards - rewards.mean(1, keepdim=True)) / (rewards.std(1, keepdim=True) + 1e-4)
    expected = scaled.flatten()[batch.rows] / batch.mask.sum(1) / 8
    torch.testing.assert_close(found, expected[:, None] * batch.mask, atol=1e-10, rtol=0)


@pytest.mark.parametrize("objective", ["rloo", "grpo", "ppo"])
def test_a_ratio_past_the_clip_moves_nothing_further(objective):
    problem, state, drawn = toy(objective)
    near, *_ = worths(problem, state, drawn)
    far, _, metrics = worths(problem, state, drawn, shift=0.5)
    assert (far[near > 0] == 0).all()
    assert (far[near < 0] < 0).all()
    assert 0 < metrics["ratio/clipped"] < 1


def test_the_clipped_loss_takes_the_worse_of_both():
    shift = torch.tensor([0.5, 0.5, -0.5, -0.5, 0.0]).exp().log()
    losses, cut = clipped_losses(shift, torch.tensor([1.0, -1.0, 1.0, -1.0, 2.0]), 0.2)
    high, low = torch.tensor(0.5).exp().item(), torch.tensor(-0.5).exp().item()
    assert losses.tolist() == pytest.approx([-1.2, high, -low, 0.8, -2.0])
    assert cut.tolist() == [True, False, False, True, False]


def test_k3_pulls_as_the_kl_from_the_reference_does():
    """Its mean is KL(policy || reference); its gradient that of KL(reference || policy)."""
    logits = torch.tensor([0.4, -0.3, 0.9], dtype=torch.float64, requires_grad=True)
    logps = logits.log_softmax(0)
    reference = torch.tensor([0.1, 0.6, -0.2], dtype=torch.float64).log_softmax(0)
    mean = (logps.exp() * (logps - reference)).sum()
    penalties = k3(logps, reference)
    torch.testing.assert_close((logps.exp() * penalties).sum(), mean, atol=1e-12, rtol=0)
    assert (penalties >= 0).all()
    (found,) = torch.autograd.grad((logps.exp().detach() * penalties).sum(), logits)
    backwards = (reference.exp() * (reference - logits.log_softmax(0))).sum()
    torch.testing.assert_close(found, torch.autograd.grad(backwards, logits)[0], atol=1e-12, rtol=0)


def test_a_value_far_from_the_old_one_is_no_better_for_it():
    one = torch.tensor
    assert value_losses(one([2.0]), one([0.0]), one([2.0]), 0.5).tolist() == [0.5 * 1.5**2]
    assert value_losses(one([0.3]), one([0.0]), one([2.0]), 0.5).tolist() == [
        pytest.approx(0.5 * 1.7**2)
    ]


def test_generalised_advantages_by_hand():
    found = generalised(REWARDS, VALUES, MASK, 0.9, 0.5)
    last = 2.0 - 0.1
    middle = -0.1 + 0.9 * 0.1 + 0.4 + 0.45 * last
    first = 0.0 + 0.9 * -0.4 - 0.2 + 0.45 * middle
    second_last = 1.0 - 0.5
    second = 0.3 + 0.9 * 0.5 - 1.0 + 0.45 * second_last
    expected = [first, middle, last, second, second_last, 0.0]
    assert found.flatten().tolist() == pytest.approx(expected)


def test_without_a_trace_they_look_one_token_ahead_and_with_all_of_it_to_the_end():
    following = torch.tensor([[-0.4, 0.1, 0.0], [0.5, 0.0, 0.0]])
    near = generalised(REWARDS, VALUES, MASK, 1.0, 0.0)
    torch.testing.assert_close(near, (REWARDS + following - VALUES) * MASK)
    far = generalised(REWARDS, VALUES, MASK, 1.0, 1.0)
    to_come = REWARDS.flip(1).cumsum(1).flip(1)
    torch.testing.assert_close(far, (to_come - VALUES) * MASK)


def test_whitened_advantages_have_no_mean_and_a_deviation_of_one():
    found, spread = whitened(REWARDS, MASK)
    assert found[MASK].mean().item() == pytest.approx(0, abs=1e-12)
    assert found[MASK].std(unbiased=False).item() == pytest.approx(1, abs=1e-3)
    assert found[1, 2] == 0
    assert spread.item() == pytest.approx(REWARDS[MASK].std(unbiased=False).item() + 1e-4)


def test_equal_rewards_of_a_group_are_worth_nothing():
    rewards = torch.tensor([[1.0, 1.0, 1.0], [0.0, 3.0, 0.0]])
    found = group_normalised(rewards, scale=True)
    assert found.tolist() == pytest.approx([0, 0, 0, -0.577, 1.155, -0.577], abs=1e-3)


@pytest.mark.parametrize("learned", [False, True])
def test_ppo_s_advantages_have_the_exact_gradient_whatever_the_values_are(learned):
    """Over all outcomes, with the whole trace: minus beta times that of the reverse KL."""
    problem = toy_problem(AlignConfig(objective="ppo", **SMALL))
    policy = toy_state(problem, toy_policy(seed=1)).policy
    every = listing(problem)
    reverse = (every.log_policy(policy).exp() * (every.log_policy(policy) - every.log_target)).sum()
    expected = torch.autograd.grad(0.3 * reverse, list(policy.model.parameters()))
    logps = completion_token_logps(policy.model, every.rollouts)
    rollouts = replace(every.rollouts, token_logps=logps.detach())
    scored = score(problem, rollouts, [])
    head = ValueHead.of(policy.model, 0.0, seed=3)
    if learned:
        torch.nn.init.normal_(head.outer.weight)
    values = completion_values(policy.model, head, rollouts)
    gains = generalised(token_rewards(problem.config, scored), values, rollouts.mask, 1.0, 1.0)
    chances = logps.detach().sum(1, keepdim=True).exp()
    found = torch.autograd.grad(-(chances * gains * logps).sum(), list(policy.model.parameters()))
    assert max(one.abs().max() for one in found) > 1e-3
    close(found, expected)


def test_the_kl_of_ppo_is_spread_over_tokens_or_left_to_the_loss():
    problem, _, drawn = toy("ppo")
    scored, last = drawn.scored, drawn.scored.rollouts.lengths - 1
    rows = torch.arange(8)
    with_kl = token_rewards(problem.config, scored)
    without = token_rewards(AlignConfig(objective="ppo", kl_in="loss", beta=0.3), scored)
    torch.testing.assert_close(without[rows, last], scored.rewards)
    assert without.count_nonzero() == 8
    kls = scored.rollouts.token_logps - scored.reference_token_logps
    torch.testing.assert_close(without - with_kl, 0.3 * kls)


def test_a_kl_in_the_loss_pulls_back_to_the_reference():
    problem, state, drawn = toy("grpo", kl_in="loss")
    *_, metrics = worths(problem, state, drawn)
    assert metrics["kl/k3"] > 0
    near = toy_state(problem)  # a copy of the reference
    same = draw(problem, near, [0, 1], Term())
    rated = OBJECTIVES["grpo"](problem, near, same)
    (batch,) = batches(state.policy.model, same.scored.rollouts)
    assert rated.loss(forward(near, batch, 1.0, *fresh(same, batch))).metrics["kl/k3"] < 1e-20


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_the_value_moves_the_policy_by_its_weight_alone(weight):
    state = toy_state(toy_problem(AlignConfig(objective="ppo", value_weight=weight, **SMALL)))
    torch.nn.init.normal_(state.value_head.outer.weight)
    _, _, drawn = toy("rloo")
    (batch,) = batches(state.policy.model, drawn.scored.rollouts)
    values = forward(state, batch, 1.0, *fresh(drawn, batch)).values
    values.sum().backward()
    trunk = [weight.grad for weight in state.policy.model.parameters()]
    moved = sum(0 if grad is None else grad.abs().sum() for grad in trunk)
    assert bool(moved > 0) == (weight > 0)
    assert state.value_head.inner.weight.grad.abs().sum() > 0
    before = completion_values(state.policy.model, state.value_head, drawn.scored.rollouts)
    torch.testing.assert_close(before[batch.rows], values)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_small_forwards_add_up_to_the_gradient_of_a_large_one(objective, monkeypatch):
    problem, state, drawn = toy(objective)
    expected = gradient(problem, state, drawn)
    monkeypatch.setattr("alignment.sampling.scoring.budget", lambda device: 3)
    assert len(list(shared_batches(state.policy.model, drawn.scored.rollouts))) > 3
    close(gradient(problem, state, drawn), expected)


CONFLICTS = [
    ({"objective": "ppo", "estimator": "surrogate"}, "ppo does not read “Estimator”, fdpg does"),
    ({"objective": "rloo", "divergence": "forward_kl"}, "rloo does not read “Divergence”"),
    ({"kl_in": "loss"}, "grpo and ppo do; leave it at reward"),
    ({"objective": "rloo", "must_contain": "sun"}, "soften the constraint, or take fdpg"),
    ({"objective": "grpo", "inference_weight": 1.0}, "Weight of the deployed model"),
]


@pytest.mark.parametrize(("changed", "message"), CONFLICTS)
def test_settings_that_the_objective_does_not_read_are_refused_if_changed(changed, message):
    with pytest.raises(ValidationError, match=message):
        AlignConfig(**changed)


def test_a_softened_constraint_and_a_wished_mean_go_with_every_objective():
    for objective in OBJECTIVES:
        AlignConfig(objective=objective, must_contain="sun", soften=0.1, length_mean=3)


def test_what_the_others_minimise_is_reverse_kl():
    assert AlignConfig(objective="ppo").minimised == "reverse_kl"
    assert AlignConfig().minimised == "jensen_shannon"


DRAWN = {  # what is asked of ours, and of TRL's trainer
    "asymmetric clip": ({"clip_above": 0.4}, {"loss_type": "grpo", "epsilon_high": 0.4}),
    "over all tokens": ({"averaged": "tokens"}, {"loss_type": "bnpo"}),
    "without those that were cut": (
        {"averaged": "tokens", "leave_cut_out": True, "clip_above": 0.3},
        {"loss_type": "bnpo", "epsilon_high": 0.3},
    ),
    "without those that were cut, by completion": ({"leave_cut_out": True}, {"loss_type": "grpo"}),
    "with its entropy": (
        {"entropy_weight": 0.3, "leave_cut_out": True},
        {"loss_type": "grpo", "entropy_coef": 0.3},
    ),
    "with the kl in the loss": ({"kl_in": "loss"}, {"loss_type": "grpo"}),
}


@pytest.fixture(scope="module")
def trl_loss(tmp_path_factory):
    """TRL's own loss of a policy's completions, whose sampler was another."""

    def found(settings, policy, drawn, weights):
        args = GRPOConfig(
            str(tmp_path_factory.mktemp("trl")), report_to=[], use_cpu=True, bf16=False,
            per_device_train_batch_size=8, num_generations=4, max_completion_length=3,
            gradient_checkpointing=False, disable_dropout=True, beta=0.0, use_bias_correction_kl=False, **settings,
        )  # fmt: skip
        trainer = GRPOTrainer(
            policy.model,
            reward_funcs=lambda completions, **_: [0.0] * len(completions),
            args=args,
            train_dataset=Dataset.from_dict({"prompt": ["a b"] * 8}),
            processing_class=policy.tokenizer,
        )
        rollouts = drawn.scored.rollouts
        mask = rollouts.mask.long()
        prompts = torch.tensor(rollouts.prompts)
        return trainer, {
            "prompt_ids": prompts, "prompt_mask": torch.ones_like(prompts),
            "completion_ids": rollouts.tokens, "completion_mask": mask,
            "advantages": weights, "old_per_token_logps": rollouts.token_logps,
            "ref_per_token_logps": drawn.scored.reference_token_logps,
            "num_items_in_batch": mask.sum(),
        }  # fmt: skip

    return found


@pytest.mark.parametrize("name", DRAWN)
def test_the_loss_of_grpo_is_trl_s(trl_loss, name):
    ours, theirs = DRAWN[name]
    problem, state, drawn = toy("grpo", ("a b", "b a"), **ours)
    drawn = replace(drawn, fresh=0)
    with torch.no_grad():  # the policy has moved since
        for weight in state.policy.model.parameters():
            weight.add_(0.05 * weight.sin())
    kl = problem.config.kl_in == "loss"
    rewards = drawn.scored.rewards.double() if kl else 0.3 * drawn.scored.log_weights
    weights = group_normalised(rewards.view(2, 4), scale=True)
    trainer, batch = trl_loss(theirs, state.policy, drawn, weights)
    if problem.config.leave_cut_out:
        cut = drawn.scored.rollouts.truncated[:, None]
        assert 0 < cut.sum() < len(cut)
        batch["completion_mask"] = batch["completion_mask"] * ~cut
    trainer.beta = 0.3 * kl
    expected = trainer._compute_loss(trainer.model.eval(), batch)
    found = backward(state, Lesson(drawn, OBJECTIVES["grpo"](problem, state, drawn))).loss
    torch.testing.assert_close(found.double(), expected.double(), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("objective", ["rloo", "grpo", "ppo"])
def test_the_entropy_counts_while_it_is_low_alone(objective):
    plain = gradient(*toy(objective))
    close(gradient(*toy(objective, entropy_weight=1, least_entropy=1e-3)), plain)
    wide = gradient(*toy(objective, entropy_weight=1))
    assert any(not torch.equal(one, other) for one, other in zip(wide, plain, strict=True))


@pytest.mark.parametrize("objective", ["rloo", "grpo", "ppo"])
def test_what_was_cut_is_left_out_where_that_is_asked(objective):
    problem, state, drawn = toy(objective, leave_cut_out=True)
    found, batch, _ = worths(problem, state, drawn)
    cut = drawn.scored.rollouts.truncated[batch.rows]
    assert 0 < cut.sum() < len(cut)
    assert (found[cut] == 0).all()
    assert (found[~cut] != 0).any()
