"""Ensembles: several heads on one backbone, their mean, their disagreement and the caution it calls for."""

from itertools import permutations, product

import pytest
import torch
from pydantic import ValidationError

from alignment.kinds.reward.settings import RewardConfig
from alignment.models.training import backward
from alignment.reward import RewardModel
from alignment.reward.examples import Example, examples_of
from alignment.reward.fitting import RewardTrainee, glance, in_parts, label_step, leads, resampled
from alignment.reward.labels import divided
from alignment.reward.model import cautious
from alignment.reward.observation import Observation
from alignment.seam.records import RankingRecord, ThumbRecord
from tests.alignment.conftest import WORDS, tiny_policy
from tests.alignment.rewarding import a_pair, a_prompt, run


@pytest.fixture(scope="module")
def pairs():
    """The earlier word is better."""
    prompts = [" ".join(both) for both in product(WORDS[:5], repeat=2)]
    both = [pair for pair in permutations(WORDS[:5], 2) if pair[0] < pair[1]]
    return [a_pair(prompt, *pair) for prompt in prompts for pair in both[:6]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, pairs):
    folder = tmp_path_factory.mktemp("heads")
    settings = {"heads": 5, "caution": 1.5, "epochs": 3}
    return run(folder, pairs, **settings)[-1].summary, folder / "output"


@pytest.fixture(scope="module")
def model(trained):
    return RewardModel.load(trained[1])


def sequences(model, words):
    return [model.read(a_prompt("sun day").messages, word)[0] for word in words]


def test_caution_takes_off_what_heads_differ_by():
    heads = torch.tensor([[1.0, 3.0], [2.0, 2.0]])
    assert cautious(heads, 0.0).tolist() == [2.0, 2.0]
    assert cautious(heads, 1.5).tolist() == [0.5, 2.0]


def test_a_stored_ensemble_scores_with_its_caution(model):
    read = sequences(model, WORDS)
    heads = model.heads_of(read)
    assert heads.shape == (10, 5)
    expected = heads.mean(1) - 1.5 * (heads - heads.mean(1, keepdim=True)).square().mean(1).sqrt()
    torch.testing.assert_close(model.score_ids(read), expected)


def test_each_head_is_centred_and_their_mean_scaled(model, pairs):
    fitted, _ = divided(pairs, 0.3)
    read = [ids for example in examples_of(model, fitted) for ids in example.texts]
    heads = model.heads_of(read)
    torch.testing.assert_close(heads.mean(0), torch.zeros(5), atol=1e-4, rtol=0)
    assert heads.mean(1).std().item() == pytest.approx(1, abs=1e-4)


def test_an_ensemble_learns_and_reports_its_disagreement(trained):
    summary, _ = trained
    assert summary["accuracy"]["value"] > 0.9
    assert summary["disagreement"]["low"] > 0
    assert summary["disagreement"]["n"] == summary["prompts_heldout"]


def test_each_head_has_its_own_weights_of_prompts(model, pairs):
    examples = examples_of(model, pairs)
    weights = resampled(examples, 400)
    same = [
        row for row, example in enumerate(examples) if example.prompt_key == examples[0].prompt_key
    ]
    assert weights[same].std(0).max() == 0  # a prompt's labels are drawn together
    assert weights.mean().item() == pytest.approx(1, abs=0.05)
    assert weights.std().item() == pytest.approx(1, abs=0.05)
    assert (resampled(examples, 1) == 1).all()


def test_several_heads_start_from_different_weights_and_one_from_zero(policy_folder):
    several = RewardModel.fresh(policy_folder, heads=3).head.weight
    assert RewardModel.fresh(policy_folder).head.weight.abs().max() == 0
    assert several.std(0).min() > 0


def test_one_head_cannot_be_cautious():
    with pytest.raises(ValidationError, match="one head cannot disagree"):
        RewardConfig(caution=1.0)


def test_a_ranking_s_metrics_are_of_its_best_and_its_worst():
    prompt = a_pair("sun", "good", "bad").prompt
    ranking = RankingRecord(prompt=prompt, completions=("b", "c", "a"), ranks=(1, 2, 0))
    thumb = ThumbRecord(prompt=prompt, completion="d", good=True)
    examples = [Example(thumb, ([6],)), Example(ranking, ([3], [4], [5]))]
    assert leads(torch.tensor([[5.0], [0.0], [9.0], [2.0]]), examples).tolist() == [-7]
    assert leads(torch.tensor([[5.0]]), examples[:1]).tolist() == []


def test_a_look_is_at_the_heads_mean(model, pairs):
    """Their own losses say nothing of the reward, which is that of no head."""
    observation = Observation(RewardConfig(heads=5, ties="drop"), pairs[:6])
    examples = examples_of(model, pairs[:6])
    told = glance(RewardTrainee(model, observation), examples)()
    margins = leads(model.raw([ids for one in examples for ids in one.texts]).detach(), examples)
    assert told["heldout/loss"] == pytest.approx(margins.neg().exp().log1p().mean().item())
    assert told["heldout/accuracy"] == (margins > 0).float().mean().item()


def test_a_loss_in_parts_has_the_same_gradient_and_metrics(tmp_path, pairs, monkeypatch):
    tiny_policy().save(tmp_path)
    torch.manual_seed(0)
    model = RewardModel.fresh(tmp_path, heads=3)
    config = RewardConfig(heads=3, annotators="reliability")
    labels = [pair.model_copy(update={"annotator": f"a{n % 2}"}) for n, pair in enumerate(pairs)]
    observation = Observation(config, labels)
    examples = examples_of(model, labels[:9])
    one = RewardTrainee(model, observation)
    step = label_step(one, examples, torch.rand(9, 3))

    def taken():
        one.model.zero_grad()
        found = backward(step(range(9)))
        weights = one.model.parameters()
        return found, [weight.grad.clone() for weight in weights if weight.grad is not None]

    monkeypatch.setattr("alignment.reward.fitting.TOKENS", 10**6)
    assert len(list(in_parts(model, examples))) == 1
    whole, expected = taken()
    monkeypatch.setattr("alignment.reward.fitting.TOKENS", 24)
    assert len(list(in_parts(model, examples))) > 2
    parts, found = taken()
    assert parts == pytest.approx(whole, rel=1e-5)
    assert whole.keys() == {"loss", "preference/accuracy", "preference/nll"}
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
