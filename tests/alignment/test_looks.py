"""What an alignment sees of held-out prompts while it learns: what it measures, what follows, what it leaves alone."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from alignment.kinds.align.run import read_inputs, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import DIVERGENCES
from alignment.models.bounds import HELD_OUT
from alignment.models.lora import load_trained
from alignment.objectives import looks as module
from alignment.objectives.looks import (
    LOOKING,
    answered_held,
    glance_at_held,
    held_estimate,
    next_held,
    prepare_held,
    prompts_apart,
)
from alignment.objectives.problem import begin
from alignment.objectives.toy import outcomes
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError, DataError
from alignment.seam.events import CheckpointSaved, Finished, StepDone
from alignment.seam.records import write_jsonl
from tests.alignment.conftest import tiny_policy
from tests.alignment.test_loop import continues, of, problems, records, weights, whole  # noqa: F401

HELD = 4
EVERY_OTHER = {"evaluate_every": 2, "sample_prompts": 0}
WORSE = EVERY_OTHER | {
    "learning_rate": 0.05,
    "warmup": 0,
    "decay": 0.0,
    "damping": False,
    "beta": 5.0,
}


@pytest.fixture
def problem(policy_folder):
    """Makes a problem whose last prompts are looked at."""

    def make(**settings):
        every = records(6 + HELD)
        made = problems(policy_folder)(**{**EVERY_OTHER, **settings})
        return replace(made, held=every[6:])

    return make


def seen(events):
    """The metrics of every look, by step."""
    return {
        one.step: {name: value for name, value in one.metrics.items() if name != "seconds/step"}
        for one in of(events, StepDone)
        if HELD_OUT in one.metrics
    }


def known(made):
    """The state of a run that is about to take its first step, as far as its looks need it."""
    state = begin(made)
    while next_held(made, state):
        prepare_held(made, state)
    return state


def moved(model, other):
    """Weights a quarter of the way to another model's."""
    there = other.state_dict()
    return {name: weight.lerp(there[name], 0.25) for name, weight in model.state_dict().items()}


@torch.no_grad()
def everything(made, policy):
    """Log-probabilities (prompts, outcomes) of all completions, and log P of them."""
    every = outcomes(made.held_ids, vocabulary=16, length=2, ends=made.reference.ends)
    shape = (len(made.held_ids), -1)
    logps, known = (
        completion_token_logps(one.model, every).sum(1).double().view(shape)
        for one in (policy, made.reference)
    )
    return logps, known + made.reward(made.reference, every).double().view(shape) / made.config.beta


@pytest.mark.parametrize("name", ["jensen_shannon", "forward_kl"])
def test_a_look_estimates_the_divergence_that_is_minimised(problem, monkeypatch, name):
    monkeypatch.setattr(module, "ANSWERS", 400)
    monkeypatch.setattr(module, "PROMPTS_AT_ONCE", 3)
    made = problem(max_new_tokens=2, divergence=name, beta=1.0)
    state = begin(made)
    load_trained(state.policy.model, moved(state.policy.model, tiny_policy(seed=3).model))
    logps, targets = everything(made, state.policy)
    for prompt, log_z in zip(made.held, targets.logsumexp(1), strict=True):
        state.known.held_z.update(prompt.key, log_z[None])
    exact = DIVERGENCES[name].divergence(logps.exp(), targets.softmax(1)).mean().item()
    found = glance_at_held(made, state)
    assert found[HELD_OUT] == pytest.approx(exact, rel=0.15)
    assert 0 < found["heldout/interval"] < 3 * exact
    fresh = held_estimate(made, state)
    assert fresh.value == pytest.approx(exact, rel=0.15)
    assert fresh.n == HELD
    assert fresh.value != found[HELD_OUT]  # of other completions than those that decide


@pytest.mark.parametrize("name", DIVERGENCES)
@pytest.mark.parametrize("off", [-1.5, 1.5])
def test_a_wrong_estimate_of_z_moves_no_minimum(generator, name, off):
    target = torch.rand(50, 6, dtype=torch.float64, generator=generator).softmax(1)
    away = (target.log() + 0.3 * torch.randn(50, 6, generator=generator)).softmax(1)

    def told(policy):
        return (policy * DIVERGENCES[name].terms(policy.log() - target.log() + off)).sum(1)

    assert (told(away) >= told(target) - 1e-12).all()


def test_a_look_asks_the_same_with_the_same_random_numbers(problem):
    made = problem()
    state = known(made)
    before = state.known.generator.get_state()
    assert glance_at_held(made, state) == glance_at_held(made, state)
    assert torch.equal(state.known.generator.get_state(), before)


def test_looks_leave_the_training_as_it_is(problem, whole, tmp_path):  # noqa: F811
    events = list(tune(problem(), tmp_path))
    assert list(seen(events)) == [2, 4, 6, 8]
    for told, alone in zip(of(events, StepDone), of(whole[0], StepDone), strict=True):
        same = alone.metrics.keys() - {"seconds/step"}
        assert {name: told.metrics[name] for name in same} == {n: alone.metrics[n] for n in same}
    first, second = weights(whole[1] / "output"), weights(tmp_path / "output")
    assert all(torch.equal(first[name], second[name]) for name in first)
    (finished,) = of(events, Finished)
    assert finished.summary["divergence_heldout"]["n"] == HELD
    assert "divergence_heldout" not in of(whole[0], Finished)[0].summary


@pytest.mark.parametrize("rank", [0, 2])
def test_the_weights_of_the_best_look_are_kept(problem, tmp_path, rank):
    saved, events = {}, []
    for event in tune(problem(**WORSE, kept="best", checkpoint_every=2, lora_rank=rank), tmp_path):
        events.append(event)
        if isinstance(event, CheckpointSaved) and not rank:
            saved[event.step] = load_file(tmp_path / event.path / "policy" / "model.safetensors")
    told = {step: metrics[HELD_OUT] for step, metrics in seen(events).items()}
    best = min(told, key=told.get)
    assert best < 8
    (finished,) = of(events, Finished)
    assert (finished.summary["best_step"], finished.summary["stopped_by"]) == (best, "steps")
    if not rank:
        made = weights(tmp_path / "output")
        assert all(torch.equal(tensor, saved[best][name]) for name, tensor in made.items())


def test_a_run_ends_where_no_look_gains_any_more(problem, tmp_path):
    events = list(tune(problem(**WORSE, steps=40, patience=1, checkpoint_every=50), tmp_path))
    told = [metrics[HELD_OUT] for metrics in seen(events).values()]
    assert told[-1] >= min(told[:-1])
    assert len(told) < 20
    (finished,) = of(events, Finished)
    assert finished.summary["stopped_by"] == "patience"
    assert finished.summary["steps"] == 2 * len(told)


def test_the_best_weights_are_past_the_budget_as_any_others(problem, tmp_path):
    settings = {"kept": "best", "kl_budget": 1e-9, "evaluate_every": 1, "learning_rate": 0.05}
    (finished,) = of(tune(problem(**settings), tmp_path), Finished)
    assert finished.summary["stopped_by"] == "kl_budget"
    assert "best_step" not in finished.summary


def test_a_saved_run_goes_on_looking_bit_by_bit(problem, tmp_path):
    continues(lambda: problem(**WORSE, kept="best"), tmp_path, 7)  # after its best look


class Died(BaseException):
    """What no program survives."""


def test_a_run_that_died_while_it_looked_goes_on_bit_by_bit(problem, tmp_path, monkeypatch):
    settings = WORSE | {"kept": "best", "checkpoint_every": 3}
    whole, parts = tmp_path / "whole", tmp_path / "parts"  # noqa: F811
    events = list(tune(problem(**settings), whole))

    def dying(made, state):
        if state.step == 8:
            next(answered_held(made, state, LOOKING))
            raise Died
        return glance_at_held(made, state)

    monkeypatch.setattr(module, "glance_at_held", dying)
    with pytest.raises(Died):
        list(tune(problem(**settings), parts))
    monkeypatch.undo()
    resumed = list(tune(problem(**settings), parts, resume=parts / "ckpt-000006"))
    assert seen(resumed) == {8: seen(events)[8]}
    first, second = weights(whole / "output"), weights(parts / "output")
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert facts_of(resumed) == facts_of(events)
    assert facts_of(resumed)["best_step"] <= 6


def facts_of(events):
    """What a run says of its result, without its time."""
    (finished,) = of(events, Finished)
    return {name: value for name, value in finished.summary.items() if name != "seconds"}


def test_prompts_are_kept_back_by_their_own_hash():
    every = records(12)
    learned, held = prompts_apart(every, None, 4)
    again, same = prompts_apart(every[::-1], None, 4)
    assert (len(held), {*held}) == (4, {*same})
    assert [*learned] == [one for one in every if one not in held]
    assert {*again} == {*learned}
    more = prompts_apart(records(40), None, 14)[1]
    assert len({*held} & {*more}) >= 2  # others that come move few across


def test_prompts_of_their_own_are_not_learned_from():
    every = records(12)
    learned, held = prompts_apart(every, every[9:] + records(20)[12:], 5)
    assert learned == every[:9]
    assert held == every[9:] + records(20)[12:14]
    with pytest.raises(DataError, match="All 3 training prompts are looked at"):
        prompts_apart(every[:3], None, 3)


def test_a_run_reads_its_own_prompts_or_keeps_some_back(policy_folder, tmp_path):
    every = records(10)
    write_jsonl(tmp_path / "prompts.jsonl", every[:7])
    write_jsonl(tmp_path / "evaluation.jsonl", every[6:])
    inputs = {"policy": str(policy_folder), "reference": str(policy_folder)}
    inputs |= {name: f"{name}.jsonl" for name in ("prompts", "evaluation")}
    target = {"reward_weight": 0, "more_rules": "1 words", "max_new_tokens": 8}

    def read(given=inputs, **settings):
        spec = RunSpec(kind="align", run=1, epoch=1, config={}, inputs=given)
        found = read_inputs(spec, tmp_path, AlignConfig(**target, **settings))
        return found.prompts, found.held

    assert read() == (every[:7], [])
    assert read(evaluate_every=1, evaluate_on="own") == (every[:6], every[6:])
    learned, held = read(evaluate_every=1, evaluation_prompts=2)
    assert (len(learned), len(held)) == (5, 2)
    few = {role: path for role, path in inputs.items() if role != "evaluation"}
    with pytest.raises(ConfigError, match="names no evaluation"):
        read(few, evaluate_every=1, evaluate_on="own")
