"""Sequences that begin alike, read as one row: as each of them is read by itself, at fewer tokens."""

import pytest
import torch

from alignment.models.policies import Policy
from alignment.reward.forks import Fork, forked_batches, forked_states, forks_of, reads_forks
from alignment.reward.model import RewardModel
from tests.alignment.conftest import tiny_policy, tiny_tokenizer
from tests.architectures import model_of

PROMPT = [5, 6, 7, 8, 9, 10, 11, 12]
SEQUENCES = [
    [*PROMPT, 13],
    [5, 6],
    [*PROMPT, 14, 15, 9],
    [9, 9, 9, 9, 9, 9, 9, 9, 9],
    [*PROMPT, 14, 15, 8, 8],
    PROMPT,
]


def test_those_that_begin_alike_come_together_and_each_keeps_a_token():
    forks = forks_of(SEQUENCES, 64)
    assert sorted(row for fork in forks for row in fork.rows) == list(range(6))
    (large,) = [fork for fork in forks if len(fork.rows) > 2]
    assert set(large.rows) == {0, 2, 4, 5}
    assert large.shared == 7  # the prompt alone is one of them
    assert large.size == 7 + 2 + 4 + 5 + 1
    assert [1] in [
        fork.rows for fork in forks
    ]  # it shares a token, and would keep the others from sharing more
    assert forks_of([[1, 2, 3]] * 3, 64) == [Fork([0, 1, 2], 2, 5)]


def test_no_fork_of_two_is_longer_than_it_may_be():
    assert all(len(fork.rows) == 1 or fork.size <= 12 for fork in forks_of(SEQUENCES, 12))


def test_where_nothing_is_shared_rows_stay_plain():
    assert forked_batches([[5, 6, 7], [6, 7], [8]], 64, 64) is None
    assert forked_batches(SEQUENCES[::2], 64, 64) is not None


@pytest.fixture(scope="module")
def models():
    """GPT-2 as a reward model that shares, and one that does not."""
    policy = tiny_policy()
    trunk = Policy(policy.model.transformer.eval(), policy.tokenizer)
    head = torch.nn.Linear(16, 2, bias=False)
    return [RewardModel(trunk, head, center=(0.0, 0.0), forks=forks) for forks in (True, False)]


def test_scores_and_gradients_are_those_of_whole_sequences(models):
    found = []
    for model in models:
        for weight in model.parameters():
            weight.grad = None
        scores = model.raw(SEQUENCES)
        scores.square().sum().backward()
        grads = [weight.grad.clone() for weight in model.parameters()]
        found.append((scores.detach(), grads))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(models[0].features(SEQUENCES), models[1].features(SEQUENCES))
    assert models[0].tokens_of(SEQUENCES) < models[1].tokens_of(SEQUENCES)


READ = ("gpt2", "llama", "qwen2", "qwen3", "gemma")
NOT_READ = ("mistral", "gpt_neo", "bloom", "mamba")  # windows, slopes by distance, states


@pytest.mark.parametrize("name", [*READ, *NOT_READ])
def test_what_is_tried_says_which_architectures_read_forks(name):
    model = model_of(name, 32)
    trunk = Policy(model.base_model.eval(), tiny_tokenizer())
    assert reads_forks(trunk) == (name in READ)
    if name in READ:
        (group,) = forked_batches(SEQUENCES[::2], 64, 64)
        states = forked_states(trunk, SEQUENCES[::2], group)
        for row, state in zip([row for fork in group for row in fork.rows], states, strict=True):
            ids = torch.tensor([SEQUENCES[::2][row]])
            alone = trunk.model(input_ids=ids).last_hidden_state[0, -1]
            torch.testing.assert_close(state, alone, atol=1e-4, rtol=1e-4)
