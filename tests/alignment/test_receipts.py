"""Receipts are exact for everything a run can be told, and red for what is wrong."""

import math
from dataclasses import replace

import pytest
import torch

from alignment.kinds.align.run import tune
from alignment.kinds.align.settings import AlignConfig
from alignment.objectives import receipts as module
from alignment.objectives.receipts import pool_receipts, receipts, with_contract, worst
from alignment.objectives.toy import toy_policy, toy_problem, toy_state
from alignment.seam.events import Checked, StepDone
from alignment.seam.records import Receipts
from tests.alignment.test_divergences import BOUNDED, EVERY, id_of
from tests.alignment.test_loop import of, paused
from tests.cases import cases

TARGETS = {
    "reward": {},
    "hard": {"must_contain": "please", "share_of": "kindly", "share": 0.9},
    "hybrid": {"must_match": "^a", "soften": 0.1, "length_mean": 30, "more_rules": "-1 words"},
}
REVERSE = {"divergence": "reverse_kl", "estimator": "rao_blackwell"}
OPTIONS = {
    "surrogate": {"estimator": "surrogate"},
    "rao_blackwell": REVERSE,
    "old samples": {"updates_per_step": 8, "weight_limit": 1, "pseudo_reward_limit": 0.1},
    "replay": {"replay_share": 0.5},
    "rloo": {"objective": "rloo", "updates_per_step": 2, "share_of": "please"},
    "deployed": {
        "inference_weight": 0.6,
        "inference_temperature": 0.7,
        "inference_weights": "int8",
    },
    "deployed, rao_blackwell": {**REVERSE, "inference_weight": 0.6, "inference_temperature": 1.5},
}


@pytest.fixture
def problem(tmp_path):
    """A run of three steps on the toy, which starts from a folder."""
    toy_policy(2).save(tmp_path / "start")
    config = AlignConfig(steps=3, max_new_tokens=2, checkpoint_every=9, kl_budget=99, warmup=0)
    found = replace(toy_problem(config, words=2), start=tmp_path / "start")
    found.reference.model.float()  # as a run loads it
    return found


@pytest.fixture
def anew():
    """Receipts that are computed now, and forgotten afterwards."""
    found = (module._receipts, module._pool_receipts)
    for cached in found:
        cached.cache_clear()
    yield
    for cached in found:
        cached.cache_clear()


@cases("row", EVERY, ids=id_of, quick=EVERY[:4])
def test_every_divergence_is_exact_on_a_language_model(row):
    found = receipts(AlignConfig(**row, **TARGETS["hybrid"]))
    assert 0 < found.gradient < 1e-12
    assert found.total < 1e-14


@pytest.mark.parametrize("row", BOUNDED, ids=id_of)
def test_every_bounded_divergence_is_exact_where_the_target_has_no_mass(row):
    assert receipts(AlignConfig(**row, **TARGETS["hard"])).gradient < 1e-12


@pytest.mark.parametrize("name", OPTIONS)
def test_every_estimator_and_option_is_exact(name):
    assert receipts(AlignConfig(**OPTIONS[name])).gradient < 1e-12


@pytest.mark.parametrize("name", ["grpo", "ppo"])
def test_an_objective_that_follows_no_divergence_has_no_gradient_to_compare(name):
    found = receipts(AlignConfig(objective=name))
    assert found.gradient is None
    assert found.sentences == f"Probabilities sum to 1 within {found.total:.0e}."


POOLED = [{}, {"divergence": "forward_kl", **TARGETS["hard"]}, {"divergence": "pearson_chi2"}]


@pytest.mark.parametrize("row", POOLED, ids=str)
def test_an_agent_of_a_population_is_exact(row):
    found = pool_receipts(AlignConfig(**row))
    assert found.gradient < 1e-12
    assert found.good


def test_a_pool_whose_baseline_is_biased_is_red(anew, monkeypatch):
    def plain_mean(values, owners):
        return values.mean(1, keepdim=True).expand_as(values)

    monkeypatch.setattr("alignment.objectives.pool.held_out_mean", plain_mean)
    assert pool_receipts(AlignConfig()).gradient > 1e-3


def test_extreme_settings_stay_exact():
    extreme = {"beta": 1e-3, "more_rules": "100 words", "inference_weight": 100}
    extreme |= {"inference_temperature": 0.1, "divergence": "alpha", "alpha": -3}
    assert receipts(AlignConfig(**extreme)).gradient < 1e-12


def drop_z(problem, state, chosen, scored, term):
    found = placed(problem, state, chosen, scored, term)
    return replace(found, u=found.u - found.log_z[:, None])


placed = module.placed
BROKEN = {
    "the baseline knows its own completion": (
        "alignment.objectives.fdpg.weighted_leave_one_out",
        lambda rho, weights, owners: rho.mean(1, keepdim=True).expand_as(rho),
        {},
    ),
    "Z is left out": ("alignment.objectives.receipts.placed", drop_z, {}),
    "the sign is wrong": (
        "alignment.objectives.fdpg.score_loss",
        lambda logps, weights: (weights * logps).mean(),
        {},
    ),
    "old samples have no weights": (
        "alignment.objectives.fdpg.importance",
        lambda shift, limit: (torch.ones_like(shift), shift.isnan()),
        {"updates_per_step": 2},
    ),
    "replayed samples have no weights": (
        "alignment.objectives.fdpg.importance",
        lambda shift, limit: (torch.ones_like(shift), shift.isnan()),
        {"replay_share": 0.5},
    ),
    "the constraint is ignored": (
        "alignment.objectives.fdpg.pseudo_rewards",
        lambda config, u, known: (u.clamp(max=0).where(known, 0.0), known),
        TARGETS["hard"],
    ),
    "the loss is not a number": (
        "alignment.objectives.fdpg.score_loss",
        lambda logps, weights: (weights * logps).mean() * math.nan,
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_loss_is_red(anew, monkeypatch, name):
    place, wrong, settings = BROKEN[name]
    monkeypatch.setattr(place, wrong)
    found = receipts(AlignConfig(**settings))
    assert found.gradient > 1e-3
    assert not found.good
    assert found.sentences.startswith("Not exact: the gradient is off by")


def test_probabilities_that_do_not_sum_to_one_are_red(anew, monkeypatch):
    def without_end(model, rollouts, **options):
        mask = rollouts.mask & (rollouts.tokens != 0)
        return logps(model, replace(rollouts, mask=mask), **options) * mask

    logps = module.completion_token_logps
    monkeypatch.setattr("alignment.objectives.toy.completion_token_logps", without_end)
    found = receipts(AlignConfig())
    assert found.total > 0.1
    assert "sum to 1 within" in found.sentences
    assert not found.exact


def test_a_run_keeps_its_receipts(problem, tmp_path):
    events = list(tune(problem, tmp_path))
    (checked,) = of(events, Checked)
    stored = Receipts.model_validate(events[-1].summary["receipts"])
    assert checked.receipts == receipts(problem.config)
    assert stored.model_copy(update={"mismatch": None}) == checked.receipts
    assert stored.mismatch == max(e.metrics["logp/mismatch"] for e in of(events, StepDone))
    assert stored.good
    beside = (tmp_path / "output" / "receipts.json").read_text()
    assert Receipts.model_validate_json(beside) == stored


def test_the_largest_mismatch_survives_a_pause(problem, tmp_path):
    whole = list(tune(problem, tmp_path / "whole"))[-1].summary["receipts"]
    folder = paused(problem, tmp_path, 3)
    again = list(tune(problem, tmp_path, resume=folder))[-1].summary["receipts"]
    assert again == whole


def test_samplers_that_disagree_are_red(problem):
    state = toy_state(problem)
    state.mismatch = 0.02
    fine = Receipts(gradient=1e-15, total=1e-16)
    found = with_contract(fine, state)
    assert found.exact
    assert not found.good
    assert found.sentences.endswith("sampler and scorer do not agree: they differ by 2e-02.")
    state.policy.model.bfloat16()
    assert with_contract(fine, state).good


def test_the_worst_of_several_is_told():
    rows = [Receipts(gradient=1e-15, total=1e-16, mismatch=1e-6), Receipts(gradient=None, total=1)]
    assert worst(rows) == Receipts(gradient=1e-15, total=1, mismatch=1e-6)
