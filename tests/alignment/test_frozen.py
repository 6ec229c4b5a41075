"""Heads on a backbone that stays as it is."""

import json
from itertools import product

import pytest
import torch
from safetensors.torch import load_file

from alignment.reward import RewardModel
from alignment.reward.features import FeatureTable
from alignment.reward.frozen import FrozenModel, unfolded
from alignment.seam.events import StepDone
from tests.alignment.rewarding import a_pair, run

WORDS = ["day", "night", "sun", "rain"]
PAIRS = [
    a_pair(" ".join(pick), f"{word} good", f"{word} bad {word}")
    for pick, word in product(product(WORDS, repeat=2), WORDS[:3])
]
SETTINGS = {"trunk": "frozen", "heads": 3, "epochs": 20, "folds": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    return run(folder, PAIRS, **SETTINGS), folder


@pytest.fixture
def model(saved_policy):
    """Heads that say something, on a table of a few sequences."""
    table = FeatureTable(RewardModel.fresh(saved_policy))
    torch.manual_seed(3)
    return FrozenModel.on(table, 3, [[5, 6, 7], [8, 9], [10]])


def test_heads_learn_a_rule_and_the_backbone_stays(made):
    events, folder = made
    assert events[-1].summary["accuracy"]["value"] > 0.9
    assert events[-1].summary["accuracy_crossvalidated"]["value"] > 0.9
    before, after = (
        load_file(folder / name / "model.safetensors") for name in ("backbone", "output")
    )
    for name, weight in after.items():
        assert torch.equal(weight, before[f"transformer.{name}"]), name


def test_each_text_is_read_once_whatever_is_fitted(tmp_path, monkeypatch):
    seen, plain = [], RewardModel.features

    def noting(self, sequences):
        seen.extend(map(tuple, sequences))
        return plain(self, sequences)

    monkeypatch.setattr(RewardModel, "features", noting)
    run(tmp_path, PAIRS, **SETTINGS | {"epochs": 1})
    assert len(seen) == len(set(seen)) == 2 * len(PAIRS)


def test_what_is_stored_gives_the_reward_that_was_measured(made):
    """Its unit and zero are those of the labelled completions, by features as the backbone gives them."""
    events, folder = made
    stored = RewardModel.load(folder / "output")
    assert not isinstance(stored, FrozenModel)
    assert json.loads((folder / "output" / "reward.json").read_text())["scale"] == stored.scale
    texts = [
        (pair.prompt.messages, text) for pair in PAIRS for text in (pair.chosen, pair.rejected)
    ]
    scores = stored.score_texts(*zip(*texts, strict=True)).view(-1, 2)
    assert (scores[:, 0] > scores[:, 1]).double().mean() > 0.9
    assert scores.mean().item() == pytest.approx(0, abs=0.2)
    assert scores.std().item() == pytest.approx(1, abs=0.2)
    assert events[-1].summary["center"] == pytest.approx(sum(stored.center) / 3)


def test_an_unfolded_model_scores_alike(model):
    sequences = [[5, 6, 7], [9, 9, 9], [10, 11]]
    torch.testing.assert_close(
        unfolded(model).heads_of(sequences), model.heads_of(sequences), atol=1e-4, rtol=1e-4
    )
    assert unfolded(model.table.model) is model.table.model


def test_features_have_mean_0_and_deviation_1_where_they_vary(model):
    found = model.features([[5, 6, 7], [8, 9], [10]])
    torch.testing.assert_close(found.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std(0, correction=0), torch.ones(16), atol=1e-4, rtol=0)
    alike = FrozenModel.on(model.table, 1, [[5, 6, 7]] * 3)
    assert alike.features([[5, 6, 7]]).isfinite().all()


def test_the_gradient_is_of_the_heads_alone(model):
    model.raw([[5, 6, 7]]).sum().backward()
    assert model.head.weight.grad is not None
    assert all(weight.grad is None for weight in model.trunk.model.parameters())


def test_the_same_seed_gives_the_same_fit(made, tmp_path):
    again = run(tmp_path, PAIRS, **SETTINGS)
    losses = [
        [event.metrics.get("loss") for event in events if isinstance(event, StepDone)]
        for events in (made[0], again)
    ]
    assert losses[0] == losses[1]
