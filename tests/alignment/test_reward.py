import json
import math
import shutil
from itertools import product

import pytest
import torch

from alignment.models.policies import Policy
from alignment.models.stepping import check_finite
from alignment.reward import RewardModel, divided
from alignment.reward.fitting import DAMAGED
from alignment.sampling.sampling import sample
from alignment.seam.errors import DataError, DivergedError
from alignment.seam.folders import committed
from alignment.seam.records import Message
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair, run


@pytest.fixture(scope="module")
def pairs():
    """The rule: an answer with "good" is better than one with "bad"."""
    words = ["day", "night", "sun", "rain", "a", "b"]
    prompts = [" ".join(pick) for pick in product(words, repeat=2)]
    return [
        a_pair(prompt, f"{word} good", f"{word} bad {word}")
        for prompt, word in product(prompts, words[:3])
    ]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("reward")
    return run(folder, pairs), folder / "output"


@pytest.fixture(scope="module")
def model(trained):
    return RewardModel.load(trained[1])


def test_a_rule_is_learned_from_pairs(trained):
    summary = trained[0][-1].summary
    assert summary["accuracy"]["value"] > 0.9
    assert summary["nll"]["value"] < 0.4


def test_the_interval_is_over_held_out_prompts(trained):
    summary = trained[0][-1].summary
    assert summary["accuracy"]["n"] == summary["prompts_heldout"] < summary["pairs_heldout"]
    assert summary["pairs_train"] + summary["pairs_heldout"] == 108


def test_random_labels_are_not_learned(tmp_path, pairs):
    coin = torch.Generator().manual_seed(0)
    random = [
        p if torch.rand(1, generator=coin) < 0.5 else a_pair(p.prompt.text, p.rejected, p.chosen)
        for p in pairs
    ]
    accuracy = run(tmp_path, random, epochs=2)[-1].summary["accuracy"]
    assert accuracy["low"] < 0.5 < accuracy["high"]


def test_no_prompt_is_both_fitted_and_held_out(pairs):
    fitted, held = divided(pairs, 0.3)
    assert {p.prompt.key for p in fitted}.isdisjoint({p.prompt.key for p in held})
    assert len(fitted) + len(held) == len(pairs)


def test_a_prompt_stays_held_out_when_labels_are_added(pairs):
    few, many = divided(pairs[:50], 0.3)[1], divided(pairs, 0.3)[1]
    assert {p.prompt.key for p in few} <= {p.prompt.key for p in many}


def test_rewards_are_centred_and_scaled_on_the_training_completions(model, pairs):
    fitted, _ = divided(pairs, 0.3)
    texts = [text for p in fitted for text in (p.chosen, p.rejected)]
    scores = model.score_texts([p.prompt.messages for p in fitted for _ in range(2)], texts)
    assert scores.mean().item() == pytest.approx(0, abs=1e-4)
    assert scores.std().item() == pytest.approx(1, abs=1e-4)


def test_a_rollout_scores_as_its_text_does(model, policy, generator):
    prompt = [Message(role="user", content="sun day")]
    ids = [policy.prompt_ids(prompt)]
    rollouts = sample(policy, ids, completions=32, max_new_tokens=6, generator=generator)
    texts = [policy.text(row) for row in rollouts.completion_ids()]
    expected = model.score_texts([prompt] * 32, texts)
    assert set(rollouts.truncated.tolist()) == {True, False}
    torch.testing.assert_close(model.score(policy, rollouts), expected, atol=1e-5, rtol=0)


def test_another_tokenizer_is_scored_through_text(model, policy, generator):
    other = Policy(policy.model, tiny_policy().tokenizer)
    other.tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
    ids = [other.prompt_ids([Message(role="user", content="sun day")])]
    rollouts = sample(other, ids, completions=4, max_new_tokens=6, generator=generator)
    texts = [other.text(row) for row in rollouts.completion_ids()]
    expected = model.score_texts([[Message(role="user", content="sun day")]] * 4, texts)
    torch.testing.assert_close(model.score(other, rollouts), expected)


def test_a_score_does_not_depend_on_its_batch(model):
    prompts = [[Message(role="user", content="sun")]] * 3
    texts = ["good", "bad day night", "a b a b a b good"]
    alone = torch.cat([model.score_texts(prompts[:1], [text]) for text in texts])
    torch.testing.assert_close(model.score_texts(prompts, texts), alone, atol=1e-5, rtol=0)


def test_labels_of_long_texts_are_dropped_and_counted(tmp_path):
    long = [a_pair(f"{'sun ' * 40}{word} {word}", "good " * 60, "bad " * 60) for word in "ab"]
    short = [
        a_pair(f"{a} {b}", "good", "bad") for a, b in product(["sun", "day", "rain"], repeat=2)
    ]
    first, *_, last = run(tmp_path, short + long, epochs=1)
    assert first.sentence.startswith(
        "labels: 11 read, 2 dropped, as too long for a context of 32 tokens"
    )
    counts = {"read": 11, "cut": 0, "dropped": 2}
    assert counts.items() <= last.summary["rows"][0].items()
    assert last.summary["pairs_train"] + last.summary["pairs_heldout"] == 9


def test_a_long_prompt_keeps_its_end_and_a_long_completion_its_start(model):
    ids, cut = model.join(list(range(100)), list(range(200, 260)))
    assert cut
    assert len(ids) == 32
    assert ids[:8] == list(range(92, 100))
    assert ids[8:] == list(range(200, 224))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (slice(0, 7), "at least 8"),
        ([0] * 9, "same completions"),
    ],
)
def test_too_little_to_learn_from_is_refused(tmp_path, pairs, chosen, message):
    some = pairs[chosen] if isinstance(chosen, slice) else [pairs[i] for i in chosen]
    with pytest.raises(DataError, match=message):
        run(tmp_path, some)


def test_pairs_about_one_prompt_cannot_be_held_out(tmp_path):
    with pytest.raises(DataError, match="one prompt"):
        run(tmp_path, [a_pair("sun", "good", "bad " * n) for n in range(1, 10)])


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_both_sides_of_few_prompts_have_one(share):
    pairs = [a_pair(word, "good", "bad") for word in ("sun", "rain", "day")]
    fitted, held = divided(pairs, share)
    assert fitted
    assert held
    assert len(fitted) + len(held) == 3


def test_pairs_of_equal_texts_say_nothing(tmp_path):
    with pytest.raises(DataError, match="0 labels"):
        run(tmp_path, [a_pair(word, "good", "good ") for word in ("sun", "rain")] * 10)


def test_a_damaged_backbone_is_told_from_too_fast_a_learner(tmp_path, pairs):
    policy = tiny_policy()
    policy.model.transformer.wte.weight.data[6] = torch.nan
    with committed(
        tmp_path / "damaged"
    ) as folder:  # by a run of ours: a loader would not look again
        policy.save(folder)
    with pytest.raises(DivergedError, match="backbone itself gives no finite scores"):
        run(tmp_path, pairs, backbone=tmp_path / "damaged")
    with pytest.raises(DivergedError, match="lower learning rate"):
        check_finite(2, math.inf, damaged=DAMAGED)
    assert not (tmp_path / "output").exists()


def test_a_model_stored_with_less_still_scores_alike(trained, model, tmp_path):
    folder = tmp_path / "older"
    shutil.copytree(trained[1], folder)
    older = {"center": model.center[0], "scale": model.scale}
    (folder / "reward.json").write_text(json.dumps(older))
    scores = [each.score_ids([[5, 6, 7]]) for each in (RewardModel.load(folder), model)]
    assert torch.equal(*scores)
