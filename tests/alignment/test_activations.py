"""What linear layers gave while completions were drawn: learning from it is learning as ever, without multiplying again."""

import pytest
import torch

from alignment.kinds.align.settings import AlignConfig
from alignment.models.lora import adapted
from alignment.objectives.problem import prepare
from alignment.objectives.samples import Term, draw
from alignment.objectives.steps import backward, kept_of, lessons_of
from alignment.objectives.toy import toy_policy, toy_problem, toy_state
from alignment.sampling import activations, scoring
from alignment.sampling.sampling import sample, sample_to_learn
from tests.alignment.conftest import tiny_tokenizer
from tests.architectures import policy_of

PROMPTS = [[2, 6, 7, 8, 9, 10, 11, 12, 3], [3, 6], [6], [6, 7, 8]]
SMALL = {"max_new_tokens": 3, "completions_per_prompt": 4, "beta": 0.3}
BIASES = {"attention_bias": True, "mlp_bias": True}


def made(name, lora=0, **settings):
    """A policy, where asked for with an adapter that adds something."""
    policy = policy_of(name, tiny_tokenizer(), **settings)
    if lora:
        policy, _ = adapted(policy, lora, seed=3)
        generator = torch.Generator().manual_seed(1)
        for weight_name, weight in policy.model.named_parameters():
            if "lora_B" in weight_name:
                weight.data.normal_(std=0.3, generator=generator)
    return policy


def drawn(policy, how=sample_to_learn, completions=6):
    generator = torch.Generator().manual_seed(5)
    return how(policy, PROMPTS, completions=completions, max_new_tokens=7, generator=generator)


def learned(policy, rollouts, kept=None):
    """Log-probabilities, and the gradient of their weighted sum, in several batches."""
    policy.model.zero_grad()
    weights = torch.linspace(-1, 2, len(rollouts.prompts))
    logps = torch.zeros_like(rollouts.token_logps)
    for batch in scoring.shared_batches(policy.model, rollouts, kept):
        part = scoring.token_logps(scoring.completion_logits(policy.model, batch), batch)
        logps[batch.rows, : part.shape[1]] = part.detach()
        (weights[batch.rows] * part.sum(1)).sum().backward()
    parameters = policy.model.named_parameters()
    return {"": logps} | {name: w.grad.clone() for name, w in parameters if w.requires_grad}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("gpt2", {}),
        ("gpt2", {"lora": 2}),
        ("llama", BIASES),
        ("llama", {"lora": 2}),
        ("mistral", {}),
        ("qwen3", {}),
    ],
)
def test_what_was_kept_teaches_what_a_forward_would(name, settings, monkeypatch):
    monkeypatch.setattr(scoring, "budget", lambda device: 24)
    policy = made(name, **settings)
    rollouts = drawn(policy)
    assert len(set(rollouts.lengths.tolist())) > 2  # rows left while others went on
    assert torch.equal(rollouts.tokens, drawn(policy, sample).tokens)
    expected = learned(policy, rollouts)
    found = learned(policy, rollouts, rollouts.kept)
    assert found.keys() == expected.keys()
    for weight, gradient in expected.items():
        torch.testing.assert_close(found[weight], gradient, atol=1e-4, rtol=1e-4)


def test_layers_are_looked_up_and_not_asked():
    policy = made("llama")
    rollouts = drawn(policy)
    expected = learned(policy, rollouts, rollouts.kept)
    for table in rollouts.kept._tables:
        table.zero_()
    found = learned(policy, rollouts, rollouts.kept)
    assert not torch.allclose(found[""], expected[""], atol=1e-2)


def test_they_hold_until_a_weight_changes_or_they_are_forgotten():
    policy = made("llama")
    changed, forgotten = drawn(policy).kept, drawn(policy).kept
    assert changed.hold
    forgotten.forget()
    assert not forgotten.hold
    with torch.no_grad():
        policy.model.model.norm.weight.add_(0.0)
    assert not changed.hold


def by_transformers(policy):
    policy.model.model.layers[0].mlp.register_forward_hook(lambda *_: None)


@pytest.mark.parametrize(
    ("draw", "change", "completions"),
    [(sample, None, 6), (sample_to_learn, by_transformers, 6), (sample_to_learn, None, 1)],
)
def test_nothing_is_kept_where_nobody_learns_or_ours_does_not_read(draw, change, completions):
    policy = made("llama")
    if change:
        change(policy)
    assert drawn(policy, draw, completions).kept is None


def test_nothing_is_kept_that_is_too_large(monkeypatch):
    policy = made("llama")
    kept = drawn(policy).kept
    size = sum(table.nbytes for table in kept._tables)
    monkeypatch.setattr(activations, "KEPT", size)
    assert drawn(policy).kept is not None
    monkeypatch.setattr(activations, "KEPT", size - 1)
    assert drawn(policy).kept is None


def step_of(**settings):
    """A problem, a policy that is not its reference, and completions of it."""
    problem = toy_problem(AlignConfig(**SMALL, **settings))
    state = toy_state(problem, toy_policy(seed=1))
    prepare(problem, state)
    return problem, state, draw(problem, state, [0, 1], Term())


def moved(problem, state, lesson):
    """The gradient of an update."""
    state.policy.model.zero_grad()
    backward(state, lesson)
    return [weight.grad.clone() for weight in state.policy.model.parameters()]


def test_a_step_learns_from_what_it_kept_and_forgets_it():
    problem, state, drawn = step_of()
    assert kept_of(drawn) is drawn.scored.rollouts.kept is not None
    (lesson,) = lessons_of(problem, state, [0, 1], [drawn])
    found = moved(problem, state, lesson)
    assert kept_of(drawn) is None
    expected = moved(problem, state, lesson)
    for pair in zip(found, expected, strict=True):
        torch.testing.assert_close(*pair, atol=1e-10, rtol=1e-10)


def test_a_step_that_learns_from_earlier_ones_too_keeps_nothing():
    *_, drawn = step_of(replay_share=0.5, replay_steps=2, estimator="score")
    assert drawn.scored.rollouts.kept is None
