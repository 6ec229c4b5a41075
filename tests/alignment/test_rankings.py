"""Rankings as they are: their loss, and a run that learns from them."""

from itertools import product

import pytest
import torch

from alignment.kinds.prefer.run import losses
from alignment.kinds.prefer.settings import PreferConfig
from alignment.kinds.settings.divergences import OFFLINE
from alignment.kinds.spec import RunSpec
from alignment.models.training import backward, scored
from alignment.objectives.pairs import pairs_of, sides_of
from alignment.objectives.rankings import ranking_losses, ranking_step, rankings_of
from alignment.seam.errors import ConfigError
from alignment.seam.records import RankingRecord, write_jsonl
from alignment.trainer import runner
from tests.alignment.conftest import tiny_policy
from tests.alignment.rewarding import a_pair, a_prompt

WORDS = ["day", "night", "sun", "rain"]
RANKED = [
    RankingRecord(
        prompt=a_prompt(" ".join(pick)), completions=("bad", "good good", "good"), ranks=(2, 0, 1)
    )
    for pick in product(WORDS, repeat=2)
]
LISTWISE = {"loss": "plackett_luce"}


@pytest.mark.parametrize("divergence", OFFLINE)
def test_of_two_answers_the_loss_is_f_dpo_s(policy, divergence):
    other, some = (
        tiny_policy(seed=3),
        [a_pair("sun", "day good", "bad"), a_pair("rain", "a", "b a")],
    )
    config = PreferConfig(**LISTWISE, divergence=divergence, beta=0.7, per_token=True)
    found, _ = ranking_losses(other, rankings_of(policy, some), config)
    plain = PreferConfig(divergence=divergence, beta=0.7, per_token=True)
    expected = losses(sides_of(other, pairs_of(policy, some)), torch.zeros(()), plain)
    torch.testing.assert_close(found, expected.detach())


def test_a_ranking_s_loss_by_hand(policy):
    """Answers chosen one after another among those that are left; equal ranks are no rivals."""
    other, config = tiny_policy(seed=3), PreferConfig(**LISTWISE, beta=0.5)
    told = RankingRecord(
        prompt=a_prompt("sun"), completions=("day", "good", "bad a", "b"), ranks=(1, 0, 1, 2)
    )
    (one,) = rankings_of(policy, [told])
    assert one.ranks == (0, 1, 1, 2)
    r = 0.5 * (scored(other, one.rows) - scored(policy, one.rows))
    left = [r[[0, 1, 2, 3]], r[[1, 3]], r[[2, 3]]]
    expected = sum(rest.logsumexp(0) - rest[0] for rest in left)
    found, right = ranking_losses(other, [one], config)
    torch.testing.assert_close(found, expected[None])
    assert right.tolist() == [pytest.approx((r[0] > r[1:]).double().mean().item())]


def test_in_parts_the_loss_is_the_same_and_of_the_best_too(policy, monkeypatch):
    other, config = tiny_policy(seed=3), PreferConfig(**LISTWISE, sft_weight=0.4)
    some = rankings_of(policy, [RANKED[0], a_pair("rain", "a day", "b"), RANKED[5]])
    step = ranking_step(other, policy, some, config)
    other.model.requires_grad_(True)
    whole = backward(step([0, 1, 2]))
    monkeypatch.setattr("alignment.models.training.budget", lambda device: 12)
    assert len(list(step([0, 1, 2]))) == 3
    assert backward(step([0, 1, 2])) == pytest.approx(whole, rel=1e-5)
    best = [one.chosen for one in some]
    nll = -scored(other, best).sum() / sum(len(row.completion) for row in best)
    expected = ranking_losses(other, some, config)[0].mean() + 0.4 * nll
    assert whole["loss"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("role", ["rankings", "pairs"])
def test_rankings_teach_the_policy_and_pairs_of_one_are_one_again(policy_folder, tmp_path, role):
    rows = RANKED
    if role == "pairs":  # as a snapshot of an earlier kind has them
        ends = [("good good", "good"), ("good good", "bad"), ("good", "bad")]
        rows = [a_pair(r.prompt.text, *end, group="one") for r in RANKED for end in ends]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    inputs = dict.fromkeys(("policy", "reference"), str(policy_folder)) | {role: "rows.jsonl"}
    config = {"batch": 8, "held_out": 0.3, "learning_rate": 1e-2, "epochs": 6, "evaluate_every": 3}
    spec = RunSpec(kind="prefer", run=1, epoch=1, config=config | LISTWISE, inputs=inputs)
    events = list(runner("prefer")(spec, tmp_path))
    summary = events[-1].summary
    assert summary["accuracy"]["value"] > 0.9
    assert summary["rankings_train"] + summary["rankings_heldout"] == len(RANKED)
    assert any("heldout/loss" in e.metrics for e in events if e.type == "step")
    if role == "rankings":
        with pytest.raises(ConfigError, match="Plackett and Luce's loss alone"):
            list(runner("prefer")(spec.model_copy(update={"config": config}), tmp_path))
