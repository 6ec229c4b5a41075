"""The f-DPG loop on a tiny policy with a rule as its reward."""

from copy import deepcopy
from dataclasses import replace
from itertools import islice

import pytest
import torch
from safetensors.torch import load_file

from alignment.kinds.align.run import check_processes, read_problem, tune
from alignment.kinds.align.settings import AlignConfig
from alignment.kinds.settings.divergences import DivergenceName
from alignment.kinds.spec import RunSpec
from alignment.maths.divergences import divergence_of
from alignment.models.distributed import World
from alignment.models.policies import Policy
from alignment.models.texts import rollouts_of, written
from alignment.objectives.demonstrations import imitate
from alignment.objectives.laps import places_of_turn
from alignment.objectives.problem import Problem, begin, prepare
from alignment.objectives.saving import restore, save
from alignment.objectives.steps import prompts_of_step, prompts_of_terms, train_step
from alignment.objectives.toy import outcomes
from alignment.sampling.scoring import completion_token_logps
from alignment.seam.errors import ConfigError, DataError, DivergedError
from alignment.seam.events import (
    Checked,
    CheckpointSaved,
    Finished,
    PhaseProgressed,
    PhaseStarted,
    Ready,
    SampleDrawn,
    StepDone,
)
from alignment.seam.folders import file_sha256
from alignment.seam.records import Message, PromptRecord, prompt_key, write_jsonl
from tests.alignment.conftest import tiny_policy
from tests.cases import cases

SMALL = {
    "steps": 8,
    "prompts_per_step": 4,
    "completions_per_prompt": 8,
    "reference_completions": 4,
    "max_new_tokens": 6,
    "learning_rate": 3e-3,
    "warmup": 2,
    "checkpoint_every": 4,
    "sample_every": 4,
    "sample_prompts": 2,
    "kl_budget": 50,
}
# Enough completions that the divergence falls whatever the random numbers, and nothing beside.
FEW = {
    "steps": 20,
    "prompts_per_step": 6,
    "completions_per_prompt": 32,
    "max_new_tokens": 2,
    "learning_rate": 5e-3,
    "beta": 0.2,
    "kl_budget": 999,
    "sample_prompts": 0,
    "checkpoint_every": 1000,
}


def records(count):
    words = ["good", "bad", "day", "night", "sun", "rain", "please", "now"]
    texts = [f"{words[i % 8]} {words[i // 8]}" for i in range(count)]
    rows = [(Message(role="user", content=text),) for text in texts]
    return [PromptRecord(key=prompt_key(row), messages=row) for row in rows]


def says_sun(policy, rollouts):
    """The share of a completion's tokens that are "sun"."""
    sun = policy.tokenizer.convert_tokens_to_ids("sun")
    found = (rollouts.tokens == sun) & rollouts.mask
    return found.sum(1) / rollouts.lengths


@pytest.fixture
def problem(policy_folder):
    return problems(policy_folder)


def problems(policy_folder):
    """Makes a problem about the policy of a folder, with these settings."""

    def make(count=6, reward=says_sun, **settings):
        config = AlignConfig(**{**SMALL, **settings})
        reference = loaded(policy_folder)
        return Problem(records(count), policy_folder, reference, reward, config, seed=5)

    return make


read = {}  # policies, by their weights


def loaded(folder):
    """The policy of a folder, as a run loads it: each is read once, most tests begin with the same one."""
    key = file_sha256(folder / "model.safetensors")
    if key not in read:
        read[key] = Policy.load(folder)
    return deepcopy(read[key])


@pytest.fixture(scope="module")
def whole(saved_policy, tmp_path_factory):
    """The events of a whole run with the usual settings, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return list(tune(problems(saved_policy)(), folder)), folder


def of(events, kind):
    return [event for event in events if isinstance(event, kind)]


def weights(folder):
    return load_file(folder / "model.safetensors")


@torch.no_grad()
def exact_divergence(problem, folder):
    """D_f(policy || target) over all outcomes, mean over prompts."""
    every = outcomes(problem.ids, vocabulary=16, length=2, ends=problem.reference.ends)

    def logps(policy):
        scored = completion_token_logps(policy.model, every).sum(1)
        return scored.double().view(len(problem.ids), -1)

    rewards = problem.reward(problem.reference, every).view(len(problem.ids), -1)
    target = logps(problem.reference) + rewards / problem.config.beta
    divergence = divergence_of(problem.config)
    found = divergence.divergence(logps(loaded(folder)).exp(), target.softmax(1))
    return found.mean().item()


FIRST = {"forward_kl", "jensen_shannon"}  # the others wait for `make prove`
DIVERGENCES = [
    pytest.param(name, marks=() if name in FIRST else pytest.mark.prove)
    for name in DivergenceName.__args__
]


@cases("name", DIVERGENCES, quick=["forward_kl"])
def test_training_brings_the_policy_to_the_target(problem, tmp_path, name):
    # The pseudo-reward of total variation knows only the direction.
    slow = {"steps": 160, "learning_rate": 3e-3} if name == "total_variation" else {}
    one = problem(divergence=name, **FEW | slow)
    list(tune(one, tmp_path))
    before, after = exact_divergence(one, one.start), exact_divergence(one, tmp_path / "output")
    assert after < 0.4 * before


OPTIONS = {
    "surrogate": {"estimator": "surrogate"},
    "rao_blackwell": {"estimator": "rao_blackwell", "divergence": "reverse_kl"},
    "old_samples": {
        "updates_per_step": 3,
        "weight_limit": 3,
        "pseudo_reward_limit": 2,
        "steps": 12,
    },
    "deployed": {"inference_weight": 1, "inference_temperature": 0.8, "inference_weights": "int8"},
}


@cases("name", OPTIONS, quick=["surrogate"])
def test_every_option_brings_the_policy_to_the_target(problem, tmp_path, name):
    one = problem(**FEW | OPTIONS[name])
    list(tune(one, tmp_path))
    before, after = exact_divergence(one, one.start), exact_divergence(one, tmp_path / "output")
    assert after < 0.4 * before


OTHERS = {
    "rloo": {"objective": "rloo", "updates_per_step": 2},
    "grpo": {"objective": "grpo"},
    "ppo": {"objective": "ppo", "updates_per_step": 2},
}


@cases("name", OTHERS, quick=["grpo"])
def test_every_other_objective_brings_the_policy_to_the_same_target(problem, tmp_path, name):
    one = problem(**FEW, **OTHERS[name])
    events = of(list(tune(one, tmp_path)), StepDone)
    rewards = [event.metrics["reward/mean"] for event in events]
    assert sum(rewards[-5:]) > 3 * sum(rewards[:5])
    before, after = exact_divergence(one, one.start), exact_divergence(one, tmp_path / "output")
    assert after < 0.4 * before


def texts_of(one, completion="sun rain"):
    """Demonstrations beside a problem: the same answer to every prompt."""
    rows = [written(one.reference, prompt.messages, completion) for prompt in one.prompts]
    return replace(one, demonstrations=rows)


@torch.no_grad()
def nll(policy, rows):
    """The mean negative log-likelihood per token of texts."""
    rollouts = rollouts_of(policy, rows)
    return -(completion_token_logps(policy.model, rollouts).sum() / rollouts.mask.sum()).item()


def test_demonstrations_become_likelier_beside_any_objective(problem, tmp_path):
    one = texts_of(problem(**FEW | {"steps": 6}, demonstration_weight=1.0))
    events = of(list(tune(one, tmp_path)), StepDone)
    told = [event.metrics["nll/demonstrations"] for event in events]
    assert told[0] == pytest.approx(nll(one.reference, one.demonstrations), rel=1e-5)
    assert nll(Policy.load(tmp_path / "output"), one.demonstrations) < 0.8 * told[0]


def test_their_gradient_is_that_of_their_weighted_likelihood(problem):
    one = texts_of(problem(demonstration_weight=0.5, demonstrations_per_update=4))
    state = begin(one)
    imitate(one, state, turn=2)
    found = [weight.grad.clone() for weight in state.policy.model.parameters()]
    state.policy.model.zero_grad()
    rows = [one.demonstrations[place] for place in places_of_turn(2, 4, 6, one.seed)]
    rollouts = rollouts_of(state.policy, rows)
    logps = completion_token_logps(state.policy.model, rollouts)
    (-0.5 * logps.sum() / rollouts.mask.sum()).backward()
    for one_, weight in zip(found, state.policy.model.parameters(), strict=True):
        torch.testing.assert_close(one_, weight.grad)


def test_options_show_their_metrics(problem, tmp_path):
    settings = (
        OPTIONS["old_samples"] | OPTIONS["deployed"] | {"pseudo_reward_limit": 0.01, "steps": 3}
    )
    metrics = of(list(tune(problem(**settings), tmp_path)), StepDone)[-1].metrics
    assert 0 < metrics["rho/clipped"] <= 1
    assert 0 <= metrics["weights/truncated"] < 1
    assert {"inference/reward", "inference/divergence"} < set(metrics)


def test_the_rao_blackwell_estimator_is_for_reverse_kl_alone():
    with pytest.raises(ValueError, match="Rao-Blackwell estimator is for reverse KL"):
        AlignConfig(estimator="rao_blackwell")


def test_the_reward_rises(problem, tmp_path):
    events = list(tune(problem(**FEW | {"beta": 0.1}), tmp_path))
    rewards = [event.metrics["reward/mean"] for event in of(events, StepDone)]
    assert sum(rewards[-5:]) > 1.5 * sum(rewards[:5])


def test_a_run_reports_in_order(whole):
    events, _ = whole
    kinds = [type(event) for event in events if not isinstance(event, StepDone)]
    before, after = [SampleDrawn] * 2, [SampleDrawn] * 2
    phases, saved = [PhaseStarted] * 2, [CheckpointSaved]
    end = [*saved, PhaseStarted, *after, Finished]
    assert kinds == [Ready, PhaseStarted, Checked, *before, *phases, *saved, *after, *end]


def test_the_result_is_a_policy_that_loads(problem, whole):
    result = Policy.load(whole[1] / "output").model.state_dict()
    start = problem().reference.model.state_dict()
    assert any(not torch.equal(result[name], start[name]) for name in result)


def test_metrics_name_everything_the_charts_draw(problem, tmp_path):
    metrics = of(list(tune(problem(steps=1), tmp_path)), StepDone)[0].metrics
    wanted = """loss reward/mean reward/std kl/reference divergence/target logz/mean ess/fraction
        length/mean length/truncated entropy/mean grad/norm lr logp/mismatch seconds/step
        baseline/mean prompts/skipped"""
    assert set(metrics) == set(wanted.split())
    assert metrics["logp/mismatch"] < 1e-4
    assert metrics["kl/reference"] == pytest.approx(0, abs=1e-4)


def test_a_step_s_own_samples_enter_z_after_the_step(problem):
    one = problem()
    state = begin(one)
    prepare(one, state)
    chosen = [one.prompts[place].key for place in prompts_of_step(one, 0)]
    before = [state.known.z.log_z(key) for key in chosen]
    metrics = train_step(one, state)
    assert metrics["logz/mean"] == pytest.approx(sum(before) / 4, abs=1e-6)
    assert all(state.known.z.state_dict()[key][1] == 4 + 8 for key in chosen)


def test_the_learning_rate_rises_to_its_peak_and_falls_to_the_end(problem, tmp_path):
    events = of(list(tune(problem(warmup=4, damping=False), tmp_path)), StepDone)
    rates = [event.metrics["lr"] / 3e-3 for event in events]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25])


def test_a_policy_past_its_budget_is_still_past_it_after_a_pause(problem, tmp_path):
    settings = {"beta": 0.05, "kl_budget": 1e-6, "divergence": "reverse_kl"}
    whole = list(tune(problem(**settings), tmp_path / "whole"))
    (tmp_path / "parts").mkdir()
    last = len(of(whole, StepDone))
    folder = paused(problem(**settings), tmp_path / "parts", last)
    events = list(tune(problem(**settings), tmp_path / "parts", resume=folder))
    assert not of(events, StepDone)
    assert events[-1].summary["stopped_by"] == "kl_budget"


def test_training_stops_within_the_kl_budget(problem, tmp_path):
    one = problem(count=16, steps=60, beta=0.05, kl_budget=0.5, divergence="reverse_kl")
    events = list(tune(one, tmp_path))
    summary = events[-1].summary
    assert len(of(events, StepDone)) < 60
    assert summary["stopped_by"] == "kl_budget"
    assert 0.05 < summary["kl_reference"]["value"] <= 0.5


def test_the_summary_measures_the_result_on_prompts(problem, tmp_path):
    one = problem(count=16, **FEW | {"steps": 12, "learning_rate": 8e-3, "beta": 0.1})
    summary = list(tune(one, tmp_path))[-1].summary
    assert summary["reward_gain"]["low"] > 0
    assert summary["reward_gain"]["n"] == 16
    assert summary["stopped_by"] == "steps"


def paused(problem, folder, step):
    """Drive a run up to this step, then ask it to save."""
    run = tune(problem, folder)
    event = next(run)
    while not (isinstance(event, StepDone) and event.step == step):
        event = next(run)
    saved = run.send("save")
    assert list(run) == []
    return folder / saved.path


@cases("step", [3, 4, 8])
def test_a_saved_run_continues_bit_by_bit(problem, whole, tmp_path, step):
    goes_on(problem, *whole, tmp_path, step)


def continues(make, folder, step):
    """A run that is saved after this step and taken up again ends as if nothing had happened."""
    goes_on(make, list(tune(make(), folder / "whole")), folder / "whole", folder / "parts", step)


def goes_on(make, events, whole, parts, step):
    """A run that is saved after this step and taken up again tells and makes what the whole one did."""
    resumed = list(tune(make(), parts, resume=paused(make(), parts, step)))
    assert resumed[0].resumed_step == step
    assert resumed[0].bit_exact
    first, second = weights(whole / "output"), weights(parts / "output")
    assert all(torch.equal(first[name], second[name]) for name in first)
    for told in of(resumed, StepDone):
        (expected,) = (e for e in of(events, StepDone) if e.step == told.step)
        drop = {"seconds/step"}
        assert {k: v for k, v in told.metrics.items() if k not in drop} == {
            k: v for k, v in expected.metrics.items() if k not in drop
        }


def test_a_saved_run_remembers_what_the_tail_of_its_divergence_was(problem, tmp_path):
    made = problem(divergence="neyman_chi2")
    state = begin(made)
    prepare(made, state)
    train_step(made, state)
    assert state.noise.tail != 0
    again, _ = restore(made, tmp_path / save(state, tmp_path).path)
    assert (again.noise.energy, again.noise.tail) == (state.noise.energy, state.noise.tail)


def test_a_saved_ppo_continues_with_its_value_head_and_its_texts(problem, tmp_path):
    ppo = OTHERS["ppo"] | {"demonstration_weight": 0.1, "demonstrations_per_update": 4}
    continues(lambda: texts_of(problem(**ppo, steps=4, sample_prompts=0)), tmp_path, 3)


def test_a_run_saved_among_its_reference_completions_continues(problem, tmp_path, monkeypatch):
    monkeypatch.setattr("alignment.objectives.problem.PROMPTS_AT_ONCE", 4)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    list(tune(problem(steps=2), whole))
    run = tune(problem(steps=2), parts)
    (told,) = islice((event for event in run if isinstance(event, PhaseProgressed)), 1)
    assert (told.done, told.total, told.unit) == (4, 6, "prompts")
    list(tune(problem(steps=2), parts, resume=parts / run.send("save").path))
    first, second = weights(whole / "output"), weights(parts / "output")
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_last_two_checkpoints_are_kept(problem, tmp_path):
    list(tune(problem(checkpoint_every=2), tmp_path))
    assert sorted(p.name for p in tmp_path.glob("ckpt-*")) == ["ckpt-000006", "ckpt-000008"]


def test_a_loss_that_is_not_a_number_says_what_to_try(problem, tmp_path):
    one = problem()
    run = tune(one, tmp_path)
    while next(run) != PhaseStarted(name="training"):
        pass
    one.reference.model.transformer.ln_f.bias.fill_(float("nan"))
    with pytest.raises(DivergedError, match="at step 1; try a lower learning rate"):
        next(run)


def test_a_reward_that_is_not_a_number_is_named(problem, tmp_path):
    with pytest.raises(DivergedError, match="reward of a completion was not a number"):
        list(tune(problem(reward=lambda p, rollouts: rollouts.logps * float("nan")), tmp_path))


def never(policy, rollouts):
    """A reward of which nobody sees more than that the target has no such completion."""
    return torch.full_like(says_sun(policy, rollouts), -torch.inf)


def test_prompts_whose_target_was_never_seen_are_skipped(problem):
    one = problem(reward=never)
    state = begin(one)
    prepare(one, state)
    before = {name: w.clone() for name, w in state.policy.model.state_dict().items()}
    assert train_step(one, state)["prompts/skipped"] == 4
    after = state.policy.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_run_that_learned_nothing_says_so_and_has_no_result(problem, tmp_path):
    events = tune(problem(reward=never, steps=3), tmp_path)
    with pytest.raises(ConfigError, match="Nothing was learned in 3 steps"):
        list(events)
    assert not (tmp_path / "output").exists()


def test_a_run_that_learned_of_one_prompt_has_a_result(problem, tmp_path):
    def of_one(policy, rollouts):
        shortest = min(rollouts.prompts)
        theirs = torch.tensor([prompt == shortest for prompt in rollouts.prompts])
        return says_sun(policy, rollouts).masked_fill(~theirs, -torch.inf)

    assert of(list(tune(problem(reward=of_one, steps=3), tmp_path)), Finished)


def test_no_prompts_is_a_refusal(problem):
    with pytest.raises(DataError, match="no prompt"):
        problem(count=0)


def test_a_policy_that_reads_text_differently_is_refused(problem, tmp_path):
    other = tiny_policy(vocabulary=17)
    other.tokenizer.add_tokens(["snow"])
    other.save(tmp_path / "other")
    one = replace(problem(), start=tmp_path / "other")
    with pytest.raises(ConfigError, match="different tokenizers"):
        next(tune(one, tmp_path))


def test_every_prompt_comes_once_per_lap_in_a_seeded_order(problem):
    one = problem(count=6, prompts_per_step=4)
    steps = [prompts_of_step(one, step) for step in range(3)]
    laps = [place for step in steps for place in step]
    assert sorted(laps[:6]) == sorted(laps[6:]) == list(range(6))
    assert laps[:6] != laps[6:]


SERVED = {"inference_weight": 0.7, "inference_temperature": 0.6}


def test_the_deployed_policy_has_prompts_of_its_own(problem):
    """The last prompts are those of the deployment: only the deployed term draws, and learns Z, there."""
    one = replace(problem(count=10, **SERVED, prompts_per_step=3), deployment=4)
    state = begin(one)
    prepare(one, state)
    known = {key: count for key, (_, count) in state.known.z.state_dict().items()}
    assert set(known.values()) == {4}  # the reference answers all of them
    seen = [set(prompts_of_terms(one, step)[term]) for term in (0, 1) for step in range(2)]
    assert seen[0] | seen[1] == set(range(6))
    assert all(places <= set(range(6, 10)) for places in seen[2:])
    train_step(one, state)
    grown = {key for key, (_, count) in state.known.z.state_dict().items() if count > known[key]}
    assert grown == {one.prompts[place].key for place in seen[0] | seen[2]}
    assert len(grown) == 6


def test_without_prompts_of_the_deployment_both_terms_have_the_same(problem):
    one = problem(**SERVED)
    first, second = prompts_of_terms(one, 3)
    assert first == second == prompts_of_step(one, 3)


def test_prompts_of_a_deployment_without_weight_are_refused(policy_folder, tmp_path):
    rows = records(4)
    for name in ("prompts", "deployment"):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    inputs = {"policy": str(policy_folder), "reference": str(policy_folder)}
    inputs |= {name: f"{name}.jsonl" for name in ("prompts", "deployment")}
    spec = RunSpec(kind="align", run=1, epoch=1, config={}, inputs=inputs)
    target = {"reward_weight": 0, "more_rules": "1 words", "max_new_tokens": 8}
    found = read_problem(spec, tmp_path, AlignConfig(**target, **SERVED))
    assert (len(found.prompts), found.trained, found.deployment) == (8, 4, 4)
    with pytest.raises(ConfigError, match="the deployed model has no weight"):
        read_problem(spec, tmp_path, AlignConfig(**target))


def test_every_process_needs_a_prompt(problem, monkeypatch):
    monkeypatch.setattr("alignment.kinds.align.run.world", lambda: World(0, 3))
    check_processes(problem(count=3))
    others = {"deployment": 2}, {"held": records(2)}
    few = [replace(problem(count=6, **SERVED), **more) for more in others]
    for one in (problem(count=2), *few):
        with pytest.raises(ConfigError, match="needs a prompt of its own"):
            check_processes(one)
